"""Krum and multi-Krum: the vectors that are closest to their nearest neighbours."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.distances import mean_of_rows, pair_flops, squared_distances
from simnet.aggregation.rule import Aggregate, Aggregation, Context


class Krum(Aggregation):
    """The one vector with the smallest sum of squared distances to its nearest `n - f - 2` others.

    Blanchard et al., "Machine Learning with Adversaries: Byzantine Tolerant Gradient Descent" (NeurIPS 2017).
    It throws away all vectors but one: with no attack it is worse than the mean, and with workers whose data
    differ, or under an attack by zeros (the zero vector is the most central one), it may fail.
    """

    name: ClassVar[str] = "krum"
    condition: ClassVar[str] = "n > 2f + 2"

    f: int = Field(default=1, ge=0, description="Byzantine vectors assumed; n > 2f + 2.")
    nearest: Literal["n-f-2", "n-f-1"] = Field(
        default="n-f-2",
        description="Neighbours in a score: n-f-2 as in the paper, n-f-1 as in later analyses.",
    )

    @property
    def fewest(self) -> int:
        """`2f + 3`."""
        return 2 * self.f + 3

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        n, d = vectors.shape[-2:]
        scores = krum_scores(squared_distances(vectors), _count(self.nearest, n, self.f))
        best = scores.argmin(dim=-1, keepdim=True)
        vector, weights = mean_of_rows(vectors, best)
        return Aggregate(vector, weights, weights > 0, self._flops(n, d))

    def _flops(self, n: int, d: float) -> float:
        return pair_flops(n, d)


class MultiKrum(Aggregation):
    """Mean of the `m` vectors with the smallest Krum scores.

    Blanchard et al. (NeurIPS 2017).
    """

    name: ClassVar[str] = "multi-krum"
    condition: ClassVar[str] = "n > 2f + 2"

    f: int = Field(default=1, ge=0, description="Byzantine vectors assumed; n > 2f + 2.")
    m: int | None = Field(default=None, ge=1, description="Vectors in the mean; n - f if not given.")
    nearest: Literal["n-f-2", "n-f-1"] = Field(
        default="n-f-2",
        description="Neighbours in a score: n-f-2 as in the paper, n-f-1 as in later analyses.",
    )

    @property
    def fewest(self) -> int:
        """`2f + 3`, and no fewer than `m`."""
        return max(2 * self.f + 3, self.m or 0)

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        n, d = vectors.shape[-2:]
        scores = krum_scores(squared_distances(vectors), _count(self.nearest, n, self.f))
        best = torch.sort(scores, dim=-1, stable=True).indices[..., : self.m or n - self.f]
        vector, weights = mean_of_rows(vectors, best)
        return Aggregate(vector, weights, weights > 0, self._flops(n, d))

    def _flops(self, n: int, d: float) -> float:
        return pair_flops(n, d) + (self.m or n - self.f) * d


def krum_scores(squared: Tensor, count: int) -> Tensor:
    """Sum of the `count` smallest squared distances to other vectors, `[..., n]` from `[..., n, n]`."""
    # A vector's distance to itself must not count, and 0 of a duplicate must: so not simply the first.
    others = squared + torch.diag_embed(torch.full_like(squared[..., 0], torch.inf))
    return others.sort(dim=-1).values[..., :count].sum(dim=-1)


def _count(nearest: str, n: int, f: int) -> int:
    return n - f - (2 if nearest == "n-f-2" else 1)
