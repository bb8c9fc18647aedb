"""Nodes that go down in a simulated run, and how the others come to know."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import simpy
from simpy.events import URGENT

from simnet.network import Transfer
from simnet.runtime.node import PeerLost

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun


@dataclass(frozen=True, slots=True)
class _Flow:
    transfer: Transfer
    source: str
    target: str


class Failures:
    """Which nodes are down, and who is told when.

    A node that goes down sends nothing any more: what it is sending and what is on its way to it is cut off
    and counted as lost, as far as it had come. A message that had left it whole still arrives. Its coroutines
    are cancelled. The others notice `network.detection_timeout` later, all at once: whoever waits for
    the node then gets :class:`PeerLost`, and so do all members of the collectives that it was in, since
    each of them may wait for another that has given up.
    """

    def __init__(self, run: "SimulatedRun", detection_seconds: float) -> None:
        self._run = run
        self._detection_seconds = detection_seconds
        self._down: set[str] = set()
        self._noticed: set[str] = set()
        self._flows: dict[int, _Flow] = {}
        self._collectives: dict[simpy.Process, tuple[str, ...]] = {}

    def fail(self, node_id: str) -> None:
        """A node goes down now. Raises `ValueError` for an unknown node and for one that is down."""
        if node_id not in self._run.nodes:
            raise ValueError(f"{node_id!r} cannot go down: it is not a node: {', '.join(self._run.nodes)}")
        if node_id in self._down:
            raise ValueError(f"{node_id} is down already")
        self._down.add(node_id)
        for flow in list(self._flows.values()):
            sending = flow.source == node_id and flow.transfer.status == "flowing"
            if sending or flow.target == node_id:
                self._run.network.cancel(flow.transfer)
        # From an event of its own: a process cannot interrupt itself, and this may be called by one of these.
        ending = simpy.Event(self._run.env)
        ending._ok, ending._value = True, None
        ending.callbacks.append(lambda _: self._run.end_tasks(node_id))
        self._run.env.schedule(ending, priority=URGENT)
        noticing = self._run.env.timeout(self._detection_seconds)
        noticing.callbacks.append(lambda _: self._notice(node_id))

    def is_down(self, node_id: str) -> bool:
        """Whether it went down, noticed or not."""
        return node_id in self._down

    def is_noticed(self, node_id: str) -> bool:
        """Whether the others know that it is down."""
        return node_id in self._noticed

    def watch(self, transfer: Transfer, source: str, target: str) -> None:
        """Remember between which nodes a transfer is under way, if it has not arrived already."""
        if transfer.status in ("flowing", "sent"):
            self._flows[transfer.id] = _Flow(transfer, source, target)

    def ended(self, transfer: Transfer) -> None:
        """A transfer is no longer under way."""
        self._flows.pop(transfer.id, None)

    @contextmanager
    def together(self, members: tuple[str, ...]) -> Iterator[None]:
        """While the current process is in a collective: it is told when one of the members is lost.

        Raises :class:`PeerLost` at once if one is known to be.
        """
        self._raise_if_noticed(members)
        process = self._run.env.active_process
        assert process is not None, "a collective is awaited by a coroutine"
        self._collectives[process] = members
        try:
            yield
        finally:
            del self._collectives[process]

    def _raise_if_noticed(self, members: Iterable[str]) -> None:
        if self._noticed:
            for member in members:
                if member in self._noticed:
                    raise PeerLost(member)

    def _notice(self, node_id: str) -> None:
        self._noticed.add(node_id)
        told = {process: None for process, members in self._collectives.items() if node_id in members}
        for node in self._run.nodes.values():
            for waiting in node.waiting_for.values():
                if waiting.peer == node_id and waiting.process is not None:
                    told[waiting.process] = None
        self._run.rings.lost(node_id)
        for process in told:
            if process.is_alive:
                process.interrupt(PeerLost(node_id))
