"""Inner product manipulation, also known as the fall of empires."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from simnet.faults.attacks.attack import InformedAttack, View


class Ipm(InformedAttack):
    """`-scale mu`: turns the inner product of the aggregate and the honest mean negative.

    Xie, Koyejo and Gupta, "Fall of Empires: Breaking Byzantine-tolerant SGD by Inner Product Manipulation"
    (UAI 2019). A small scale, like 0.1, hides near the honest vectors; a large one overwhelms a mean.
    """

    name: ClassVar[str] = "ipm"

    scale: float = Field(default=0.1, ge=0, allow_inf_nan=False, description="Factor on the negative mean.")

    def craft(self, view: View) -> Tensor:
        """`-scale` times the mean of the known vectors."""
        return -self.scale * view.known.mean(dim=0)
