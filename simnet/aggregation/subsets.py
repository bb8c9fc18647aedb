"""Rules that try all subsets of `n - f` vectors: MDA and SMEA."""

import itertools
import math
from collections.abc import Iterator
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.coordinates import coordinate_median
from simnet.aggregation.distances import mean_of_rows, pair_flops, sort_flops, squared_distances
from simnet.aggregation.rule import Aggregate, Aggregation, Context

MOST_SUBSETS = 200_000
"""More are refused: 20 vectors with f = 8 are 125,970 subsets."""

_AT_ONCE = 4096


class EverySubset(Aggregation):
    """A rule that tries all subsets of `n - f` vectors."""

    condition: ClassVar[str] = "n > 2f"
    batched: ClassVar[bool] = False

    f: int = Field(default=1, ge=0, description="Byzantine vectors assumed; n > 2f.")

    @property
    def fewest(self) -> int:
        """`2f + 1`."""
        return 2 * self.f + 1

    def check(self, n: int) -> None:
        """Raise `ValueError` for too few vectors, or for more subsets than `MOST_SUBSETS`."""
        super().check(n)
        check_subsets(self.name, n, self.f)


class MinimumDiameter(EverySubset):
    """MDA: mean of the `n - f` vectors whose largest distance between two of them is smallest.

    El Mhamdi et al., "SGD: Decentralized Byzantine Resilience" (2019); as a rule with a guarantee in
    Farhadkhani et al., "Byzantine Machine Learning Made Easy by Resilient Averaging of Momentums" (ICML
    2022). Of several such subsets, the one with the smallest sum of squared distances. The number of subsets,
    `n! / (f! (n - f)!)`, limits it to few vectors.
    """

    name: ClassVar[str] = "mda"

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        n, d = vectors.shape
        squared = squared_distances(vectors)
        best, smallest = None, (math.inf, math.inf)
        for subsets in _subsets(n, n - self.f, vectors.device):
            parts = squared[subsets.unsqueeze(2), subsets.unsqueeze(1)].flatten(1).sort(dim=1).values
            diameters, sums = parts[:, -1], parts.sum(dim=1)
            # All subsets that have the two ends of the smallest diameter tie: then the closest together wins.
            sums = torch.where(diameters == diameters.min(), sums, math.inf)
            least = int(sums.argmin())
            found = (float(diameters[least]), float(sums[least]))
            if best is None or found < smallest:
                best, smallest = subsets[least], found
        assert best is not None
        vector, weights = mean_of_rows(vectors, best)
        return Aggregate(vector, weights, weights > 0, self._flops(n, d))

    def _flops(self, n: int, d: float) -> float:
        k = n - self.f
        return pair_flops(n, d) + math.comb(n, self.f) * k * (k - 1) / 2 + k * d


class SmallestEigenvalue(EverySubset):
    """SMEA: mean of the `n - f` vectors whose covariance has the smallest largest eigenvalue.

    Allouah et al., "On the Privacy-Robustness-Utility Trilemma in Distributed Learning" (ICML 2023). The
    eigenvalues come from the `n x n` matrix of inner products, exactly. As for `mda`, few vectors only.
    """

    name: ClassVar[str] = "smea"

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        n, d = vectors.shape
        products = inner_products(vectors)
        best, smallest = None, math.inf
        for subsets in _subsets(n, n - self.f, vectors.device):
            part = products[subsets.unsqueeze(2), subsets.unsqueeze(1)]
            centred = part - part.mean(1, keepdim=True) - part.mean(2, keepdim=True)
            largest = torch.linalg.eigvalsh(centred + part.mean((1, 2), keepdim=True))[:, -1]
            least = largest.argmin()
            if best is None or float(largest[least]) < smallest:
                best, smallest = subsets[least], float(largest[least])
        assert best is not None
        vector, weights = mean_of_rows(vectors, best)
        return Aggregate(vector, weights, weights > 0, self._flops(n, d))

    def _flops(self, n: int, d: float) -> float:
        k = n - self.f
        return inner_products_flops(n, d) + math.comb(n, self.f) * 4.0 * k**3 / 3.0 + k * d


def inner_products(vectors: Tensor) -> Tensor:
    """Inner products `[n, n]`, in float64, of vectors `[n, d]` as seen from their coordinate-wise median.

    From the median, since seen from the mean one huge vector would leave no digits for the others.
    """
    centred = (vectors - coordinate_median(vectors)).double()
    return centred @ centred.T


def inner_products_flops(n: int, d: float) -> float:
    """The median, the subtraction, and multiply and add for each pair: `d n log2 n + n d + n (n + 1) d`."""
    return sort_flops(n, d) + n * d + n * (n + 1.0) * d


def check_subsets(name: str, n: int, f: int) -> None:
    """Raise `ValueError` if `n - f` of `n` can be chosen in more than `MOST_SUBSETS` ways."""
    count = math.comb(n, f)
    if count > MOST_SUBSETS:
        raise ValueError(
            f"{name} tries all subsets of n - f vectors: {count:,} for n = {n} and f = {f}, more than "
            f"{MOST_SUBSETS:,}; multi-krum and nnm with trimmed-mean grow slower"
        )


def _subsets(n: int, k: int, device: torch.device) -> Iterator[Tensor]:
    every = itertools.combinations(range(n), k)
    while some := list(itertools.islice(every, _AT_ONCE)):
        yield torch.tensor(some, device=device)
