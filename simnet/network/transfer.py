"""One message on its way through the network."""

from dataclasses import dataclass, field
from typing import Literal

import simpy

from simnet.network.routing import Route

TransferStatus = Literal["flowing", "sent", "delivered", "cancelled"]


@dataclass(slots=True, eq=False)
class Transfer:
    """A message that drains from its source at the rate that the network gives it, and arrives a latency
    later.

    Await `sent` for its last byte to leave and `delivered` for it to arrive; both give the transfer. Neither
    ever happens after a cancellation.
    """

    id: int
    route: Route
    bytes: float
    """What the network carries: the charged size."""
    raw_bytes: float
    """What the payload holds, for the record."""
    kind: str
    latency: float
    """Seconds between the last byte's departure and the delivery."""
    cap: float
    """The most bytes per second that it may get."""
    weight: float
    start: float
    sent: simpy.Event
    delivered: simpy.Event
    status: TransferStatus = "flowing"
    rate: float = 0.0
    """Bytes per second now; 0 once it has left, and until the end of the instant in which it starts."""
    left_at: float | None = None
    delivered_at: float | None = None
    generation: int = field(default=0, init=False)
    """How often the rate has changed: tells a current prediction of the end from a stale one."""
    _remaining: float = field(init=False)
    _stamp: float = field(init=False)

    def __post_init__(self) -> None:
        self._remaining, self._stamp = self.bytes, self.start

    @property
    def source(self) -> str:
        """The node that it starts from."""
        return self.route.hops[0]

    @property
    def target(self) -> str:
        """The node that it goes to."""
        return self.route.hops[-1]

    @property
    def local(self) -> bool:
        """Whether it stays on its node and so uses no network."""
        return len(self.route.hops) == 1

    @property
    def remaining(self) -> float:
        """Bytes that have not left the source yet; for a cancelled one those that never will."""
        return self.remaining_at(self.sent.env.now)

    def remaining_at(self, time: float) -> float:
        """Bytes that will not have left at `time`, if no rate changes between now and then."""
        if self.rate == 0.0:
            return self._remaining
        return max(0.0, self._remaining - self.rate * (time - self._stamp))

    def set_rate(self, rate: float, time: float) -> float:
        """For the network: drain at `rate` from `time` on. Returns the bytes that remain."""
        self._remaining = remaining = self.remaining_at(time)
        self._stamp = time
        self.generation += 1
        self.rate = rate
        return remaining

    def leave(self, time: float) -> None:
        """For the network: the last byte leaves at `time`."""
        self._remaining = self.rate = 0.0
        self._stamp = self.left_at = time
        self.generation += 1
        self.status = "sent"
