"""Stochastic gradient descent, plain or with momentum."""

from typing import ClassVar

from pydantic import Field, model_validator
from torch import Tensor

from simnet.optim.optimizer import Optimizer, State, add_scaled_


class SGD(Optimizer):
    """Gradient descent: `m <- mu m + (1 - dampening) g`, then `x <- x - lr m` (without momentum, `m = g`).

    With `nesterov`, `x <- x - lr (g + mu m)` (Sutskever et al., 2013, in the form of `torch.optim.SGD`).
    The first step takes `m = g` whatever the dampening. Weight decay is L2: it is added to the gradient.
    """

    name: ClassVar[str] = "sgd"
    moments: ClassVar[tuple[str, ...]] = ("momentum",)

    momentum: float = Field(default=0.0, ge=0, lt=1, description="Share of the last step that is kept.")
    dampening: float = Field(default=0.0, ge=0, lt=1, description="Share of the gradient left out.")
    nesterov: bool = Field(default=False, description="Look ahead along the momentum.")

    @model_validator(mode="after")
    def _nesterov_has_momentum(self) -> "SGD":
        if self.nesterov and (self.momentum == 0 or self.dampening > 0):
            raise ValueError("nesterov needs a momentum above 0 and no dampening")
        return self

    def state_names(self) -> tuple[str, ...]:
        """Momentum is only kept where there is some."""
        return self.moments if self.momentum > 0 else ()

    def update_(self, params: Tensor, gradient: Tensor, state: State) -> None:
        """Take one step in place; `gradient` is used as scratch."""
        step = state["step"]
        share: float | Tensor = 1.0
        if self.dampening > 0:
            share = 1 - self.dampening * (step > 0).to(params.dtype).unsqueeze(-1)
        rate = self.learning_rate(step, params.dtype)
        self.clip_(gradient)
        if self.weight_decay > 0:
            gradient.add_(params, alpha=self.weight_decay)
        if self.momentum == 0:
            add_scaled_(params, gradient, -rate)
        else:
            add_momentum_step_(params, gradient, state["momentum"], rate, self.momentum, share, self.nesterov)
        step += 1

    @property
    def flops_per_parameter(self) -> float:
        """2 for the step; with momentum 2 more, or 3 with dampening; with Nesterov 2 on top."""
        momentum = 0.0 if self.momentum == 0 else 2.0 + (self.dampening > 0) + 2.0 * self.nesterov
        return 2.0 + momentum + self.common_flops


def add_momentum_step_(
    params: Tensor,
    gradient: Tensor,
    momentum: Tensor,
    rate: float | Tensor,
    mu: float,
    share: float | Tensor = 1.0,
    nesterov: bool = False,
) -> None:
    """Fold `share * gradient` into `momentum` and move `params` along it, in place."""
    momentum.mul_(mu)
    add_scaled_(momentum, gradient, share)
    if nesterov:
        add_scaled_(params, gradient, -rate)
        add_scaled_(params, momentum, -mu * rate)
    else:
        add_scaled_(params, momentum, -rate)
