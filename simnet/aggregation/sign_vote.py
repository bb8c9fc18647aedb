"""Majority vote over signs."""

from typing import ClassVar

import torch
from torch import Tensor

from simnet.aggregation.rule import Aggregate, Aggregation, Context


class SignVote(Aggregation):
    """Per coordinate, the sign that most vectors have: `sign(sum_i sign(x_i))`, 0 for a tie.

    Bernstein et al., "signSGD with Majority Vote is Communication Efficient and Fault Tolerant" (ICLR
    2019). The result is a direction, not a mean: a step of its own learning rate goes with it.
    """

    name: ClassVar[str] = "sign-vote"

    @property
    def fewest(self) -> int:
        """1."""
        return 1

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        vector = torch.sign(torch.sign(vectors).sum(dim=-2))
        return Aggregate(vector, None, None, self._flops(*vectors.shape[-2:]))

    def _flops(self, n: int, d: float) -> float:
        return 2.0 * n * d
