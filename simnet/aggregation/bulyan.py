"""Bulyan: Krum's choice, then a trimmed mean of what was chosen."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.coordinates import around_median_flops, mean_around_median
from simnet.aggregation.distances import pair_flops, squared_distances
from simnet.aggregation.krum import krum_scores
from simnet.aggregation.rule import Aggregate, Aggregation, Context


class Bulyan(Aggregation):
    """Krum's choice, taken `n - 2f` times; then per coordinate the mean of `n - 4f` around the median.

    El Mhamdi, Guerraoui and Rouault, "The Hidden Vulnerability of Distributed Learning in Byzantium"
    (ICML 2018). What was taken is out for the next choice. With `r` vectors left, a score is over the nearest
    `max(1, r - f - 2)` others: the last choices would else be among scores that are all 0.
    """

    name: ClassVar[str] = "bulyan"
    condition: ClassVar[str] = "n >= 4f + 3"
    batched: ClassVar[bool] = False

    f: int = Field(default=1, ge=0, description="Byzantine vectors assumed; n >= 4f + 3.")

    @property
    def fewest(self) -> int:
        """`4f + 3`."""
        return 4 * self.f + 3

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        n, d = vectors.shape
        squared = squared_distances(vectors)
        left = torch.arange(n, device=vectors.device)
        chosen = torch.zeros(n, dtype=torch.bool, device=vectors.device)
        for _ in range(n - 2 * self.f):
            scores = krum_scores(squared[left][:, left], max(1, len(left) - self.f - 2))
            best = scores.argmin()
            chosen[left[best]] = True
            left = torch.cat([left[:best], left[best + 1 :]])
        vector = mean_around_median(vectors[chosen], n - 4 * self.f)
        return Aggregate(vector, None, chosen, self._flops(n, d))

    def _flops(self, n: int, d: float) -> float:
        return pair_flops(n, d) + around_median_flops(n - 2 * self.f, n - 4 * self.f, d)
