"""Bucketing: means of small random groups."""

import math
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.pre_aggregation import Mixture, PreAggregation


class Bucketing(PreAggregation):
    """Shuffles the vectors and replaces each group of `size` by its mean; the last group may be smaller.

    Karimireddy, He and Jaggi, "Byzantine-Robust Learning on Heterogeneous Datasets via Bucketing"
    (ICLR 2022). The rule then sees `ceil(n / size)` vectors, of which up to `f` are still touched by a
    Byzantine one: its `f` stays, and its condition on `n` is checked for the smaller number.
    """

    name: ClassVar[str] = "bucketing"
    needs_rng: ClassVar[bool] = True

    size: int = Field(default=2, ge=1, description="Vectors per group.")

    def mix(self, vectors: Tensor, f: int | None = None, rng: np.random.Generator | None = None) -> Mixture:
        """Vectors `[..., ceil(n / size), d]`; `ValueError` without `rng`."""
        if rng is None:
            raise ValueError("bucketing shuffles, so it needs a random generator (rng)")
        n = vectors.shape[-2]
        order = rng.permutation(n)
        mixing = torch.zeros(self.outputs(n), n, dtype=vectors.dtype)
        for bucket in range(len(mixing)):
            members = order[bucket * self.size : (bucket + 1) * self.size]
            mixing[bucket, torch.from_numpy(members)] = 1.0 / len(members)
        mixing = mixing.to(vectors.device).expand(*vectors.shape[:-2], -1, -1)
        return Mixture(mixing @ vectors, mixing)

    def flops(self, n: int, d: float) -> float:
        """One addition per number that comes in, one division per number that goes out."""
        return n * d + self.outputs(n) * d

    def outputs(self, n: int) -> int:
        """`ceil(n / size)`."""
        return math.ceil(n / self.size)
