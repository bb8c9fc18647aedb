"""Nearest-neighbour mixing."""

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.distances import pair_flops, squared_distances
from simnet.aggregation.pre_aggregation import Mixture, PreAggregation


class NearestNeighbourMixing(PreAggregation):
    """NNM: each vector becomes the mean of the `n - f` vectors nearest to it, itself among them.

    Allouah et al., "Fixing by Mixing: A Recipe for Optimal Byzantine ML under Heterogeneity" (AISTATS 2023).
    A rule that is (f, kappa)-robust becomes (f, 8f / (n - f) (kappa + 1))-robust.
    """

    name: ClassVar[str] = "nnm"
    needs_f: ClassVar[bool] = True

    f: int | None = Field(
        default=None,
        ge=0,
        description="Byzantine vectors assumed; the f of the rule if not given.",
    )

    def mix(self, vectors: Tensor, f: int | None = None, rng: np.random.Generator | None = None) -> Mixture:
        """Vectors `[..., n, d]` of the same number; `ValueError` unless `n > 2f`."""
        assumed = self.f if self.f is not None else f
        n = vectors.shape[-2]
        if assumed is None:
            raise ValueError("nnm needs f: the number of Byzantine vectors to assume")
        if n <= 2 * assumed:
            raise ValueError(
                f"nnm with f = {assumed} needs at least {2 * assumed + 1} vectors (n > 2f), got {n}"
            )
        kept = n - assumed
        nearest = torch.sort(squared_distances(vectors), dim=-1, stable=True).indices[..., :kept]
        mixing = vectors.new_zeros(*vectors.shape[:-1], n).scatter(-1, nearest, 1.0 / kept)
        return Mixture(mixing @ vectors, mixing)

    def flops(self, n: int, d: float) -> float:
        """All pairwise distances, and an `n x n` times `n x d` product: `1.5 n (n - 1) d + 2 n^2 d`."""
        return pair_flops(n, d) + 2.0 * n * n * d
