"""How much longer a host's work takes than on its device alone, now and over time.

A factor multiplies time: 1 changes nothing, 2 takes twice as long. Three kinds of factors act together, and
multiply: one that stays all run long, one for each training step, and some that change with time, also within
a running computation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import fsum, prod
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from simnet.network.profiles import Profile

BLOCK = 256
"""Training steps whose factors are drawn together."""


class DrawBlock(Protocol):
    """Draws factors; a pure function, so that it does not matter when, or how often, they are drawn."""

    def __call__(self, block: int) -> NDArray[np.float64]:
        """The `BLOCK` factors of the `block`-th block of training steps."""


@dataclass
class StepFactors:
    """The factor of every training step of a host: those of all `draws` multiplied.

    The `k`-th factor is the same whoever asks for it, and in whatever order. The block that was used last is
    kept.
    """

    draws: Sequence[DrawBlock]
    _block: int = field(default=-1, init=False, repr=False)
    _factors: list[float] = field(default_factory=list, init=False, repr=False)

    def __getitem__(self, step: int) -> float:
        """The factor of the `step`-th training step, counted from 0."""
        block, index = divmod(step, BLOCK)
        if block != self._block:
            factors = np.ones(BLOCK)
            for draw in self.draws:
                factors = factors * draw(block)
            self._block, self._factors = block, factors.tolist()
        return self._factors[index]

    def total(self, first: int, steps: int) -> float:
        """The sum of the factors of `steps` training steps from the `first` on."""
        return fsum(self[step] for step in range(first, first + steps))

    def fitting(self, first: int, most: int, budget: float) -> int:
        """How many steps from the `first` on fit into a `budget` of factors; `most` at most."""
        used = 0.0
        for count in range(most):
            used += self[first + count]
            if used > budget:
                return count
        return most


@dataclass(frozen=True)
class Slowdown:
    """What slows one host down.

    Its work is counted in *seconds of work*: what it takes on the device alone, times the factor of the
    training step that it belongs to (see :meth:`of_step`). :meth:`seconds` and :meth:`work` turn these into
    virtual time and back; each is the other's inverse.
    """

    constant: float = 1.0
    """Of the whole run."""
    steps: StepFactors | None = None
    """Of each training step; None if all have 1."""
    profiles: tuple[Profile, ...] = ()
    """Factors over virtual time."""

    def of_step(self, step: int) -> float:
        """The factor of the `step`-th training step."""
        return 1.0 if self.steps is None else self.steps[step]

    def of_steps(self, first: int, steps: int) -> float:
        """The sum of the factors of `steps` training steps from the `first` on."""
        return steps if self.steps is None else self.steps.total(first, steps)

    def seconds(self, start: float, work: float) -> float:
        """Virtual seconds that `work` seconds of work take from `start` on.

        Exact: between its changes a factor is constant, and so is the speed.
        """
        left = work * self.constant
        if not self.profiles:
            return left
        now = start
        while True:
            factor, change = self._at(now)
            if left * factor <= change - now:
                return now - start + left * factor
            left -= (change - now) / factor
            now = change

    def work(self, start: float, end: float) -> float:
        """Seconds of work that are done from `start` to `end`."""
        if not self.profiles:
            return (end - start) / self.constant
        done, now = [], start
        while now < end:
            factor, change = self._at(now)
            change = min(change, end)
            done.append((change - now) / factor)
            now = change
        return fsum(done) / self.constant

    def _at(self, now: float) -> tuple[float, float]:
        """The factor from `now` on, and until when."""
        if len(self.profiles) == 1:
            return self.profiles[0].at(now), self.profiles[0].next_change(now)
        return (
            prod(profile.at(now) for profile in self.profiles),
            min(profile.next_change(now) for profile in self.profiles),
        )


NO_SLOWDOWN = Slowdown()
"""The work of a host that nothing slows down takes its time."""
