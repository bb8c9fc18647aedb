"""Clipping before a rule: to a fixed norm, or to one of the norms that came in."""

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.pre_aggregation import AssumesByzantine, Mixture, PreAggregation


class Clipping(PreAggregation):
    """Scales every vector that is longer than `radius` down to that length."""

    name: ClassVar[str] = "clipping"

    radius: float = Field(gt=0, allow_inf_nan=False, description="Largest norm that passes.")

    def mix(self, vectors: Tensor, f: int | None = None, rng: np.random.Generator | None = None) -> Mixture:
        """Vectors `[..., n, d]` of norm at most `radius`."""
        norms = torch.linalg.vector_norm(vectors, dim=-1)
        return _scaled(vectors, norms, torch.full_like(norms[..., :1], self.radius))

    def flops(self, n: int, d: float) -> float:
        """Square and add for the norm, then scale: `3 n d`."""
        return 3.0 * n * d


class AdaptiveRobustClipping(AssumesByzantine):
    """ARC: clips the `k = floor(2 f (n - f) / n)` longest vectors to the norm of the next longest one.

    Allouah et al., "Adaptive Gradient Clipping for Robust Federated Learning" (ICLR 2025,
    arXiv:2405.14432). A rule that is (f, kappa)-robust becomes (f, kappa + 2f / (n - 2f))-robust, and no
    vector that comes out is longer than the longest honest one.
    """

    name: ClassVar[str] = "arc"

    def mix(self, vectors: Tensor, f: int | None = None, rng: np.random.Generator | None = None) -> Mixture:
        """Vectors `[..., n, d]`, the longest of them shorter; `ValueError` unless `n > 2f`."""
        n = vectors.shape[-2]
        assumed = self.assumed(n, f)
        clipped = 2 * assumed * (n - assumed) // n
        norms = torch.linalg.vector_norm(vectors, dim=-1)
        radius = norms.sort(dim=-1).values[..., n - clipped - 1].unsqueeze(-1)
        return _scaled(vectors, norms, radius)

    def flops(self, n: int, d: float) -> float:
        """Square and add for the norms, then scale: `3 n d`."""
        return 3.0 * n * d


def clip_factors(norms: Tensor, radius: Tensor | float) -> Tensor:
    """`min(1, radius / norm)`, and 1 for a vector of length 0."""
    return torch.where(norms > radius, radius / norms.clamp_min(torch.finfo(norms.dtype).tiny), 1.0)


def _scaled(vectors: Tensor, norms: Tensor, radius: Tensor) -> Mixture:
    factors = clip_factors(norms, radius)
    return Mixture(vectors * factors.unsqueeze(-1), torch.diag_embed(factors))
