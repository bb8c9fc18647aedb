"""What every optimizer is: a frozen record of hyperparameters with `init`, `step` and `update_`."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor

from simnet.optim.schedule import Constant, Schedule

State = dict[str, Tensor]
"""Optimizer state by name, each `[..., d]` like the parameters, and `step`, int64, one count per row."""


class Optimizer(BaseModel, ABC):
    """One rule that turns a gradient into a step, on flat parameters `[..., d]`.

    Leading dimensions are workers: each row is stepped on its own, at its own step count, as a separate
    `torch.optim` optimizer would. A new optimizer subclasses this, names itself, and writes `update_`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    """The name in a scenario."""
    moments: ClassVar[tuple[str, ...]] = ()
    """Names of the state tensors that are shaped like the parameters."""

    lr: float = Field(gt=0, allow_inf_nan=False, description="Learning rate.")
    weight_decay: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Weight decay.")
    clip_norm: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="Largest gradient norm; larger ones are scaled."
    )
    schedule: Schedule = Field(default=Constant(), description="How the learning rate changes.")

    @model_serializer(mode="wrap")
    def _named(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name, **write(self)}

    def init(self, params: Tensor) -> State:
        """State before the first step, for parameters `[..., d]`: zeros, and a step count per row."""
        state = {name: params.new_zeros(params.shape) for name in self.state_names()}
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

    def state_names(self) -> tuple[str, ...]:
        """The moments that this optimizer keeps with its present hyperparameters."""
        return self.moments

    def learning_rate(self, step: Tensor, dtype: torch.dtype) -> float | Tensor:
        """Learning rate of the next step: a number, or `[..., 1]` in `dtype` where it depends on the row."""
        if isinstance(self.schedule, Constant) and self.schedule.warmup_steps == 0:
            return self.lr
        return (self.lr * self.schedule.factor(step)).to(dtype).unsqueeze(-1)

    def clip_(self, gradient: Tensor) -> None:
        """Scale each row of `gradient` to at most `clip_norm`, as `torch.nn.utils.clip_grad_norm_` does."""
        if self.clip_norm is not None:
            norm = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
            gradient.mul_((self.clip_norm / (norm + 1e-6)).clamp_(max=1.0))

    @property
    def common_flops(self) -> float:
        """Operations per parameter of clipping (square, add, scale) and weight decay (multiply, add)."""
        return (3.0 if self.clip_norm is not None else 0.0) + (2.0 if self.weight_decay > 0 else 0.0)


def add_scaled_(target: Tensor, source: Tensor, scale: float | Tensor) -> None:
    """`target += scale * source` in one pass over memory; `scale` is a number or `[..., 1]`."""
    if isinstance(scale, Tensor):
        target.addcmul_(source, scale)
    else:
        target.add_(source, alpha=scale)
