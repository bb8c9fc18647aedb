"""Flows that drain: bytes that go at max-min fair rates, when they are done, what bound them for how long.

`Flows` is what a `FluidNetwork` needs of them; `PythonFlows` does it on the plain `Allocator` (see
`simnet.network.backends`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from math import inf
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simnet.network.allocator import Allocator
from simnet.network.invariants import InvariantError

SAME_INSTANT = 1e-9
"""Seconds within which flows that are about to end do so together."""
NEGLIGIBLE = 1e-10
"""A flow that would take less than so many seconds more ends at once."""
OWN_CAP = -1
"""What binds a flow that gets as much as it may: not a resource but its own cap."""


class Flows(Protocol):
    """Draining flows, named by integers of the caller's choice. Times never go back."""

    work: int
    """How many rates have been computed so far, about."""

    def add(
        self,
        flow: int,
        resources: tuple[int, ...],
        size: float,
        now: float,
        cap: float = inf,
        weight: float = 1.0,
        uses: tuple[float, ...] | None = None,
        remaining: float | None = None,
    ) -> None:
        """A flow of `size` bytes begins, or goes on with those that `remaining` says; see `Allocator.add`."""

    def remove(self, flow: int, now: float) -> float:
        """A flow ends; gives the bytes that remain."""

    def set_capacity(self, resource: int, capacity: float) -> None:
        """A resource gives more or less."""

    def set_cap(self, flow: int, cap: float) -> None:
        """A flow may get more or less."""

    def set_weight(self, flow: int, weight: float) -> None:
        """A flow has another share."""

    def solve(self, now: float) -> None:
        """Bring rates up to date with all that has happened in this instant."""

    @property
    def next_done(self) -> float:
        """When the next flow will be done, as of the last solve."""

    def take_done(self, now: float) -> list[int]:
        """The flows that are done within `SAME_INSTANT`, by their time and number; they are to be removed
        now.

        Raises `InvariantError` if one should have been done before.
        """

    def rate(self, flow: int) -> float:
        """A flow's rate as of the last solve."""

    def remaining(self, flow: int, now: float) -> float:
        """What a flow has left."""

    def bound_seconds(self, flow: int, now: float) -> dict[int, float]:
        """How long each resource (by its index) or its own cap (`OWN_CAP`) has bound a flow, in seconds."""

    def bytes_gone(self, now: float, unit: int) -> int:
        """What has left of all flows, in units of 1/`unit` bytes (a power of two), cut off for each flow."""

    def carried(self, now: float) -> NDArray[np.float64]:
        """Bytes that each resource has carried."""


@dataclass(slots=True)
class Drain:
    """How far one flow is."""

    size: float
    remaining: float
    stamp: float
    rate: float = 0.0
    generation: int = 0
    """How often the rate has changed: tells a current prediction of the end from a stale one."""
    bound: int | None = None
    since: float = 0.0
    seconds: dict[int, float] = field(default_factory=dict)

    def at(self, time: float) -> float:
        """Bytes left at `time`."""
        if self.rate == 0.0:
            return self.remaining
        return max(0.0, self.remaining - self.rate * (time - self.stamp))

    def set_rate(self, rate: float, now: float) -> None:
        """Go on at another rate."""
        self.remaining, self.stamp, self.rate = self.at(now), now, rate
        self.generation += 1

    def set_bound(self, bound: int | None, now: float) -> None:
        """Be bound by something else."""
        if self.bound is not None:
            self.seconds[self.bound] = self.seconds.get(self.bound, 0.0) + now - self.since
        self.bound, self.since = bound, now


@dataclass(frozen=True, slots=True)
class Routed:
    """What a flow takes and may take."""

    resources: tuple[int, ...]
    uses: tuple[float, ...] | None
    cap: float
    weight: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of draining flows."""

    capacities: Sequence[float]
    private: frozenset[int]
    flows: Mapping[int, tuple[Routed, Drain]]
    carried: NDArray[np.float64]
    used: NDArray[np.float64]
    stamp: NDArray[np.float64]


class PythonFlows:
    """`Flows` in plain Python: the reference, and what small simulations and machines without numba use."""

    def __init__(self, capacities: Sequence[float], private: frozenset[int] = frozenset()) -> None:
        self._allocator = Allocator(capacities, private)
        self._private = private
        self._drains: dict[int, Drain] = {}
        self._routed: dict[int, Routed] = {}
        # Predicted ends: (time, flow, generation, drain); those of another generation are stale.
        self._ends: list[tuple[float, int, int, Drain]] = []
        size = len(capacities)
        self._carried, self._used, self._stamp = [0.0] * size, [0.0] * size, [0.0] * size

    @property
    def work(self) -> int:
        """How many rates have been computed so far."""
        return self._allocator.work

    def add(
        self,
        flow: int,
        resources: tuple[int, ...],
        size: float,
        now: float,
        cap: float = inf,
        weight: float = 1.0,
        uses: tuple[float, ...] | None = None,
        remaining: float | None = None,
    ) -> None:
        """A flow of `size` bytes begins, or goes on with those that `remaining` says; see `Allocator.add`."""
        self._allocator.add(flow, resources, cap, weight, uses)
        self._drains[flow] = Drain(size, size if remaining is None else remaining, now)
        self._routed[flow] = Routed(resources, uses, cap, weight)

    def remove(self, flow: int, now: float) -> float:
        """A flow ends; gives the bytes that remain."""
        drain = self._drains.pop(flow)
        del self._routed[flow]
        self._allocator.remove(flow)
        drain.set_rate(0.0, now)  # its predictions are stale from now on
        return drain.remaining

    def set_capacity(self, resource: int, capacity: float) -> None:
        """A resource gives more or less."""
        self._allocator.set_capacity(resource, capacity)

    def set_cap(self, flow: int, cap: float) -> None:
        """A flow may get more or less."""
        self._allocator.set_cap(flow, cap)
        route = self._routed[flow]
        self._routed[flow] = Routed(route.resources, route.uses, cap, route.weight)

    def set_weight(self, flow: int, weight: float) -> None:
        """A flow has another share."""
        self._allocator.set_weight(flow, weight)
        route = self._routed[flow]
        self._routed[flow] = Routed(route.resources, route.uses, route.cap, weight)

    def solve(self, now: float) -> None:
        """Bring rates up to date with all that has happened in this instant."""
        changed = self._allocator.solve()
        touched, solved = self._allocator.reached
        rates, bounds = self._allocator.rates, self._allocator.bounds
        for flow in solved:
            bound, drain = bounds[flow], self._drains[flow]
            if bound != drain.bound:
                drain.set_bound(bound, now)
        ends = []
        for flow in changed:
            drain, rate = self._drains[flow], rates[flow]
            drain.set_rate(rate, now)
            if rate == inf:
                self._carry(flow, drain.remaining)
            if rate > 0.0:
                late = drain.remaining > rate * NEGLIGIBLE
                ends.append((now + drain.remaining / rate if late else now, flow, drain.generation, drain))
        self._predict(ends)
        for resource in touched:
            used = self._allocator.used(resource)
            if used != self._used[resource]:
                self._carried[resource] += self._used[resource] * (now - self._stamp[resource])
                self._used[resource], self._stamp[resource] = used, now

    def _carry(self, flow: int, bytes: float) -> None:
        route = self._routed[flow]
        for resource, use in zip(route.resources, route.uses or (1.0,) * len(route.resources), strict=True):
            self._carried[resource] += bytes * use

    def _predict(self, ends: list[tuple[float, int, int, Drain]]) -> None:
        """Add predictions; drops the stale ones at times, so that their number stays in proportion."""
        if 4 * len(ends) < len(self._ends) < 4 * len(self._drains) + 64:
            for end in ends:
                heappush(self._ends, end)
        else:
            ends += [entry for entry in self._ends if entry[2] == entry[3].generation]
            heapify(ends)
            self._ends = ends

    @property
    def next_done(self) -> float:
        """When the next flow will be done."""
        ends = self._ends
        while ends and ends[0][2] != ends[0][3].generation:
            heappop(ends)
        return ends[0][0] if ends else inf

    def take_done(self, now: float) -> list[int]:
        """The flows that are done within `SAME_INSTANT`, by their time and number; they are to be removed
        now."""
        done: list[int] = []
        ends = self._ends
        while self.next_done <= now + SAME_INSTANT:
            time, flow, _, drain = heappop(ends)
            check_in_time(flow, time, now)
            if drain.rate < inf:  # what is left of it, by a rounding error, or goes a nanosecond early
                self._carry(flow, drain.remaining - drain.rate * (now - drain.stamp))
            drain.remaining, drain.stamp = 0.0, now
            done.append(flow)
        return done

    def rate(self, flow: int) -> float:
        """A flow's rate as of the last solve."""
        return self._drains[flow].rate

    def remaining(self, flow: int, now: float) -> float:
        """What a flow has left."""
        return self._drains[flow].at(now)

    def bound_seconds(self, flow: int, now: float) -> dict[int, float]:
        """How long each resource (by its index) or its own cap (`OWN_CAP`) has bound a flow, in seconds."""
        drain = self._drains[flow]
        drain.set_bound(drain.bound, now)
        return {bound: seconds for bound, seconds in drain.seconds.items() if seconds > 0.0}

    def bytes_gone(self, now: float, unit: int) -> int:
        """What has left of all flows, in units of 1/`unit` bytes (a power of two), cut off for each flow."""
        return sum(int((drain.size - drain.at(now)) * unit) for drain in self._drains.values())

    def carried(self, now: float) -> NDArray[np.float64]:
        """Bytes that each resource has carried."""
        used, stamp = np.array(self._used), np.array(self._stamp)
        return np.array(self._carried) + used * (now - stamp)

    def snapshot(self) -> Snapshot:
        """Everything there is to know, for another implementation to go on from; a solve is due after it."""
        flows = {flow: (self._routed[flow], drain) for flow, drain in self._drains.items()}
        arrays = (np.array(values) for values in (self._carried, self._used, self._stamp))
        return Snapshot(self._allocator.capacities, self._private, flows, *arrays)


def check_in_time(flow: int, due: float, now: float) -> None:
    """Raise `InvariantError` if a flow that ends now was due before."""
    if due < now - SAME_INSTANT - 4 * np.spacing(now):  # SimPy adds delays, which rounds
        raise InvariantError(f"message {flow} was due at {due} s, but leaves at {now} s")
