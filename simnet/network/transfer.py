"""One message on its way through the network."""

from dataclasses import dataclass, field
from typing import Literal, Protocol

import simpy

from simnet.network.routing import Route

TransferStatus = Literal["waiting", "flowing", "sent", "delivered", "cancelled"]
"""waiting is for its latency, where that comes first."""


class Carrier(Protocol):
    """Who carries a message, and knows how it fares."""

    def rate_of(self, transfer: "Transfer") -> float:
        """Bytes per second now."""

    def remaining_of(self, transfer: "Transfer") -> float:
        """Bytes that have not left yet."""

    def bound_of(self, transfer: "Transfer") -> dict[str, float]:
        """What has bound it for how many seconds until now."""


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
    """Seconds between the last byte's departure and the delivery, or between its start and the first byte."""
    cap: float
    """The most bytes per second that it may get."""
    weight: float
    start: float
    sent: simpy.Event
    delivered: simpy.Event
    carrier: Carrier = field(repr=False)
    in_order: bool = True
    """Whether it arrives after all messages of its pair that left before it, also where latencies change."""
    status: TransferStatus = "flowing"
    left_at: float | None = None
    delivered_at: float | None = None
    held: bool = field(default=False, init=False)
    """Whether it does not get through at present."""
    cap_otherwise: float = field(default=0.0, init=False)
    """Its `cap` while it is held, and 0 while it is not: they change places."""
    limit: str = "cap"
    """What says how much it may get by itself: cap, window or loss."""
    messages: int = 1
    """How many messages of the same size it stands for, one after another."""
    chained: bool = False
    """Whether others tell when it arrives (see `FluidNetwork.arrive`)."""
    slow_start: bool = field(default=False, init=False)
    """Whether its window holds it back at present."""
    window: float = field(default=0.0, init=False)
    """Bytes that its connection may have in flight, as far as slow start has come; 0 before that matters."""
    first_window: float = field(default=0.0, init=False)
    """What `window` was at its start."""
    ramp: int = field(default=0, init=False)
    """How often it has begun to flow: tells the round trips of this time from those of a former one."""
    own_seconds: dict[str, float] = field(default_factory=dict, init=False)
    """For how long slow start and other limits of its own bound it, as far as that is over."""
    kept: float = field(default=0.0, init=False)
    """Bytes that never left, of a cancelled one."""
    bound_before: dict[str, float] = field(default_factory=dict, init=False)
    """What bound it for how long while it flowed, once that is over or on routes that it no longer takes."""

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
    def rate(self) -> float:
        """Bytes per second now; 0 once it has left, and until the end of the instant in which it starts."""
        return self.carrier.rate_of(self) if self.status == "flowing" else 0.0

    @property
    def remaining(self) -> float:
        """Bytes that have not left the source yet; for a cancelled one those that never will."""
        return self.carrier.remaining_of(self)

    @property
    def mean_rate(self) -> float | None:
        """Bytes per second between its start and the departure of its last byte; None if that took no
        time."""
        if self.left_at is None or self.left_at <= self.start:
            return None
        return self.bytes / (self.left_at - self.start)

    @property
    def bound(self) -> dict[str, float]:
        """What bound it for how many seconds so far: resources by name, `cap` (its own), `window`, `loss`,
        `slow start`, `partition` (it was held) and `latency`. They add up to the time from its start to its
        delivery."""
        found = self.carrier.bound_of(self)
        if self.delivered_at is not None and self.left_at is not None:
            travelled = self.delivered_at - self.start - sum(found.values())
            if self.latency > 0 and travelled > 0:
                found["latency"] = travelled
        return found

    def own_bounds(self, seconds: float) -> dict[str, float]:
        """What has bound it by itself, for `seconds` in all: what is over, and what binds it now."""
        found = dict(self.own_seconds)
        now = "partition" if self.held else "slow start" if self.slow_start else self.limit
        found[now] = found.get(now, 0.0) + seconds - sum(found.values())
        return found
