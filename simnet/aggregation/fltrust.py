"""FLTrust: trust by likeness to the server's own update."""

from typing import ClassVar

import torch
from torch import Tensor

from simnet.aggregation.rule import Aggregate, Aggregation, Context


class FLTrust(Aggregation):
    """Mean of the vectors, scaled to the trusted vector's length, with weights `max(0, cos(x_i, trusted))`.

    Cao et al., "FLTrust: Byzantine-robust Federated Learning via Trust Bootstrapping" (NDSS 2021). The server
    needs clean data of its own. Where nobody points the same way as the trusted vector, the paper's formula
    divides by 0; here the answer is then the trusted vector.
    """

    name: ClassVar[str] = "fltrust"
    needs: ClassVar[tuple[str, ...]] = ("trusted",)

    @property
    def fewest(self) -> int:
        """1."""
        return 1

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        trusted = context.trusted
        assert trusted is not None
        norms = torch.linalg.vector_norm(vectors, dim=-1)
        length = torch.linalg.vector_norm(trusted, dim=-1, keepdim=True)
        tiny = torch.finfo(vectors.dtype).tiny
        dots = (vectors @ trusted.unsqueeze(-1)).squeeze(-1)
        trust = (dots / (norms * length).clamp_min(tiny)).clamp_min(0.0)
        total = trust.sum(dim=-1, keepdim=True)
        weights = torch.where(
            total > 0, trust / total.clamp_min(tiny) * length / norms.clamp_min(tiny), 0.0 * trust
        )
        vector = (weights.unsqueeze(-1) * vectors).sum(dim=-2)
        vector = torch.where(total > 0, vector, trusted)
        return Aggregate(vector, weights, trust > 0, self._flops(*vectors.shape[-2:]))

    def _flops(self, n: int, d: float) -> float:
        # Norm (2), inner product (2), weighted sum (2); the trusted vector's norm
        return 6.0 * n * d + 2.0 * d
