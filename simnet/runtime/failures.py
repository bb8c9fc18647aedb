"""What becomes of messages and of those who wait when a node goes down or comes back."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import simpy

from simnet.network import Transfer
from simnet.network.clock import Alarm
from simnet.runtime.detection import detection_of
from simnet.runtime.node import PeerLost
from simnet.runtime.partitions import Partitions
from simnet.runtime.waiting import Still, Told

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun


@dataclass(frozen=True, slots=True)
class _Flow:
    transfer: Transfer
    source: str
    target: str


@dataclass(slots=True)
class _News:
    """Messages to everybody that a node is gone."""

    node_id: str
    alarm: Alarm
    """Of the time that it is gone: it may come back and go again meanwhile."""
    awaited: int
    """Messages that have not come yet."""


class Failures:
    """Which nodes are down or out of reach, and who is told when.

    A node that goes down sends nothing any more: what it is sending and what is on its way to it is cut off
    and counted as lost, as far as it had come. A message that had left it whole still arrives. The others
    notice when the scenario's `faults.detection` says so, all at once: whoever waits for the node then gets
    :class:`PeerLost`, and so do all members of the collectives that it was in, since each of them may wait
    for another that has given up. A node that comes back sooner is noticed when it does: it knows nothing of
    what others have begun with it, and says so.
    """

    def __init__(self, run: "SimulatedRun") -> None:
        self._run = run
        self.detection = detection_of(run, run.scenario)
        self.listeners: list[Callable[[], None]] = []
        """Called when nodes that were lost to somebody can be reached again."""
        self._partitions: Partitions | None = None
        self._down: dict[str, Alarm | None] = {}  # with the alarm at which it will be noticed
        self._noticed: set[str] = set()
        self._flows: dict[int, _Flow] = {}
        self._news: dict[int, _News] = {}
        self._collectives: dict[simpy.Process, tuple[str, tuple[str, ...]]] = {}

    def begin(self, partitions: Partitions | None) -> None:
        """The run begins, with these partitions ahead."""
        self._partitions = partitions
        self.detection.begin()
        if partitions is not None:
            partitions.begin()

    def stop(self) -> None:
        """No more partitions, and nobody watches the others any more."""
        self.detection.stop()
        if self._partitions is not None:
            self._partitions.stop()

    def notice_no_more(self) -> None:
        """The run is over: it makes no difference who notices what."""
        for alarm in self._down.values():
            if alarm is not None:
                alarm.call_off()

    # -- going and coming -----------------------------------------------------------------------------

    def down(self, node_id: str, *, says_so: bool = False) -> None:
        """A node that is up goes down now: its messages are cut, and the others will notice.

        If it says so, what it is sending still leaves, and the others notice when they are told.
        """
        self.cut(node_id, says_so=says_so)
        seconds = self.detection.seconds_until(node_id)
        alarm = self._down[node_id] = Alarm(self._run.env, lambda _: self._detect(node_id), seconds)
        if says_so:
            self._tell(node_id, node_id, alarm)

    def cut(self, node_id: str, *, says_so: bool = False) -> None:
        """What a node is sending (unless it says that it goes) and what is on its way to it is lost."""
        for flow in list(self._flows.values()):
            sending = flow.source == node_id and flow.transfer.status in ("flowing", "waiting")
            if (sending and not says_so) or flow.target == node_id:
                self._run.network.cancel(flow.transfer)

    def up(self, node_id: str) -> None:
        """A node that was down is up again."""
        self._notice(node_id)
        alarm = self._down.pop(node_id)
        if alarm is not None:
            alarm.call_off()
        self._noticed.discard(node_id)
        self.detection.came(node_id)
        for listener in self.listeners:
            listener()

    def absent(self, node_id: str) -> None:
        """A node is not there from the start, and everybody knows."""
        self._down[node_id] = None
        self._noticed.add(node_id)

    # -- who knows what -------------------------------------------------------------------------------

    def is_down(self, node_id: str) -> bool:
        """Whether it is down, noticed or not."""
        return node_id in self._down

    def is_lost(self, observer: str, node_id: str) -> bool:
        """Whether `observer` knows that it is down, or out of reach."""
        if node_id in self._noticed:
            return True
        return self._partitions is not None and self._partitions.is_noticed(observer, node_id)

    def seen_up(self, observer: str, members: tuple[str, ...]) -> tuple[str, ...]:
        """Those of `members` that `observer` does not know to be down or out of reach."""
        if not self._anybody_lost:
            return members
        return tuple(member for member in members if not self.is_lost(observer, member))

    @property
    def _anybody_lost(self) -> bool:
        return bool(self._noticed) or (self._partitions is not None and self._partitions.any_noticed)

    def first_lost(self, observer: str, members: Iterable[str]) -> str | None:
        """The first of `members` that `observer` knows to be down or out of reach."""
        if not self._anybody_lost:
            return None
        return next((member for member in members if self.is_lost(observer, member)), None)

    # -- messages and collectives ---------------------------------------------------------------------

    def watch(self, transfer: Transfer, source: str, target: str) -> None:
        """Remember between which nodes a transfer is under way, if it has not arrived already."""
        if transfer.status in ("waiting", "flowing", "sent"):
            self._flows[transfer.id] = _Flow(transfer, source, target)
            if self._partitions is not None and self._partitions.separate(source, target):
                self._run.network.holding.hold(transfer)

    def ended(self, transfer: Transfer) -> None:
        """A transfer is no longer under way."""
        self._flows.pop(transfer.id, None)
        if self._news and transfer.id in self._news:
            self._heard(self._news.pop(transfer.id))

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
        self._collectives[process] = observer, members
        try:
            yield
        finally:
            del self._collectives[process]

    # -- who is told ----------------------------------------------------------------------------------

    def _detect(self, node_id: str) -> None:
        """It is found out that a node is gone."""
        alarm, teller = self._down[node_id], self.detection.who_tells(node_id)
        if teller is None or alarm is None:
            self._notice(node_id)
        else:
            self._tell(teller, node_id, alarm)

    def _tell(self, teller: str, node_id: str, alarm: Alarm) -> None:
        """A message to everybody else that a node is gone; it is noticed when the last of them has come."""
        source, network = self._run.nodes[teller].host, self._run.network
        news = _News(node_id, alarm, 1)
        for name, node in self._run.nodes.items():
            if name in (teller, node_id) or name in self._down or self.is_lost(teller, name):
                continue
            transfer = network.send(source, node.host, self.detection.message_bytes, kind="gone")
            if transfer.status not in ("delivered", "cancelled"):
                news.awaited += 1
                self._news[transfer.id] = news
                self.watch(transfer, teller, name)
        self._heard(news)

    def _heard(self, news: _News) -> None:
        news.awaited -= 1
        if not news.awaited and self._down.get(news.node_id) is news.alarm:
            self._notice(news.node_id)

    def _notice(self, node_id: str) -> None:
        if node_id in self._noticed:
            return
        self._noticed.add(node_id)
        self._run.recorder.fault(float(self._run.env.now), node_id, "noticed", "")
        if self._run.rollback is not None and self._run.rollback.begins(node_id):
            return
        told: dict[simpy.Process, Told] = {}
        for process, entry in self._collectives.items():
            if node_id in entry[1]:
                told[process] = Told(PeerLost(node_id), Still(self._collectives, process, entry))
        for node in self._run.nodes.values():
            for key, waiting in node.waiting_for.items():
                concerned = waiting.peer == node_id or node_id in waiting.watching
                if concerned and waiting.process is not None:
                    still = Still(node.waiting_for, key, waiting)
                    told[waiting.process] = Told(PeerLost(node_id), still)
        self._run.rings.lost(node_id)
        self._run.views.lost(node_id)
        _interrupt(told)

    # -- partitions -----------------------------------------------------------------------------------

    def split(self) -> None:
        """A partition has begun: what is on its way between its groups stands still."""
        assert self._partitions is not None
        for flow in self._flows.values():
            if flow.transfer.status != "sent" and self._partitions.separate(flow.source, flow.target):
                self._run.network.holding.hold(flow.transfer)

    def noticed_split(self) -> None:
        """Both sides know: what stands still is cut, and who waits for the other side is told."""
        for flow in list(self._flows.values()):
            if flow.transfer.held and self.is_lost(flow.source, flow.target):
                self._run.network.cancel(flow.transfer)
        told: dict[simpy.Process, Told] = {}
        for process, entry in self._collectives.items():
            lost = self.first_lost(*entry)
            if lost is not None:
                told[process] = Told(PeerLost(lost), Still(self._collectives, process, entry))
        for name, node in self._run.nodes.items():
            for key, waiting in node.waiting_for.items():
                lost = next((peer for peer in waiting.peers if self.is_lost(name, peer)), None)
                if lost is not None and waiting.process is not None:
                    still = Still(node.waiting_for, key, waiting)
                    told[waiting.process] = Told(PeerLost(lost), still)
        self._run.rings.lost_apart(self.is_lost)
        self._run.views.split()
        _interrupt(told)

    def healed(self) -> None:
        """A partition is over: what stands still goes on."""
        assert self._partitions is not None
        for flow in self._flows.values():
            if flow.transfer.held and not self._partitions.separate(flow.source, flow.target):
                self._run.network.holding.release(flow.transfer)
        for listener in self.listeners:
            listener()


def _interrupt(told: dict[simpy.Process, Told]) -> None:
    for process, what in told.items():
        if process.is_alive:
            process.interrupt(what)
