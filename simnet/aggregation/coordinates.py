"""Rules that look at each coordinate on its own: median, trimmed mean, mean around the median."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.distances import sort_flops
from simnet.aggregation.rule import Aggregate, Aggregation, Context


class Median(Aggregation):
    """Coordinate-wise median; of an even number, the mean of the middle two.

    Yin et al., "Byzantine-Robust Distributed Learning: Towards Optimal Statistical Rates" (ICML 2018).
    """

    name: ClassVar[str] = "median"

    @property
    def fewest(self) -> int:
        """1."""
        return 1

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        return Aggregate(coordinate_median(vectors), None, None, self._flops(*vectors.shape[-2:]))

    def _flops(self, n: int, d: float) -> float:
        return sort_flops(n, d)


class TrimmedMean(Aggregation):
    """Per coordinate, the mean without the `f` largest and the `f` smallest values.

    Yin et al. (ICML 2018).
    """

    name: ClassVar[str] = "trimmed-mean"
    condition: ClassVar[str] = "n > 2f"

    f: int = Field(default=1, ge=0, description="Byzantine vectors assumed; n > 2f.")

    @property
    def fewest(self) -> int:
        """`2f + 1`."""
        return 2 * self.f + 1

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        return Aggregate(trimmed_mean(vectors, self.f), None, None, self._flops(*vectors.shape[-2:]))

    def _flops(self, n: int, d: float) -> float:
        return sort_flops(n, d) + (n - 2 * self.f) * d


class Meamed(Aggregation):
    """Per coordinate, the mean of the `n - f` values nearest to the median.

    Xie, Koyejo and Gupta, "Generalized Byzantine-tolerant SGD" (2018, arXiv:1802.10116).
    """

    name: ClassVar[str] = "meamed"
    condition: ClassVar[str] = "n > 2f"

    f: int = Field(default=1, ge=0, description="Byzantine vectors assumed; n > 2f.")

    @property
    def fewest(self) -> int:
        """`2f + 1`."""
        return 2 * self.f + 1

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        vector = mean_around_median(vectors, vectors.shape[-2] - self.f)
        return Aggregate(vector, None, None, self._flops(*vectors.shape[-2:]))

    def _flops(self, n: int, d: float) -> float:
        return around_median_flops(n, n - self.f, d)


def coordinate_median(vectors: Tensor) -> Tensor:
    """Median over the last dimension but one of `[..., n, d]`; of an even number, the middle two's mean."""
    ordered = vectors.sort(dim=-2).values
    n = vectors.shape[-2]
    return ordered[..., (n - 1) // 2 : n // 2 + 1, :].mean(dim=-2)


def trimmed_mean(vectors: Tensor, f: int) -> Tensor:
    """Per coordinate of `[..., n, d]`, the mean without the `f` largest and `f` smallest values."""
    if f == 0:
        return vectors.mean(dim=-2)
    return vectors.sort(dim=-2).values[..., f : vectors.shape[-2] - f, :].mean(dim=-2)


def mean_around_median(vectors: Tensor, count: int) -> Tensor:
    """Per coordinate of `[..., n, d]`, the mean of the `count` values nearest to the median."""
    away = (vectors - coordinate_median(vectors).unsqueeze(-2)).abs()
    nearest = torch.sort(away, dim=-2, stable=True).indices[..., :count, :]
    return vectors.gather(-2, nearest).mean(dim=-2)


def around_median_flops(n: int, count: int, d: float) -> float:
    """A sort for the median, subtract and absolute value, a sort by distance, and a mean of `count`."""
    return 2 * sort_flops(n, d) + 2.0 * n * d + count * d
