"""CAF: weighs down what lies far out along the direction in which the vectors differ most."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.rule import Aggregate, Aggregation, Context
from simnet.aggregation.subsets import inner_products, inner_products_flops


class CovarianceFilter(Aggregation):
    """CAF: a weighted mean that shuts vectors out until at most `n - 2f` of their weight is left.

    With weights `c` (all 1 at first), mean `mu`, and largest eigenvalue `l` with eigenvector `v` of the
    weighted covariance: `c_i <- c_i (1 - t_i / max t)` with `t_i = ((x_i - mu) v)^2`. The answer is the
    mean for which `l` was smallest. Allouah, Guerraoui and Stephan, "Towards Trustworthy Federated Learning
    with Untrusted Participants" (ICML 2025, arXiv:2505.01874). Eigenvectors are exact, from the `n x n`
    matrix of inner products: no power iterations, no random start.
    """

    name: ClassVar[str] = "caf"
    condition: ClassVar[str] = "n > 2f"
    batched: ClassVar[bool] = False

    f: int = Field(default=1, ge=0, description="Byzantine vectors assumed; n > 2f.")

    @property
    def fewest(self) -> int:
        """`2f + 1`."""
        return 2 * self.f + 1

    def _combine(self, vectors: Tensor, context: Context) -> Aggregate:
        n, d = vectors.shape
        products = inner_products(vectors)
        best, smallest = torch.full_like(products[0], 1.0 / n), torch.inf
        left = torch.ones_like(best)
        while float(left.sum()) > n - 2 * self.f:
            share = left / left.sum()
            largest, out = _widest(products, share)
            if largest < smallest:
                best, smallest = share, largest
            if float(out.max()) <= 0.0:  # all that have weight are equal
                break
            left = left * (1.0 - out / out.max()).clamp_min(0.0)
        best = best.to(vectors.dtype)
        vector = (best.unsqueeze(-1) * vectors).sum(dim=0)
        return Aggregate(vector, best, best > 0, self._flops(n, d))

    def _flops(self, n: int, d: float) -> float:
        # At most 2f rounds, each with an eigendecomposition of about 9 n^3
        return inner_products_flops(n, d) + 2.0 * self.f * 9.0 * n**3 + 2.0 * n * d


def _widest(products: Tensor, share: Tensor) -> tuple[float, Tensor]:
    """Largest eigenvalue of the covariance under weights `share` `[n]`, and `t` `[n]`: how far out each is.

    `products` `[n, n]` are inner products from any origin. With `D` the rows `x_i - mu` and `P` the diagonal
    of weights, `D' P D` and `P^1/2 D D' P^1/2` have the same eigenvalues; for an eigenvector `u` of the
    latter, `v = D' P^1/2 u / sqrt(l)`, so that `D v = D D' P^1/2 u / sqrt(l)`.
    """
    to_mean = products @ share
    differences = products - to_mean.unsqueeze(0) - to_mean.unsqueeze(1) + share @ to_mean
    root = share.sqrt()
    values, vectors = torch.linalg.eigh(root.unsqueeze(1) * differences * root.unsqueeze(0))
    largest = float(values[-1])
    if largest <= 0.0:
        return 0.0, torch.zeros_like(share)
    out = (differences @ (root * vectors[:, -1])).square() / largest
    # What has no weight any more must not be what the others are measured against.
    return largest, torch.where(share > 0, out, 0.0)
