"""AdamW: Adam with weight decay that does not pass through the moments."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from simnet.optim.adam import Adam, add_adam_step_
from simnet.optim.optimizer import State


class AdamW(Adam):
    """AdamW (Loshchilov and Hutter, 2019): `x <- (1 - lr wd) x`, then the step of Adam."""

    name: ClassVar[str] = "adamw"

    weight_decay: float = Field(
        default=0.01,
        ge=0,
        allow_inf_nan=False,
        description="Decoupled decay, times the learning rate.",
    )

    def update_(self, params: Tensor, gradient: Tensor, state: State) -> None:
        """Take one step in place; `gradient` is used as scratch."""
        rate = self.learning_rate(state["step"], params.dtype)
        self.clip_(gradient)
        if self.weight_decay > 0:
            params.mul_(1 - rate * self.weight_decay)
        add_adam_step_(params, gradient, state, rate, self.betas, self.eps)
