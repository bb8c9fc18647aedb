"""The fabric's links: first in, first out, at a rate; and the trains of packets that pass them.

A train is served as one, since that is what makes it cheap. A single packet that comes while trains are still
coming in goes between their packets, after those that are there before it.

All times are instants on the clock of `time.monotonic()`, and those at which things happen on the emulated
network: they do not depend on when the fabric gets round to them.
"""

from collections import deque
from collections.abc import Callable
from math import inf
from random import Random
from typing import Any


class Ends(dict[Any, float]):
    """Until when something of each connection is under way; those that are over are forgotten in time."""

    __slots__ = ("_many",)

    def __init__(self) -> None:
        super().__init__()
        self._many = 64

    def note(self, connection: Any, until: float, now: float) -> None:
        """Remember an instant. Once they are twice as many as were left of them before, past ones go."""
        self[connection] = until
        if len(self) > self._many:
            for over in [known for known, end in self.items() if end <= now]:
                del self[over]
            self._many = max(64, 2 * len(self))


class Train:
    """A packet, or several of one connection that the kernel handed over as one, on its way.

    A train crosses links cut through: the next link begins when the first packet has arrived, and is done no
    earlier than the last one.
    """

    __slots__ = (
        "bare",
        "delay",
        "due",
        "ended",
        "finish",
        "flow",
        "frame",
        "host",
        "last",
        "lost",
        "path",
        "segment",
        "size",
        "stage",
        "start",
    )

    def __init__(
        self,
        frame: bytes,
        size: float,
        segment: float,
        path: "Path",
        host: int,
        due: float,
        flow: bytes,
        bare: bool = False,
    ) -> None:
        self.frame: bytes | None = frame
        """None once it has been replaced: what the heap still holds of it does not count."""
        self.size = size
        """Bytes on the wire, all headers included."""
        self.segment = segment
        """Those of its first packet."""
        self.path = path
        self.host = host
        """The index of the host that it goes to."""
        self.flow = flow
        """The connection that it belongs to: addresses and ports."""
        self.bare = bare
        """An acknowledgement and nothing else, which may overtake what its own connection sends."""
        self.stage = 0
        self.lost = False
        """Whether it takes its time on the present link, and then gets no further."""
        self.due = due
        """When its first packet is there for the present stage."""
        self.last = due
        """When its last packet is there."""
        self.start = inf
        """When the present link begins to serve it; infinite while that is down."""
        self.ended = inf
        """When the present link has time for the next one."""
        self.finish = inf
        """When its last packet leaves the present link."""
        self.delay = 0.0
        """Seconds between the present link and the next one."""

    def onward(self, due: float) -> "Train":
        """The same packets at the next stage, which the first one reaches at `due`.

        It is another train, since the present link may still be busy with this one.
        """
        assert self.frame is not None
        new = Train(self.frame, self.size, self.segment, self.path, self.host, due, self.flow, self.bare)
        new.stage = self.stage + 1
        new.last = self.finish + self.delay
        return new


class Link:
    """What packets queue for: one direction of a link, both of a half-duplex one, or a node's own uplink."""

    __slots__ = (
        "_queue",
        "arriving",
        "bytes",
        "drops",
        "first_free",
        "free",
        "lanes",
        "last",
        "limit",
        "name",
        "nominal",
        "owed",
        "queued",
        "rate",
        "up",
        "waiting",
    )

    def __init__(self, name: str, rate: float, queue: float | None, shared: bool = True) -> None:
        self.name = name
        self._queue = queue
        self.nominal = rate
        """Bytes per second while it is up."""
        self.rate = rate
        self.up = True
        self.limit = inf if queue is None else max(queue * rate, 2 * 65_536.0)
        """Bytes that may wait: what the rate drains in `queue` seconds, and two trains at least."""
        self.lanes: dict[bytes, Link] | None = None if shared else {}
        """Where connections do not share the rate: a link for each of them."""
        self.free = 0.0
        """When it has served all that was put on it."""
        self.first_free = 0.0
        """When it has served all that went first."""
        self.owed = 0.0
        """While it is down: bytes of time that what overtook has taken from others."""
        self.waiting: deque[Train] = deque()
        """What has been put on it and may not have left, in the order in which it came."""
        self.arriving: list[Train] = []
        """The trains among them whose packets are not all there."""
        self.last = Ends()
        """When the last packet of each connection leaves that has some here, acknowledgements aside."""
        self.queued = 0.0
        self.bytes = 0.0
        self.drops = 0

    def lane(self, connection: bytes) -> "Link":
        """The link of one connection, of those that do not share; the link itself where they do."""
        if self.lanes is None:
            return self
        if connection not in self.lanes:
            lane = self.lanes[connection] = Link(self.name, self.nominal, self._queue)
            lane.set_rate(0.0, up=self.up)
        return self.lanes[connection]

    def settle(self, time: float) -> None:
        """Forget what has left by `time`."""
        waiting = self.waiting
        while waiting and waiting[0].ended <= time:
            self.queued -= waiting.popleft().size

    def admit(self, train: Train) -> bool:
        """Put a train at the end of the queue; False if it does not fit, and is dropped whole."""
        self.settle(train.due)
        if self.queued + train.size > self.limit:
            self.drops += 1
            return False
        self.queued += train.size
        self.bytes += train.size
        self.waiting.append(train)
        self.serve(train)
        return True

    def sparse(self, train: Train) -> bool:
        """Whether it is a single packet of a connection that has nothing queued, or an acknowledgement."""
        return train.bare or (train.size <= train.segment and self.last.get(train.flow, 0.0) <= train.due)

    def slip_in(self, train: Train) -> bool:
        """Put a sparse packet before all that waits, and behind those that have slipped in before it.

        It takes its share of the rate from what comes later. It has begun, so to say: another rate does not
        concern it.
        """
        if self.rate <= 0.0:
            return self.admit(train)
        seconds = train.size / self.rate
        train.start = self.first_free if self.first_free > train.due else train.due
        train.ended = train.finish = self.first_free = train.start + seconds
        self._occupy(seconds, train.ended)
        self.bytes += train.size
        if not train.bare:
            self.last.note(train.flow, train.finish, train.due)
        return True

    def serve(self, train: Train, earliest: float = 0.0) -> None:
        """Work out when a train is served that comes after all that waits; not before `earliest`."""
        if self.rate <= 0.0:
            train.start = train.ended = train.finish = inf
            return
        start, due, seconds = self.free, train.due, train.size / self.rate
        if self.arriving:
            self.arriving = [other for other in self.arriving if other.last > due and other.ended > due]
        if train.size > train.segment:
            if train.last > due:
                self.arriving.append(train)
        elif self.arriving:
            start -= self._yet_to_come(due)
        if start < due:
            start = due
        if start < earliest:
            start = earliest
        if not train.bare:
            before = self.last.get(train.flow, 0.0)
            if start < before:
                start = before
        train.start = start
        train.ended = train.finish = start + seconds
        self._occupy(seconds, train.ended)
        # A slow link before this one sends the packets of a train one by one: it is not over before its last
        # one is, but others may pass in between.
        slow = train.last + train.segment / self.rate
        if slow > train.finish:
            train.finish = slow
        if not train.bare:
            self.last.note(train.flow, train.finish, due)

    def _occupy(self, seconds: float, ended: float) -> None:
        """Have less time for what comes: what overtakes delays the next one, not those whose time is set."""
        free = self.free + seconds
        self.free = free if free > ended else ended

    def _yet_to_come(self, due: float) -> float:
        """Seconds that are set aside for packets that are not there at `due`.

        Those of a train come evenly from its first, at its `due`, to its last. A packet that comes among them
        is served before the missing ones, as by a queue of packets; exact to one packet of each train.
        """
        seconds = 0.0
        for train in self.arriving:
            part = min(1.0, (train.last - due) / (train.last - train.due))
            seconds += min(part * (train.size - train.segment) / self.rate, train.ended - due)
        return seconds

    def set_rate(self, time: float, rate: float | None = None, up: bool | None = None) -> list[Train]:
        """Have another rate from `time` on, or go down or up; gives the trains whose times are others now.

        A train that is being served keeps its rate to its end. Each of those given is new and takes the place
        of one in the queue.
        """
        if rate is not None:
            self.nominal = rate
        if up is not None:
            self.up = up
        before, self.rate = self.rate, self.nominal if self.up else 0.0
        if self.lanes is not None:
            lanes = self.lanes.values()
            return [train for lane in lanes for train in lane.set_rate(time, self.nominal, self.up)]
        if self.rate == before:
            return []
        self.settle(time)
        begun = [train for train in self.waiting if train.start <= time]
        later = [_again(train) for train in self.waiting if train.start > time]
        self.waiting = deque((*begun, *later))
        self.arriving = [train for train in self.arriving if train.start <= time]
        again = {train.flow for train in later}
        for flow in again:
            self.last.pop(flow, None)
        self.last |= {train.flow: train.finish for train in begun if train.flow in again and not train.bare}
        busy = max((time, self.first_free, *(train.ended for train in begun)))
        if before > 0.0:
            self.owed = max(0.0, (self.free - busy) * before - sum(train.size for train in later))
        self.free = busy
        if self.rate > 0.0:
            self.free += self.owed / self.rate
            self.owed = 0.0
        for train in later:
            self.serve(train, time)
        return later


def _again(train: Train) -> Train:
    """A train that takes the place of `train`, at the same stage."""
    assert train.frame is not None
    new = Train(
        train.frame, train.size, train.segment, train.path, train.host, train.due, train.flow, train.bare
    )
    new.stage, new.last, new.lost = train.stage, train.last, train.lost
    train.frame = None
    return new


class Way:
    """One direction of a link as packets pass it after its queue: latency, jitter, loss."""

    __slots__ = ("jitter", "last", "latency", "loss", "lost", "luck")

    def __init__(self, latency: float, loss: float, jitter: "Jitter | None", luck: Random) -> None:
        self.latency = latency
        self.loss = loss
        self.jitter = jitter
        self.luck = luck
        self.last = Ends()
        """When the last packet of each connection comes out, which no later one overtakes; for bare
        acknowledgements on their own."""
        self.lost = 0

    def loses(self) -> bool:
        """Whether this packet is lost."""
        if self.loss > 0.0 and self.luck.random() < self.loss:
            self.lost += 1
            return True
        return False

    def delay(self, train: Train) -> float:
        """Seconds that a train takes once it has left its link; those of a connection keep their order."""
        if self.jitter is None:
            return self.latency
        leaves, key = train.finish, (train.flow, train.bare)
        arrives = leaves + max(0.0, self.jitter(self.latency, self.luck))
        arrives = max(arrives, self.last.get(key, 0.0))
        self.last.note(key, arrives, train.due)
        return arrives - leaves


Stage = tuple[Link, Way | None]
"""A link, and what comes after it; None where the next link follows at once."""
Path = tuple[Stage, ...]
Jitter = Callable[[float, Random], float]
"""From the latency to that of one packet."""


def jitter_of(description: list[Any] | None) -> Jitter | None:
    """What `wiring` wrote: `["lognormal", sigma]`, `["gamma", mean, shape]` or `["uniform", low, high]`."""
    if description is None:
        return None
    kind, *numbers = description
    if kind == "lognormal":
        (sigma,) = numbers
        return lambda latency, luck: latency * luck.lognormvariate(0.0, sigma)
    low, high = numbers
    if kind == "gamma":
        return lambda latency, luck: latency + luck.gammavariate(high, low / high)
    if kind == "uniform":
        return lambda latency, luck: latency + luck.uniform(low, high)
    raise ValueError(f"no jitter: {description}")
