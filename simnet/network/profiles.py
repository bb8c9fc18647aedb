"""Values that change over time: piecewise constant functions of the simulated time, evaluated where needed.

A profile is a pure function of the scenario and the seed: asking it changes nothing, so every algorithm under
one seed meets the same network. All times are in seconds from the start of the run, all values in SI units.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import ceil, cos, floor, fsum, inf, pi, prod
from typing import Protocol

import numpy as np

Switches = Sequence[tuple[float, bool]]
"""(When, whether it is down from then on), in the order of time."""


class Profile(Protocol):
    """A value over time, constant between its changes."""

    @property
    def mean(self) -> float:
        """Its mean in the long run: what it is taken for where one number is wanted, as in routing."""

    def at(self, time: float) -> float:
        """The value from `time` on."""

    def next_change(self, time: float) -> float:
        """When it changes next, strictly after `time`; infinite if it never does."""


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that stays."""

    value: float

    @property
    def mean(self) -> float:
        """The value."""
        return self.value

    def at(self, time: float) -> float:
        """The value."""
        return self.value

    def next_change(self, time: float) -> float:
        """Never."""
        return inf


@dataclass(frozen=True)
class Steps:
    """`values[i]` from `starts[i]` on, over again every `period` if that is finite.

    Args:
        starts: Increasing times, the first of them 0; all less than `period`.
        values: One for each.
        period: After how long it begins again; infinite if the last value stays.

    Raises:
        ValueError: The times are not so, or there is not one value for each.
    """

    starts: tuple[float, ...]
    values: tuple[float, ...]
    period: float = inf

    def __post_init__(self) -> None:
        if not self.starts or self.starts[0] != 0 or any(a >= b for a, b in pairwise(self.starts)):
            raise ValueError(f"steps start at 0 and at increasing times, not at {self.starts}")
        if self.starts[-1] >= self.period or len(self.values) != len(self.starts):
            raise ValueError(
                f"{len(self.values)} values for starts {self.starts} in a period of {self.period} s"
            )

    @cached_property
    def mean(self) -> float:
        """Over one period; without one, over the time up to the last step."""
        end = self.starts[-1] if self.period == inf else self.period
        if end == 0:
            return self.values[0]
        lasting = [b - a for a, b in pairwise((*self.starts, end))]
        return fsum(value * seconds for value, seconds in zip(self.values, lasting, strict=False)) / end

    def at(self, time: float) -> float:
        """The value from `time` on."""
        return self.values[self._step(time) % len(self.values)]

    def next_change(self, time: float) -> float:
        """The start of the next step, whether or not its value is another one."""
        return self._start(self._step(time) + 1)

    def _start(self, step: int) -> float:
        """When the `step`-th step begins, counted over all periods."""
        rounds, index = divmod(step, len(self.starts))
        if rounds == 0:
            return self.starts[index]
        return inf if self.period == inf else rounds * self.period + self.starts[index]

    def _step(self, time: float) -> int:
        """The last step that has begun at `time`, by the same rounding as :meth:`_start`.

        So a profile that is asked at the very time of a change has changed.
        """
        if self.period == inf:
            return bisect_right(self.starts, time) - 1
        rounds = floor(time / self.period)
        step = rounds * len(self.starts) + bisect_right(self.starts, time - rounds * self.period) - 1
        while self._start(step + 1) <= time:
            step += 1
        while step > 0 and self._start(step) > time:
            step -= 1
        return step


def steps(starts: Sequence[float], values: Sequence[float], period: float = inf) -> Profile:
    """The same as `Steps`, without steps that change nothing."""
    kept = [0] + [i for i in range(1, len(values)) if values[i] != values[i - 1]]
    if len(kept) == 1:
        return Constant(values[0])
    return Steps(tuple(starts[i] for i in kept), tuple(values[i] for i in kept), period)


def during(start: float, end: float, value: float, otherwise: float = 1.0) -> Profile:
    """`value` from `start` to `end`, which may be infinite, and `otherwise` before and after."""
    changes = [(0.0, otherwise)] if start > 0 else []
    changes += [(start, value)] + ([(end, otherwise)] if end < inf else [])
    return steps([time for time, _ in changes], [value for _, value in changes])


def wave(
    mean: float, amplitude: float, period: float, phase: float = 0.0, step: float | None = None
) -> Profile:
    """`mean * (1 + amplitude * sin(2 pi (t + phase) / period))` in steps, each with its mean over the step.

    So what flows during a whole number of steps is what flows under the sine itself. The last step of a
    period is shorter where the period is not a multiple of `step`, which is period / 96 if not given.
    """
    length = period / 96 if step is None else step
    count = ceil(period / length - 1e-9)
    starts = [i * length for i in range(count)]
    turn = 2 * pi / period
    values = []
    for start, end in pairwise((*starts, period)):
        swing = (cos(turn * (start + phase)) - cos(turn * (end + phase))) / (turn * (end - start))
        values.append(max(0.0, mean * (1 + amplitude * swing)))
    return steps(starts, values, period)


@dataclass
class OnOff:
    """A value that flips between two at random times: a Markov chain in continuous time.

    The flips are drawn once, in the order of time, and kept.
    """

    on: float
    off: float
    mean_up: float
    mean_down: float
    generator: np.random.Generator
    start: str = "random"
    """`on`, `off`, or `random`: on with its share of the time."""
    _flips: list[float] = field(default_factory=list, init=False, repr=False)
    _begins_on: bool = field(init=False)

    def __post_init__(self) -> None:
        luck = self.generator.random() < self.mean_up / (self.mean_up + self.mean_down)
        self._begins_on = bool(luck) if self.start == "random" else self.start == "on"

    @property
    def mean(self) -> float:
        """Each value with its share of the time."""
        return (self.on * self.mean_up + self.off * self.mean_down) / (self.mean_up + self.mean_down)

    def at(self, time: float) -> float:
        """The value from `time` on."""
        flipped = self._flipped(time) % 2 == 1
        return self.on if self._begins_on != flipped else self.off

    def next_change(self, time: float) -> float:
        """The next flip."""
        return self._flips[self._flipped(time)]

    def _flipped(self, time: float) -> int:
        """How often it has flipped by `time`; there is a flip after that."""
        while not self._flips or self._flips[-1] <= time:
            means = (self.mean_up, self.mean_down) if self._begins_on else (self.mean_down, self.mean_up)
            last = self._flips[-1] if self._flips else 0.0
            for index, duration in enumerate(self.generator.exponential(size=16).tolist()):
                last += duration * means[index % 2]
                self._flips.append(last)
        return bisect_right(self._flips, time)


@dataclass(frozen=True)
class Switched:
    """One profile after another: `profiles[i]` from `starts[i]` on. All of them see the time of the run."""

    starts: tuple[float, ...]
    profiles: tuple[Profile, ...]

    @property
    def mean(self) -> float:
        """That of the first one."""
        return self.profiles[0].mean

    def at(self, time: float) -> float:
        """The value from `time` on."""
        return self.profiles[bisect_right(self.starts, time) - 1].at(time)

    def next_change(self, time: float) -> float:
        """The next change of the profile in force, or the next profile."""
        index = bisect_right(self.starts, time)
        following = self.starts[index] if index < len(self.starts) else inf
        return min(following, self.profiles[index - 1].next_change(time))


@dataclass(frozen=True)
class Product:
    """What several profiles give, multiplied; all of them see the time of the run."""

    profiles: tuple[Profile, ...]

    @property
    def mean(self) -> float:
        """As if they changed independently of each other."""
        return prod(profile.mean for profile in self.profiles)

    def at(self, time: float) -> float:
        """The product from `time` on."""
        return prod(profile.at(time) for profile in self.profiles)

    def next_change(self, time: float) -> float:
        """The next change of any; never again once one is zero for ever."""
        if any(ends_at_zero(profile, time) for profile in self.profiles):
            return inf
        return min(profile.next_change(time) for profile in self.profiles)


@dataclass(frozen=True)
class AnyOf:
    """The chance that at least one of several independent things happens, each of which has a chance."""

    chances: tuple[Profile, ...]

    @property
    def mean(self) -> float:
        """As if they changed independently of each other."""
        return 1.0 - prod(1.0 - chance.mean for chance in self.chances)

    def at(self, time: float) -> float:
        """The chance from `time` on."""
        return 1.0 - prod(1.0 - chance.at(time) for chance in self.chances)

    def next_change(self, time: float) -> float:
        """The next change of any."""
        return min(chance.next_change(time) for chance in self.chances)


def ends_at_zero(profile: Profile, time: float) -> bool:
    """Whether the value is zero from `time` on, for ever."""
    return profile.at(time) == 0 and profile.next_change(time) == inf
