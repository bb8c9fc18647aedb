"""UBAR (MOZI): neighbours that are near, and no worse than oneself on one's own data."""

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.gossip import OwnAndNeighbours, with_own
from simnet.aggregation.rule import Aggregate, Context


class Ubar(OwnAndNeighbours):
    """`x <- alpha x + (1 - alpha) mean` of near neighbours that are no worse than `x` on the node's own data.

    Near are the `floor(rho m)` nearest of `m`; no worse are those with no larger loss on a batch; if
    there are none, the one with the least loss.

    Guo et al., "Byzantine-Resilient Decentralized Stochastic Gradient Descent" (IEEE TCSVT 2022; MOZI in its
    first version, 2020). The paper's gradient step is the algorithm's. `context.loss` gives the losses, one
    forward pass each: `Aggregate.loss_evaluations` says how many, for whoever charges their time.
    """

    name: ClassVar[str] = "ubar"
    needs: ClassVar[tuple[str, ...]] = ("loss",)
    batched: ClassVar[bool] = False

    rho: float = Field(default=0.6, gt=0, le=1, description="Share of neighbours assumed honest.")
    alpha: float = Field(default=0.5, ge=0, le=1, description="Weight of the node's own vector.")

    @property
    def fewest(self) -> int:
        """1: a node without neighbours keeps its own vector."""
        return 1

    def flops(self, n: int, d: float) -> float:
        """Distances (subtract, square, add), a mean of those kept, and the mixing; forward passes apart."""
        return 3.0 * (n - 1) * d + self._near(n - 1) * d + 3.0 * d

    def _update(self, own: Tensor, neighbours: Tensor, context: Context) -> Aggregate:
        assert context.loss is not None
        m, d = neighbours.shape
        if m == 0:
            return Aggregate(own, own.new_ones(1), None, 0.0)
        away = torch.linalg.vector_norm(neighbours - own, dim=-1)
        near = torch.sort(away, stable=True).indices[: self._near(m)]
        losses = [context.loss(neighbours[i]) for i in near.tolist()]
        mine = context.loss(own)
        good = [i for i, loss in zip(near.tolist(), losses, strict=True) if loss <= mine]
        if not good:  # losses that are not numbers lose
            best = min(range(len(losses)), key=lambda i: math.inf if math.isnan(losses[i]) else losses[i])
            good = [int(near[best])]
        weights = own.new_zeros(m)
        weights[good] = (1.0 - self.alpha) / len(good)
        vector = self.alpha * own + (1.0 - self.alpha) * neighbours[good].mean(dim=0)
        kept = torch.zeros(m + 1, dtype=torch.bool, device=own.device)
        kept[[0, *(i + 1 for i in good)]] = True
        share = with_own(own.new_full((1,), self.alpha), weights)
        return Aggregate(vector, share, kept, self.flops(m + 1, d), loss_evaluations=len(near) + 1)

    def _near(self, m: int) -> int:
        return min(m, max(1, math.floor(self.rho * m)))
