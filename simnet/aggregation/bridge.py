"""BRIDGE: a trimmed mean over neighbours that never trims one's own vector."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.distances import sort_flops
from simnet.aggregation.gossip import OwnAndNeighbours
from simnet.aggregation.rule import Aggregate, Context


class Bridge(OwnAndNeighbours):
    """Per coordinate, the mean of the own value and the neighbours' but their `f` largest and `f` smallest.

    Yang and Bajwa's trimmed-mean screening (BRIDGE-T); Fang, Yang and Bajwa, "BRIDGE: Byzantine-Resilient
    Decentralized Gradient Descent" (IEEE TSIPN 2022).
    """

    name: ClassVar[str] = "bridge"
    condition: ClassVar[str] = "at least 2f + 1 neighbours"

    f: int = Field(default=1, ge=0, description="Byzantine neighbours assumed; at least 2f + 1 neighbours.")

    @property
    def fewest(self) -> int:
        """`2f + 2`: the own vector and `2f + 1` neighbours."""
        return 2 * self.f + 2

    def flops(self, n: int, d: float) -> float:
        """A sort of `n - 1` values and a mean of `n - 2f` per coordinate."""
        return sort_flops(n - 1, d) + (n - 2 * self.f) * d

    def _update(self, own: Tensor, neighbours: Tensor, context: Context) -> Aggregate:
        m, d = neighbours.shape[-2:]
        middle = neighbours.sort(dim=-2).values[..., self.f : m - self.f, :]
        vector = torch.cat([own.unsqueeze(-2), middle], dim=-2).mean(dim=-2)
        return Aggregate(vector, None, None, self.flops(m + 1, d))
