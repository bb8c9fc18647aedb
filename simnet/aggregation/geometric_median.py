"""Geometric median: the point with the smallest sum of distances."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.rule import Aggregate, Aggregation, Context


class GeometricMedian(Aggregation):
    """Smoothed Weiszfeld iterations `z <- sum_i b_i x_i / sum_i b_i` with `b_i = 1 / max(nu, |z - x_i|)`.

    Pillutla, Kakade and Harchaoui, "Robust Aggregation for Federated Learning" (RFA, IEEE TSP 2022).
    """

    name: ClassVar[str] = "geometric-median"

    iterations: int = Field(default=8, ge=1, description="Weiszfeld iterations; each reads all vectors.")
    nu: float = Field(default=1e-6, gt=0, allow_inf_nan=False, description="Smallest distance that counts.")
    start: Literal["mean", "zero"] = Field(default="mean", description="Where the iterations start.")

    @property
    def fewest(self) -> int:
        """1."""
        return 1

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        point = vectors.mean(dim=-2)
        if self.start == "zero":
            point = torch.zeros_like(point)
        for _ in range(self.iterations):
            away = torch.linalg.vector_norm(vectors - point.unsqueeze(-2), dim=-1)
            weights = 1.0 / away.clamp_min(self.nu)
            weights = weights / weights.sum(dim=-1, keepdim=True)
            point = (weights.unsqueeze(-1) * vectors).sum(dim=-2)
        return Aggregate(point, weights, None, self._flops(*vectors.shape[-2:]))

    def _flops(self, n: int, d: float) -> float:
        # The mean; then per iteration subtract, square, add, and multiply, add
        return n * d + self.iterations * 5.0 * n * d
