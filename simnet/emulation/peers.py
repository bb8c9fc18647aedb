"""What one host of an emulation knows of the others: who is gone, and in which view it is with whom."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import simpy

from simnet.emulation.meetings import view_of
from simnet.network.clock import Alarm
from simnet.runtime.node import PeerLost, Timeout, View
from simnet.runtime.views import Views

if TYPE_CHECKING:
    from simnet.emulation.host_run import HostRun
    from simnet.runtime.simulated_node import SimulatedNode


class HostFailures:
    """Which nodes this host knows to be gone: those whose connection has ended, a detection timeout ago."""

    def __init__(self, run: "HostRun", detection_seconds: float) -> None:
        self._run = run
        self._detection_seconds = detection_seconds
        self.listeners: list[Callable[[], None]] = []
        self._alarms: dict[str, Alarm] = {}
        self._lost: set[str] = set()
        self._collectives: dict[simpy.Process, tuple[str, ...]] = {}

    def gone(self, node_id: str) -> None:
        """A node's connection has ended: it will be noticed."""
        if node_id not in self._alarms:
            self._alarms[node_id] = Alarm(
                self._run.env, lambda _: self._notice(node_id), self._detection_seconds
            )

    def back(self, node_id: str) -> None:
        """A node is there again: it knows nothing of what others have begun with it."""
        self._notice(node_id)
        alarm = self._alarms.pop(node_id, None)
        if alarm is not None:
            alarm.call_off()
        self._lost.discard(node_id)
        for listener in self.listeners:
            listener()

    def is_down(self, node_id: str) -> bool:
        """Whether nothing reaches it, as far as can be seen from here."""
        return node_id in self._alarms

    def is_lost(self, observer: str, node_id: str) -> bool:
        """Whether it is known to be gone."""
        return node_id in self._lost

    def seen_up(self, observer: str, members: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `members` that are not known to be gone."""
        return tuple(member for member in members if member not in self._lost) if self._lost else members

    @contextmanager
    def together(self, observer: str, members: tuple[str, ...]) -> Iterator[None]:
        """While the current process is in a collective: it is told when one of the members is lost.

        Raises :class:`PeerLost` at once if one is known to be.
        """
        lost = next((member for member in members if member in self._lost), None)
        if lost is not None:
            raise PeerLost(lost)
        process = self._run.env.active_process
        assert process is not None, "a collective is awaited by a coroutine"
        self._collectives[process] = members
        try:
            yield
        finally:
            del self._collectives[process]

    def _notice(self, node_id: str) -> None:
        if node_id in self._lost:
            return
        self._lost.add(node_id)
        told = {process for process, members in self._collectives.items() if node_id in members}
        for node in self._run.nodes.values():
            for waiting in node.waiting_for.values():
                if waiting.peer == node_id and waiting.process is not None:
                    told.add(waiting.process)
        for process in told:
            if process.is_alive:
                process.interrupt(PeerLost(node_id))


class HostViews(Views):
    """The views of this host's nodes, on which the driver lets all agree (see :mod:`.meetings`)."""

    def __init__(self, run: "HostRun") -> None:
        super().__init__(run)  # type: ignore[arg-type]  # as far as is used here it is one
        self._host = run
        self._waiting: dict[str, simpy.Event] = {}

    async def regroup(self, node: "SimulatedNode", quorum: int, deadline: float | None) -> View:
        """See :meth:`simnet.runtime.node.Node.regroup`."""
        everybody = len(self._host.members[node.role])
        if not 1 <= quorum <= everybody:
            raise ValueError(f"a quorum of {quorum} among {everybody} nodes of role {node.role!r}")
        told = self._waiting[node.id] = self._host.env.event()
        standing = [node.view.epoch, node.version, int(node.in_view)]
        self._host.say({"regroup": node.id, "standing": standing, "quorum": quorum, "deadline": deadline})
        answer = await node.wait(told, f"a new view of {node.role!r}")
        if isinstance(answer, Timeout):
            raise answer
        view = view_of(answer)
        node.join(view)
        return view

    def told(self, news: dict[str, Any]) -> None:
        """The driver says something about views."""
        if "ask" in news:
            role, epoch, at = news["ask"]
            self._tell(View(epoch, (), "", 0, (), over=False), role, at)
            return
        answer = news["view"] if "view" in news else Timeout(news["why"])
        waiting = self._waiting.pop(news["node"] if "view" in news else news["no_view"], None)
        if waiting is not None and not waiting.triggered:
            waiting.succeed(answer)

    def ended(self, node_id: str) -> None:
        """A node's coroutine returned."""
        node = self._host.nodes[node_id]
        self._host.say({"ended": node_id, "standing": [node.view.epoch, node.version, int(node.in_view)]})
