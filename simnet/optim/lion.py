"""Lion: steps of one size, along the sign of a momentum."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.optim.adam import Decay
from simnet.optim.optimizer import Optimizer, State, add_scaled_


class Lion(Optimizer):
    """Lion (Chen et al., 2023): `x <- (1 - lr wd) x - lr sign(b1 m + (1 - b1) g)`.

    Then `m <- b2 m + (1 - b2) g`. "Symbolic discovery of optimization algorithms", arXiv 2302.06675. Weight
    decay is decoupled. Learning rates are three to ten times smaller than AdamW's.
    """

    name: ClassVar[str] = "lion"
    moments: ClassVar[tuple[str, ...]] = ("momentum",)

    lr: float = Field(default=1e-4, gt=0, allow_inf_nan=False, description="Learning rate.")
    betas: tuple[Decay, Decay] = Field(
        default=(0.9, 0.99), description="Share of the momentum in the step, and decay of the momentum."
    )

    def update_(self, params: Tensor, gradient: Tensor, state: State) -> None:
        """Take one step in place; `gradient` is used as scratch."""
        rate = self.learning_rate(state["step"], params.dtype)
        self.clip_(gradient)
        if self.weight_decay > 0:
            params.mul_(1 - rate * self.weight_decay)
        momentum = state["momentum"]
        direction = torch.lerp(momentum, gradient, 1 - self.betas[0]).sign_()
        momentum.lerp_(gradient, 1 - self.betas[1])
        add_scaled_(params, direction, -rate)
        state["step"] += 1

    @property
    def flops_per_parameter(self) -> float:
        """3 each for the mixture and the momentum, 1 for the sign, 2 for the step."""
        return 9.0 + self.common_flops
