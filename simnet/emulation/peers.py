"""What one host of an emulation knows of the others: who is gone, and in which view it is with whom."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import simpy

from simnet.emulation.meetings import view_of
from simnet.emulation.noticing import Noticing
from simnet.emulation.separation import Separation
from simnet.network.clock import Alarm
from simnet.runtime.node import PeerLost, Timeout, View
from simnet.runtime.views import Views
from simnet.runtime.waiting import Still, Told

if TYPE_CHECKING:
    from simnet.emulation.connections import Connections
    from simnet.emulation.host_run import HostRun
    from simnet.runtime.simulated_node import SimulatedNode


class HostFailures:
    """Which nodes this host knows to be gone: those whose connection has ended and those beyond a partition,
    once that is noticed."""

    def __init__(self, run: "HostRun", noticing: Noticing) -> None:
        self._run = run
        self._noticing = noticing
        self.listeners: list[Callable[[], None]] = []
        self._alarms: dict[str, Alarm | None] = {}  # None where another host will tell
        self._lost: set[str] = set()
        self._apart: Set[str] = frozenset()
        self._collectives: dict[simpy.Process, tuple[str, ...]] = {}

    def gone(self, node_id: str) -> None:
        """A node's connection has ended: it will be noticed."""
        if node_id in self._alarms:
            return
        self._alarms[node_id] = None
        for name, alarm in self._alarms.items():  # who has listened to one that is gone may be gone as well
            seconds = self._noticing.seconds_until(name) if alarm is None else None
            if seconds is not None:
                self._alarms[name] = Alarm(self._run.env, partial(self._find, name), seconds)

    def told(self, node_id: str) -> None:
        """Another host says that a node is gone."""
        if node_id in self._alarms:
            self._notice(node_id)

    def _find(self, node_id: str, _: simpy.Event) -> None:
        """This host finds out that a node is gone."""
        if node_id not in self._lost:
            self._noticing.found(node_id)
            self._notice(node_id)

    def back(self, node_id: str) -> None:
        """A node is there again: it knows nothing of what others have begun with it."""
        self._notice(node_id)
        alarm = self._alarms.pop(node_id, None)
        if alarm is not None:
            alarm.call_off()
        self._lost.discard(node_id)
        self._noticing.came(node_id)
        for listener in self.listeners:
            listener()

    def separated(self, names: Set[str]) -> None:
        """These nodes, and no others, are out of reach: it is noticed now, or is over now."""
        newly, back = names - self._apart, self._apart - names
        self._apart = names
        self._tell(newly)
        if back:
            for listener in self.listeners:
                listener()

    def is_down(self, node_id: str) -> bool:
        """Whether nothing reaches it, as far as can be seen from here."""
        return node_id in self._alarms

    def is_lost(self, observer: str, node_id: str) -> bool:
        """Whether it is known to be gone."""
        return node_id in self._lost or node_id in self._apart

    def first_lost(self, observer: str, members: Iterable[str]) -> str | None:
        """The first of `members` that is known to be gone."""
        if not self._lost and not self._apart:
            return None
        return next((member for member in members if self.is_lost(observer, member)), None)

    def seen_up(self, observer: str, members: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `members` that are not known to be gone."""
        if not self._lost and not self._apart:
            return members
        return tuple(member for member in members if not self.is_lost(observer, member))

    @contextmanager
    def together(self, observer: str, members: tuple[str, ...]) -> Iterator[None]:
        """While the current process is in a collective: it is told when one of the members is lost.

        Raises :class:`PeerLost` at once if one is known to be.
        """
        lost = self.first_lost(observer, members)
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
        self._tell({node_id})

    def _tell(self, lost: Set[str]) -> None:
        """Tell whoever is in a collective with these, or waits for one of them."""
        told: dict[simpy.Process, Told] = {}
        for process, members in self._collectives.items():
            if found := [name for name in members if name in lost]:
                told[process] = Told(PeerLost(found[0]), Still(self._collectives, process, members))
        for node in self._run.nodes.values():
            for key, waiting in node.waiting_for.items():
                found = [name for name in waiting.peers if name in lost]
                if found and waiting.process is not None:
                    still = Still(node.waiting_for, key, waiting)
                    told[waiting.process] = Told(PeerLost(found[0]), still)
        for process, what in told.items():
            if process.is_alive:
                process.interrupt(what)


class HostSeparations:
    """Carries out one host's part of the partitions that are noticed, at their times.

    It breaks off its connections across a cut, and connects again when it heals; what it had sent until then
    and is not there is lost.

    Args:
        run: The host's run.
        wire: Its connections.
        ahead: From when on who is known to be apart.
    """

    def __init__(self, run: "HostRun", wire: "Connections", ahead: Sequence[Separation]) -> None:
        self._run = run
        self._wire = wire
        self._ahead = ahead
        self._apart: frozenset[str] = frozenset()
        self._timers: list[asyncio.TimerHandle] = []
        self._connecting: set[asyncio.Task[None]] = set()

    def begin(self) -> None:
        """The run begins."""
        loop = asyncio.get_running_loop()
        for one in self._ahead:
            when = loop.time() + one.time - self._run.env.real_now
            self._timers.append(loop.call_at(when, self._separate, one))

    def end(self) -> None:
        """The run is over."""
        for timer in self._timers:
            timer.cancel()
        for task in self._connecting:
            task.cancel()

    def _separate(self, one: Separation) -> None:
        mine = one.side(self._run.host)
        hosts = frozenset(self._run.hosts.values())
        apart = frozenset(host for host in hosts if one.side(host) != mine)
        back, still = self._apart - apart, self._apart | apart
        for host in apart - self._apart:
            self._wire.cut(host)
        self._apart = apart
        self._know(still)
        if back:
            task = asyncio.ensure_future(self._reach(back))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _reach(self, hosts: Set[str]) -> None:
        try:
            await self._wire.connect_again(hosts)
        except OSError as error:
            self._run.fails(error)
        self._know(self._apart)

    def _know(self, apart: Set[str]) -> None:
        nodes = frozenset(name for host in apart for name in self._run.nodes_on(host))
        self._run.env.inject(partial(self._run.failures.separated, nodes))


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
        standing = self._host.nodes[node.id].standing
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
        self._host.say({"ended": node_id, "standing": self._host.nodes[node_id].standing})
