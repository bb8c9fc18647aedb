"""A little is enough."""

from statistics import NormalDist
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from simnet.faults.attacks.attack import InformedAttack, View


class Alie(InformedAttack):
    """`mu - z sigma` per coordinate: as far out as enough honest vectors are, so that none of it stands out.

    Baruch, Baruch and Goldberg, "A Little Is Enough: Circumventing Defenses For Distributed Learning"
    (NeurIPS 2019). `mu` and `sigma` (with `m - 1` in the divisor) are those of the honest vectors that it
    sees, else of its group's own. Without `z`: the quantile of the normal distribution for
    `(n - f - s) / (n - f)` with `s = floor(n / 2 + 1) - f`, the honest ones that must be won over.
    """

    name: ClassVar[str] = "alie"

    z: float | None = Field(
        default=None, allow_inf_nan=False, description="Deviations from the mean; from n and f if not given."
    )

    def craft(self, view: View) -> Tensor:
        """`mu - z sigma`; `ValueError` if fewer than two vectors are known, or no `z` fits `n` and `f`."""
        known = view.at_least_two(self.name)
        z = alie_z(view.nodes, view.byzantine) if self.z is None else self.z
        return shifted(known, z)


def shifted(known: Tensor, z: float) -> Tensor:
    """`mu - z sigma` of vectors `[m, d]`."""
    return known.mean(dim=0) - z * known.std(dim=0)


def alie_z(n: int, f: int) -> float:
    """The `z` of the paper for `f` Byzantine nodes among `n`.

    Raises `ValueError` unless `0 < f < n / 2`: with `f` at half or more there is nobody to win over.
    """
    won_over = n // 2 + 1 - f
    if not f > 0 or won_over <= 0:
        raise ValueError(f"alie's z is for 0 < f < n / 2, got n = {n} and f = {f}; give z instead")
    return NormalDist().inv_cdf((n - f - won_over) / (n - f))
