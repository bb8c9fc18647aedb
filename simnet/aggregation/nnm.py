"""Nearest-neighbour mixing."""

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from simnet.aggregation.distances import pair_flops, squared_distances
from simnet.aggregation.pre_aggregation import AssumesByzantine, Mixture


class NearestNeighbourMixing(AssumesByzantine):
    """NNM: each vector becomes the mean of the `n - f` vectors nearest to it, itself among them.

    Allouah et al., "Fixing by Mixing: A Recipe for Optimal Byzantine ML under Heterogeneity" (AISTATS 2023).
    A rule that is (f, kappa)-robust becomes (f, 8f / (n - f) (kappa + 1))-robust.
    """

    name: ClassVar[str] = "nnm"

    def mix(self, vectors: Tensor, f: int | None = None, rng: np.random.Generator | None = None) -> Mixture:
        """Vectors `[..., n, d]` of the same number; `ValueError` unless `n > 2f`."""
        n = vectors.shape[-2]
        assumed = self.assumed(n, f)
        kept = n - assumed
        nearest = torch.sort(squared_distances(vectors), dim=-1, stable=True).indices[..., :kept]
        mixing = vectors.new_zeros(*vectors.shape[:-1], n).scatter(-1, nearest, 1.0 / kept)
        return Mixture(mixing @ vectors, mixing)

    def flops(self, n: int, d: float) -> float:
        """All pairwise distances, and an `n x n` times `n x d` product: `1.5 n (n - 1) d + 2 n^2 d`."""
        return pair_flops(n, d) + 2.0 * n * n * d
