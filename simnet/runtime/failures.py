"""What becomes of messages and of those who wait when a node goes down or comes back."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import simpy

from simnet.network import Transfer
from simnet.network.clock import Alarm
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
    and counted as lost, as far as it had come. A message that had left it whole still arrives. The others
    notice `network.detection_timeout` later, all at once: whoever waits for the node then gets
    :class:`PeerLost`, and so do all members of the collectives that it was in, since each of them may wait
    for another that has given up. A node that comes back sooner is noticed when it does: it knows nothing of
    what others have begun with it, and says so.
    """

    def __init__(self, run: "SimulatedRun", detection_seconds: float) -> None:
        self._run = run
        self._detection_seconds = detection_seconds
        self._down: dict[str, Alarm | None] = {}  # with the alarm at which it will be noticed
        self._noticed: set[str] = set()
        self._flows: dict[int, _Flow] = {}
        self._collectives: dict[simpy.Process, tuple[str, ...]] = {}

    # -- going and coming -----------------------------------------------------------------------------

    def down(self, node_id: str, *, says_so: bool = False) -> None:
        """A node that is up goes down now: its messages are cut, and the others will notice.

        If it says so, what it is sending still leaves, and the others notice when they are told.
        """
        self.cut(node_id, says_so=says_so)
        self._down[node_id] = Alarm(self._run.env, lambda _: self._notice(node_id), self._detection_seconds)

    def cut(self, node_id: str, *, says_so: bool = False) -> None:
        """What a node is sending (unless it says that it goes) and what is on its way to it is lost."""
        for flow in list(self._flows.values()):
            sending = flow.source == node_id and flow.transfer.status in ("flowing", "waiting")
            if (sending and not says_so) or flow.target == node_id:
                self._run.network.cancel(flow.transfer)

    def up(self, node_id: str) -> None:
        """A node that was down is up again."""
        if node_id not in self._noticed:
            self._notice(node_id)
        alarm = self._down.pop(node_id)
        if alarm is not None:
            alarm.call_off()
        self._noticed.discard(node_id)

    def absent(self, node_id: str) -> None:
        """A node is not there from the start, and everybody knows."""
        self._down[node_id] = None
        self._noticed.add(node_id)

    # -- who knows what -------------------------------------------------------------------------------

    def is_down(self, node_id: str) -> bool:
        """Whether it is down, noticed or not."""
        return node_id in self._down

    def is_lost(self, observer: str, node_id: str) -> bool:
        """Whether `observer` knows that it is down."""
        return node_id in self._noticed

    def seen_up(self, observer: str, members: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `members` that `observer` does not know to be down."""
        if not self._noticed:
            return members
        return tuple(member for member in members if not self.is_lost(observer, member))

    # -- messages and collectives ---------------------------------------------------------------------

    def watch(self, transfer: Transfer, source: str, target: str) -> None:
        """Remember between which nodes a transfer is under way, if it has not arrived already."""
        if transfer.status in ("waiting", "flowing", "sent"):
            self._flows[transfer.id] = _Flow(transfer, source, target)

    def ended(self, transfer: Transfer) -> None:
        """A transfer is no longer under way."""
        self._flows.pop(transfer.id, None)

    @contextmanager
    def together(self, observer: str, members: tuple[str, ...]) -> Iterator[None]:
        """While the current process is in a collective: it is told when one of the members is lost.

        Raises :class:`PeerLost` at once if one is known to be.
        """
        self._raise_if_lost(observer, members)
        process = self._run.env.active_process
        assert process is not None, "a collective is awaited by a coroutine"
        self._collectives[process] = members
        try:
            yield
        finally:
            del self._collectives[process]

    def _raise_if_lost(self, observer: str, members: Iterable[str]) -> None:
        if self._noticed:
            for member in members:
                if self.is_lost(observer, member):
                    raise PeerLost(member)

    def _notice(self, node_id: str) -> None:
        self._noticed.add(node_id)
        if self._run.rollback is not None and self._run.rollback.begins(node_id):
            return
        told = {process: None for process, members in self._collectives.items() if node_id in members}
        for node in self._run.nodes.values():
            for waiting in node.waiting_for.values():
                if waiting.peer == node_id and waiting.process is not None:
                    told[waiting.process] = None
        self._run.rings.lost(node_id)
        for process in told:
            if process.is_alive:
                process.interrupt(PeerLost(node_id))
