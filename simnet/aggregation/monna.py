"""MoNNA: the mean of what is nearest to one's own vector."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.distances import mean_of_rows
from simnet.aggregation.gossip import OwnAndNeighbours
from simnet.aggregation.rule import Aggregate, Context


class Monna(OwnAndNeighbours):
    """Nearest-neighbour averaging: mean of the own vector and the `n - f - 1` neighbours nearest to it.

    Farhadkhani et al., "Robust Collaborative Learning with Linear Gradient Overhead" (ICML 2023). `n` counts
    the own vector; the method that the paper calls MoNNA sends momentums and averages models by this rule.
    """

    name: ClassVar[str] = "monna"
    condition: ClassVar[str] = "n > 2f, the own vector counted"

    f: int = Field(default=1, ge=0, description="Byzantine neighbours assumed; n > 2f.")

    @property
    def fewest(self) -> int:
        """`2f + 1`."""
        return 2 * self.f + 1

    def flops(self, n: int, d: float) -> float:
        """Distances to the own vector (subtract, square, add) and a mean: `3 (n - 1) d + (n - f) d`."""
        return 3.0 * (n - 1) * d + (n - self.f) * d

    def _update(self, own: Tensor, neighbours: Tensor, context: Context) -> Aggregate:
        every = torch.cat([own.unsqueeze(-2), neighbours], dim=-2)
        n, d = every.shape[-2:]
        away = torch.linalg.vector_norm(neighbours - own.unsqueeze(-2), dim=-1)
        nearest = torch.sort(away, dim=-1, stable=True).indices[..., : n - self.f - 1] + 1
        rows = torch.cat([torch.zeros_like(nearest[..., :1]), nearest], dim=-1) if n > 1 else nearest
        if nearest.shape[-1] == 0:
            rows = torch.zeros(*own.shape[:-1], 1, dtype=torch.int64, device=own.device)
        vector, weights = mean_of_rows(every, rows)
        return Aggregate(vector, weights, weights > 0, self.flops(n, d))
