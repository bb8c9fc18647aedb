"""The mean: no defence at all."""

from typing import ClassVar

import torch
from torch import Tensor

from simnet.aggregation.rule import Aggregate, Aggregation, Context


class Mean(Aggregation):
    """Arithmetic mean: what all rules are held against. One Byzantine vector moves it anywhere."""

    name: ClassVar[str] = "mean"
    takes_broken: ClassVar[bool] = True

    @property
    def fewest(self) -> int:
        """1."""
        return 1

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        share = torch.full_like(vectors[..., 0], 1.0 / vectors.shape[-2])
        return Aggregate(vectors.mean(dim=-2), share, None, self._flops(*vectors.shape[-2:]))

    def _flops(self, n: int, d: float) -> float:
        # n - 1 additions and one division per coordinate
        return n * d
