"""How many steps have been taken, as far as one host knows, and how many are left."""

from collections.abc import Sequence
from math import ceil, inf
from typing import Literal

from simnet.scenario import StopConfig

UNLIMITED = 1 << 62
"""Steps that are left where no number of them ends the run."""


class StepBudget:
    """One host's count of everybody's steps: its own, what messages say of their senders, and what the driver
    says of all together.

    Args:
        stop: When the run ends.
        shared: Whether `stop.steps` is the mean over the workers, or each takes that many (`each`).
        trained: The nodes that take steps.
    """

    def __init__(self, stop: StopConfig, shared: Literal["each", "mean"], trained: Sequence[str]) -> None:
        self._limit = inf if stop.steps is None else stop.steps
        self._each = shared == "each"
        self._steps = dict.fromkeys(trained, 0)
        self._told = 0
        self.own = 0
        """Taken on this host."""

    def take(self, name: str, steps: int) -> None:
        """A node of this host has taken so many more."""
        if name in self._steps:
            self._steps[name] += steps
            self.own += steps

    def hear(self, name: str, steps: int) -> None:
        """A message's sender had taken so many."""
        if name in self._steps:
            self._steps[name] = max(steps, self._steps[name])

    def told(self, steps: int) -> None:
        """The driver says how many all have taken together."""
        self._told = steps

    @property
    def mean(self) -> float:
        """Steps per node that takes any: from the driver, or from messages, whichever is newer."""
        return max(self._told, sum(self._steps.values())) / len(self._steps)

    def allows(self, name: str, steps: int) -> bool:
        """Whether a node that has taken so many may go on: by its own count, or by everybody's."""
        return (steps if self._each and name in self._steps else self.mean) < self._limit

    def left(self, name: str, steps: int) -> int:
        """How many steps are left to a node that has taken so many."""
        if self._limit == inf:
            return UNLIMITED
        if self._each:
            return max(0, int(self._limit) - steps)
        done = self.mean
        if name in self._steps:  # who comes later to a round than others does the same work in it
            done = min(done, steps)
        return max(0, ceil(self._limit - done))
