"""Self-centred clipping: gossip in which no neighbour pulls further than a radius."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.clipping import clip_factors
from simnet.aggregation.gossip import OwnAndNeighbours, with_own
from simnet.aggregation.rule import Aggregate, Context


class SelfCentredClipping(OwnAndNeighbours):
    """ClippedGossip: `x <- x + sum_j W_j min(1, r / |x_j - x|) (x_j - x)`.

    He, Karimireddy and Jaggi, "Byzantine-Robust Decentralized Learning via ClippedGossip" (2022,
    arXiv:2202.01545). Without `radius`, `r^2 = (1 / delta) sum W_j |x_j - x|^2` over the nearest neighbours:
    the sum that the paper takes over the honest ones, which the node does not know, here without the furthest
    neighbours up to a weight of `delta`. `W_j` is `context.mixing`, or `1 / (m + 1)`.
    """

    name: ClassVar[str] = "self-centred-clipping"

    radius: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Radius; from delta if not given."
    )
    delta: float = Field(
        default=0.2, gt=0, lt=1, description="Mixing weight of the Byzantine neighbours assumed."
    )

    @property
    def fewest(self) -> int:
        """1: a node without neighbours keeps its own vector."""
        return 1

    def flops(self, n: int, d: float) -> float:
        """Subtract, square, add, and multiply, add for each neighbour: `5 (n - 1) d`."""
        return 5.0 * (n - 1) * d

    def _update(self, own: Tensor, neighbours: Tensor, context: Context) -> Aggregate:
        m, d = neighbours.shape[-2:]
        away = neighbours - own.unsqueeze(-2)
        norms = torch.linalg.vector_norm(away, dim=-1)
        mixing = torch.full_like(norms, 1.0 / (m + 1)) if context.mixing is None else context.mixing
        radius = self._radius(norms, mixing) if self.radius is None else self.radius
        weights = mixing * clip_factors(norms, radius)
        vector = own + (weights.unsqueeze(-1) * away).sum(dim=-2)
        share = with_own(1.0 - weights.sum(dim=-1, keepdim=True), weights)
        return Aggregate(vector, share, None, self.flops(m + 1, d))

    def _radius(self, norms: Tensor, mixing: Tensor) -> Tensor:
        furthest = torch.sort(norms, dim=-1, descending=True, stable=True)
        weight = mixing.expand_as(norms).gather(-1, furthest.indices)
        # Rounding must not let one neighbour in whose weight is delta itself.
        let_in = weight.cumsum(dim=-1) > self.delta * (1.0 + 1e-6)
        total = torch.where(let_in, weight * furthest.values.square(), 0.0).sum(dim=-1, keepdim=True)
        return (total / self.delta).sqrt()
