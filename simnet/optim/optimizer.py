"""What every optimizer is: a frozen record of hyperparameters with `init`, `step` and `update_`."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from simnet.optim.layout import ParameterLayout
from simnet.optim.schedule import Constant, Schedule

State = dict[str, Tensor]
"""Optimizer state by name, each `[..., n]` (most with `n = d`, as the parameters), and `step`, int64, one
count per row. All of it can be read, averaged and sent: see `simnet.optim.state`."""


class Optimizer(BaseModel, ABC):
    """One rule that turns a gradient into a step, on flat parameters `[..., d]`.

    Leading dimensions are workers: each row is stepped on its own, at its own step count, as a separate
    `torch.optim` optimizer would. A new optimizer subclasses this, names itself, and writes `update_`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    """The name in a scenario."""
    moments: ClassVar[tuple[str, ...]] = ()
    """Names of the state tensors; shaped like the parameters, unless `state_sizes` says otherwise."""
    needs_layout: ClassVar[bool] = False
    """Whether this optimizer must know the shapes of the parameters: see `with_layout`."""

    lr: float = Field(gt=0, allow_inf_nan=False, description="Learning rate.")
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Weight decay.")
    clip_norm: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Largest gradient norm; larger ones are scaled."
    )
    clip_value: float | None = Field(
        default=None,
        gt=0,
        allow_inf_nan=False,
        description="Largest magnitude of a gradient's entry; larger ones are cut, before clip_norm.",
    )
    schedule: Schedule = Field(default=Constant(), description="How the learning rate changes.")

    @model_serializer(mode="wrap")
    def _named(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name, **write(self)}

    def with_layout(self, layout: ParameterLayout) -> Self:
        """This optimizer bound to the shapes of a model's parameters; itself, where it does not need them.

        Raises ValueError where it can do nothing with these shapes (Muon on a model without a matrix).
        """
        return self

    def init(self, params: Tensor) -> State:
        """State before the first step, for parameters `[..., d]`: zeros, and a step count per row.

        Raises ValueError where the optimizer `needs_layout` and has none, or that of another model.
        """
        leading, size = params.shape[:-1], params.shape[-1]
        state = {name: params.new_zeros(*leading, own) for name, own in self.state_sizes(size).items()}
        state["step"] = torch.zeros(params.shape[:-1], dtype=torch.int64, device=params.device)
        return state

    def step(self, params: Tensor, gradient: Tensor, state: State) -> tuple[Tensor, State]:
        """New parameters and new state after one step; the arguments stay as they are.

        `params` and `gradient` are `[..., d]`, `state` is from `init` or from an earlier step.
        """
        params = params.detach().clone()
        state = {name: value.clone() for name, value in state.items()}
        self.update_(params, gradient.detach().clone(), state)
        return params, state

    @abstractmethod
    def update_(self, params: Tensor, gradient: Tensor, state: State) -> None:
        """Take one step in place, for the owner of all three buffers; `gradient` is used as scratch."""

    @property
    @abstractmethod
    def flops_per_parameter(self) -> float:
        """Arithmetic operations per parameter of one step, as the clock charges them."""

    def step_flops(self, parameters: float) -> float:
        """Arithmetic operations of one step on so many parameters, which `charge_as` may have raised."""
        return self.flops_per_parameter * parameters

    def state_sizes(self, parameters: int) -> dict[str, int]:
        """Entries per row of each state tensor, for so many parameters, without the step count."""
        return dict.fromkeys(self.state_names(), parameters)

    def state_names(self) -> tuple[str, ...]:
        """The moments that this optimizer keeps with its present hyperparameters."""
        return self.moments

    def learning_rate(self, step: Tensor, dtype: torch.dtype) -> float | Tensor:
        """Learning rate of the next step: a number, or `[..., 1]` in `dtype` where it depends on the row."""
        if isinstance(self.schedule, Constant) and self.schedule.warmup_steps == 0:
            return self.lr
        return (self.lr * self.schedule.factor(step)).to(dtype).unsqueeze(-1)

    def clip_(self, gradient: Tensor) -> None:
        """Cut the entries of `gradient` to `clip_value`, then scale each row to at most `clip_norm`.

        As `torch.nn.utils.clip_grad_value_` and then `clip_grad_norm_` do.
        """
        if self.clip_value is not None:
            gradient.clamp_(-self.clip_value, self.clip_value)
        if self.clip_norm is not None:
            norm = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
            gradient.mul_((self.clip_norm / (norm + 1e-6)).clamp_(max=1.0))

    @property
    def clipping_flops(self) -> float:
        """Operations per parameter of clipping: two comparisons by value; square, add and scale by norm."""
        return 2.0 * (self.clip_value is not None) + 3.0 * (self.clip_norm is not None)

    @property
    def common_flops(self) -> float:
        """Operations per parameter of clipping, and of weight decay (multiply, add)."""
        return self.clipping_flops + 2.0 * (self.weight_decay > 0)


def add_scaled_(target: Tensor, source: Tensor, scale: float | Tensor) -> None:
    """`target += scale * source` in one pass over memory; `scale` is a number or `[..., 1]`."""
    if isinstance(scale, Tensor):
        target.addcmul_(source, scale)
    else:
        target.add_(source, alpha=scale)
