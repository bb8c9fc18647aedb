"""Distances between vectors, and what such work costs."""

import math

import torch
from torch import Tensor


def squared_distances(vectors: Tensor) -> Tensor:
    """Squared Euclidean distances `[..., n, n]` between the vectors `[..., n, d]`.

    From differences, not from `|a|^2 + |b|^2 - 2ab`: that form loses the distance between two near vectors
    that are far from zero, and so depends on where the origin is.
    """
    return torch.cdist(vectors, vectors, compute_mode="donot_use_mm_for_euclid_dist").square()


def mean_of_rows(vectors: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean `[..., d]` of the rows `[..., k]` (indices) of `[..., n, d]`, and the weights `[..., n]`."""
    index = rows.unsqueeze(-1).expand(*rows.shape, vectors.shape[-1])
    weights = vectors.new_zeros(vectors.shape[:-1]).scatter(-1, rows, 1.0 / rows.shape[-1])
    return vectors.gather(-2, index).mean(dim=-2), weights


def pair_flops(n: int, d: float) -> float:
    """Operations for all distances between `n` vectors: subtract, square and add for each pair."""
    return 1.5 * n * (n - 1) * d


def sort_flops(n: int, d: float) -> float:
    """Comparisons for sorting `n` numbers in each of `d` coordinates: `d n log2 n`."""
    return d * n * math.log2(n) if n > 1 else 0.0
