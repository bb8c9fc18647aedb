"""What resources carry over time, in a bounded number of intervals whose length follows the length of the
run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

INTERVALS = 128
"""At most so many intervals of equal length (and at least half as many, once there are any)."""
_SHORTEST = 2.0**-20


@dataclass(frozen=True, slots=True)
class LinkUse:
    """What resources carried: one row for each resource and interval in which it carried something."""

    resource: list[str]
    start: Floats
    """Seconds."""
    end: Floats
    bytes: Floats
    """Carried in this time, exactly."""
    capacity: Floats
    """Bytes that could have been carried."""


class LinkMeter:
    """Notes what resources have carried at times that are equally far apart.

    The times are multiples of an interval that doubles whenever there are too many of them, which forgets
    every other note. So it needs no event of the simulation, and no idea of how long that takes.
    """

    def __init__(self, capacities: Sequence[float], start: float) -> None:
        self.capacities = np.array(capacities, dtype=np.float64)
        """Bytes per second of each resource now."""
        self._start = start
        self._interval = _SHORTEST
        self._taken = 0
        self._notes: list[tuple[Floats, Floats]] = []
        self._offered = np.zeros(len(self.capacities))
        self._stamp = np.full(len(self.capacities), start)

    @property
    def due(self) -> float:
        """When the next note is to be taken."""
        return self._start + (self._taken + 1) * self._interval

    def set_capacity(self, resource: int, capacity: float, now: float) -> None:
        """From `now` on a resource could carry so much per second."""
        passed = now - self._stamp[resource]
        if passed > 0:
            self._offered[resource] += self.capacities[resource] * passed
        self.capacities[resource], self._stamp[resource] = capacity, now

    def advance(self, now: float, carried: Callable[[float], Floats]) -> None:
        """Take the notes that are due by `now`; `carried` tells what resources have carried until a time.

        Before anything changes what resources carry or could carry from `now` on.
        """
        while now >= self._start + (INTERVALS + 1) * self._interval:
            self._interval *= 2
            self._notes = self._notes[1::2]
            self._taken = len(self._notes)
        while self.due <= now:
            time = self.due
            self._notes.append((carried(time), self._offered_until(time)))
            self._taken += 1

    def result(self, now: float, carried: Callable[[float], Floats], names: Sequence[str]) -> LinkUse:
        """What there is to say at the end, at `now`."""
        self.advance(now, carried)
        times = [self._start + k * self._interval for k in range(self._taken + 1)]
        zero = np.zeros(len(self.capacities))
        notes = [(zero, zero), *self._notes]
        if now > times[-1]:
            times.append(now)
            notes.append((carried(now), self._offered_until(now)))
        if len(times) == 1:
            none = np.zeros(0)
            return LinkUse([], none, none, none, none)
        gone = np.diff(np.array([note for note, _ in notes]), axis=0)
        with np.errstate(invalid="ignore"):  # inf - inf, where capacity is infinite
            capacity = np.diff(np.array([note for _, note in notes]), axis=0)
        capacity[np.isnan(capacity)] = inf
        resource, interval = np.nonzero((gone > 0).T)
        starts, ends = np.array(times[:-1]), np.array(times[1:])
        return LinkUse(
            [names[index] for index in resource.tolist()],
            starts[interval],
            ends[interval],
            gone[interval, resource],
            capacity[interval, resource],
        )

    def _offered_until(self, time: float) -> Floats:
        passed = time - self._stamp
        with np.errstate(invalid="ignore"):  # an infinite capacity for no time
            return self._offered + np.where(passed > 0, self.capacities * passed, 0.0)
