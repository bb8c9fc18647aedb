"""Adam: steps scaled by running moments of the gradient."""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.optim.optimizer import Optimizer, State

Decay = Annotated[float, Field(ge=0, lt=1)]


class Adam(Optimizer):
    """Adam (Kingma and Ba, 2015): `x <- x - lr m' / (sqrt(v') + eps)`.

    `m'` and `v'` are the bias-corrected moments: `m <- b1 m + (1 - b1) g`, `v <- b2 v + (1 - b2) g^2`.
    Weight decay is L2: it is added to the gradient.
    """

    name: ClassVar[str] = "adam"
    moments: ClassVar[tuple[str, ...]] = ("first_moment", "second_moment")

    lr: float = Field(default=1e-3, gt=0, allow_inf_nan=False, description="Learning rate.")
    betas: tuple[Decay, Decay] = Field(default=(0.9, 0.999), description="Decay of the two moments.")
    eps: float = Field(default=1e-8, gt=0, allow_inf_nan=False, description="Floor of the denominator.")

    def update_(self, params: Tensor, gradient: Tensor, state: State) -> None:
        """Take one step in place; `gradient` is used as scratch."""
        rate = self.learning_rate(state["step"], params.dtype)
        self.clip_(gradient)
        if self.weight_decay > 0:
            gradient.add_(params, alpha=self.weight_decay)
        add_adam_step_(params, gradient, state, rate, self.betas, self.eps)

    @property
    def flops_per_parameter(self) -> float:
        """3 and 4 for the moments, then root, scale, floor, divide and subtract."""
        return 12.0 + self.common_flops


def add_adam_step_(
    params: Tensor,
    gradient: Tensor,
    state: State,
    rate: float | Tensor,
    betas: tuple[float, float],
    eps: float,
) -> None:
    """Fold `gradient` into the moments and step along them, in place; `gradient` is used as scratch.

    Both bias corrections and the learning rate are folded into one scale and one floor per row, so that rows
    at different steps cost no more passes over memory than rows in step.
    """
    first, second, step = state["first_moment"], state["second_moment"], state["step"]
    beta1, beta2 = betas
    step += 1
    count = step.double()
    scale = (1 - beta1**count) / torch.sqrt(1 - beta2**count)
    floor = (1 - beta1**count) * eps
    # sqrt(second) * scale + floor = (sqrt(second / correction2) + eps) * correction1
    first.lerp_(gradient, 1 - beta1)
    second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
    torch.sqrt(second, out=gradient)
    dtype = params.dtype
    if isinstance(rate, Tensor):
        scale, floor = scale / rate.double().squeeze(-1), floor / rate.double().squeeze(-1)
        rate = 1.0
    torch.addcmul(floor.to(dtype).unsqueeze(-1), gradient, scale.to(dtype).unsqueeze(-1), out=gradient)
    params.addcdiv_(first, gradient, value=-rate)
