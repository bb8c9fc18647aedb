"""signSGD: steps of one size, along the signs of the gradient."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from simnet.optim.optimizer import Optimizer, State, add_scaled_


class SignSGD(Optimizer):
    """signSGD (Bernstein et al., 2018): `x <- (1 - lr wd) x - lr sign(g)`.

    With momentum, the Signum of the same paper (arXiv 1802.04434): `m <- mu m + (1 - mu) g` in the place of
    `g`. Weight decay is decoupled. The sign of 0 is 0.
    """

    name: ClassVar[str] = "signsgd"
    moments: ClassVar[tuple[str, ...]] = ("momentum",)

    momentum: float = Field(default=0.0, ge=0, lt=1, description="Share of the last momentum that is kept.")

    def state_names(self) -> tuple[str, ...]:
        """Momentum is only kept where there is some."""
        return self.moments if self.momentum > 0 else ()

    def update_(self, params: Tensor, gradient: Tensor, state: State) -> None:
        """Take one step in place; `gradient` is used as scratch."""
        rate = self.learning_rate(state["step"], params.dtype)
        self.clip_(gradient)
        if self.weight_decay > 0:
            params.mul_(1 - rate * self.weight_decay)
        if self.momentum > 0:
            gradient.copy_(state["momentum"].lerp_(gradient, 1 - self.momentum))
        add_scaled_(params, gradient.sign_(), -rate)
        state["step"] += 1

    @property
    def flops_per_parameter(self) -> float:
        """1 for the sign and 2 for the step; with momentum 3 more."""
        return 3.0 + 3.0 * (self.momentum > 0) + self.common_flops
