"""Centred clipping: a mean in which nobody pulls further than a radius."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.clipping import clip_factors
from simnet.aggregation.rule import Aggregate, Aggregation, Context


class CentredClipping(Aggregation):
    """`v <- v + mean_i min(1, radius / |x_i - v|) (x_i - v)`, from the last aggregate on.

    Karimireddy, He and Jaggi, "Learning from History for Byzantine Robust Optimization" (ICML 2021). It must
    be paired with momentum at the workers: against a small steady push it has no other defence. It starts at
    `context.centre`, or at zero.
    """

    name: ClassVar[str] = "centred-clipping"

    radius: float = Field(
        default=100.0,
        gt=0,
        allow_inf_nan=False,
        description="How far one vector may pull; the paper has 10 / (1 - momentum).",
    )
    iterations: int = Field(default=1, ge=1, description="Clipped steps per aggregate.")

    @property
    def fewest(self) -> int:
        """1."""
        return 1

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        point = torch.zeros_like(vectors[..., 0, :]) if context.centre is None else context.centre
        n, d = vectors.shape[-2:]
        weights = torch.zeros_like(vectors[..., 0])
        for _ in range(self.iterations):
            away = vectors - point.unsqueeze(-2)
            factors = clip_factors(torch.linalg.vector_norm(away, dim=-1), self.radius) / n
            point = point + (factors.unsqueeze(-1) * away).sum(dim=-2)
            weights = weights * (1.0 - factors.sum(dim=-1, keepdim=True)) + factors
        return Aggregate(point, weights, None, self._flops(n, d))

    def _flops(self, n: int, d: float) -> float:
        # Subtract, square, add, and multiply, add
        return self.iterations * 5.0 * n * d
