"""Nesterov momentum: the outer optimizer of DiLoCo."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from simnet.optim.optimizer import Optimizer, State
from simnet.optim.sgd import add_momentum_step_


class Nesterov(Optimizer):
    """Nesterov momentum: `m <- mu m + g`, then `x <- x - lr (g + mu m)`.

    The form of Sutskever et al. (2013) that `torch.optim.SGD(nesterov=True)` has, and that DiLoCo takes on
    the averaged drift (Douillard et al., 2023). Weight decay is L2: it is added to the gradient.
    """

    name: ClassVar[str] = "nesterov"
    moments: ClassVar[tuple[str, ...]] = ("momentum",)

    momentum: float = Field(default=0.9, gt=0, lt=1, description="Share of the last step that is kept.")

    def update_(self, params: Tensor, gradient: Tensor, state: State) -> None:
        """Take one step in place; `gradient` is used as scratch."""
        rate = self.learning_rate(state["step"], params.dtype)
        self.clip_(gradient)
        if self.weight_decay > 0:
            gradient.add_(params, alpha=self.weight_decay)
        add_momentum_step_(params, gradient, state["momentum"], rate, self.momentum, nesterov=True)
        state["step"] += 1

    @property
    def flops_per_parameter(self) -> float:
        """2 each for the momentum, the gradient's part of the step, and the momentum's."""
        return 6.0 + self.common_flops
