"""The fabric's links: first in, first out, at a rate; and the trains of packets that pass them.

All times are instants on the clock of `time.monotonic()`, and those at which things happen on the emulated
network: they do not depend on when the fabric gets round to them.
"""

from collections import deque
from collections.abc import Callable
from math import inf
from random import Random
from typing import Any


class Train:
    """A packet, or several of one connection that the kernel handed over as one, on its way.

    A train crosses links cut through: the next link begins when the first packet has arrived, and is done no
    earlier than the last one.
    """

    __slots__ = (
        "delay",
        "due",
        "ended",
        "finish",
        "frame",
        "host",
        "last",
        "path",
        "segment",
        "size",
        "stage",
        "start",
    )

    def __init__(
        self, frame: bytes, size: float, segment: float, path: "Path", host: int, due: float
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
        self.stage = 0
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
        new = Train(self.frame, self.size, self.segment, self.path, self.host, due)
        new.stage = self.stage + 1
        new.last = self.finish + self.delay
        return new


class Link:
    """What packets queue for: one direction of a link, both of a half-duplex one, or a node's own uplink."""

    __slots__ = (
        "_queue",
        "bytes",
        "drops",
        "free",
        "lanes",
        "limit",
        "name",
        "nominal",
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
        self.waiting: deque[Train] = deque()
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

    def slip_in(self, train: Train) -> bool:
        """Put an acknowledgement before all that waits, as a host does whose TCP keeps its queue short.

        It takes its share of the rate from what comes later.
        """
        if self.rate <= 0.0:
            return self.admit(train)
        seconds = train.size / self.rate
        train.start = train.due
        train.ended = train.finish = train.due + seconds
        self.free = (self.free if self.free > train.due else train.due) + seconds
        self.bytes += train.size
        return True

    def serve(self, train: Train) -> None:
        """Work out when the last train of the queue is served."""
        if self.rate <= 0.0:
            train.start = train.ended = train.finish = inf
            return
        start = self.free if self.free > train.due else train.due
        ended = start + train.size / self.rate
        # A slow link before this one sends the packets of a train one by one: it is not over before its last
        # one is, but others may pass in between.
        slow = train.last + train.segment / self.rate
        train.start, train.ended = start, ended
        train.finish = slow if slow > ended else ended
        self.free = ended

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
        self.free = max((train.ended for train in begun), default=time)
        for train in later:
            self.serve(train)
        return later


def _again(train: Train) -> Train:
    """A train that takes the place of `train`, at the same stage."""
    assert train.frame is not None
    new = Train(train.frame, train.size, train.segment, train.path, train.host, train.due)
    new.stage, new.last = train.stage, train.last
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
        self.last: dict[bytes, float] = {}
        """When the last packet of each pair of addresses comes out, which no later one overtakes."""
        self.lost = 0

    def loses(self) -> bool:
        """Whether this packet is lost."""
        if self.loss > 0.0 and self.luck.random() < self.loss:
            self.lost += 1
            return True
        return False

    def delay(self, leaves: float, pair: bytes) -> float:
        """Seconds that a packet takes which enters at `leaves`; packets of a pair keep their order."""
        if self.jitter is None:
            return self.latency
        arrives = leaves + max(0.0, self.jitter(self.latency, self.luck))
        arrives = max(arrives, self.last.get(pair, 0.0))
        self.last[pair] = arrives
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
