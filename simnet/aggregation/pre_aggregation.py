"""What a pre-aggregator is: a change of the vectors before a rule combines them."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from simnet.aggregation.named import Named


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """What a pre-aggregator made of `n` vectors: `m` vectors, each a weighted sum of those it was given."""

    vectors: Tensor
    """`[..., m, d]`."""
    mixing: Tensor
    """Weights `[..., m, n]`: row `i` says what the new vector `i` is made of."""


class PreAggregation(Named, ABC):
    """Changes a stack of vectors `[..., n, d]` before a rule sees it."""

    needs_rng: ClassVar[bool] = False
    """Whether `mix` draws random numbers."""
    needs_f: ClassVar[bool] = False
    """Whether `mix` uses the number of Byzantine vectors: its own `f`, or that of the rule that it serves."""

    @abstractmethod
    def mix(self, vectors: Tensor, f: int | None = None, rng: np.random.Generator | None = None) -> Mixture:
        """The new vectors; `f` is the rule's, for pre-aggregators that have none of their own.

        Raises `ValueError` where `f` is too large for so few vectors, or where what it needs is missing.
        """

    @abstractmethod
    def flops(self, n: int, d: float) -> float:
        """Operations for `n` vectors with `d` coordinates."""

    def outputs(self, n: int) -> int:
        """How many vectors come out when `n` go in."""
        return n


class AssumesByzantine(PreAggregation):
    """A pre-aggregator for at most `f` Byzantine vectors of more than twice as many."""

    needs_f: ClassVar[bool] = True

    f: int | None = Field(
        default=None,
        ge=0,
        description="Byzantine vectors assumed; the f of the rule if not given.",
    )

    def assumed(self, n: int, f: int | None) -> int:
        """Its own `f`, or that of the rule; `ValueError` if there is none, or unless `n > 2f`."""
        assumed = self.f if self.f is not None else f
        if assumed is None:
            raise ValueError(f"{self.name} needs f: the number of Byzantine vectors to assume")
        if n <= 2 * assumed:
            raise ValueError(
                f"{self.name} with f = {assumed} needs at least {2 * assumed + 1} vectors (n > 2f), got {n}"
            )
        return assumed
