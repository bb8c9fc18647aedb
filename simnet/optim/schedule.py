"""Learning-rate schedules: the factor that multiplies `lr`, as a function of the steps taken so far.

All start with the same linear warm-up: the first of `warmup_steps` steps runs at `1 / warmup_steps` of the
learning rate, so that no step is wasted at zero. In torch's words, `LambdaLR(optimizer, schedule.factor)`.
"""

import math
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, model_validator
from torch import Tensor


class Constant(BaseModel):
    """The learning rate stays as it is (after the warm-up)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["constant"] = "constant"
    warmup_steps: NonNegativeInt = Field(default=0, description="Steps of linear warm-up.")

    def factor(self, step: Tensor) -> Tensor:
        """Factor of the learning rate of the step after `step` steps; float64, the shape of `step`."""
        return _warmup(step, self.warmup_steps)


class Linear(BaseModel):
    """A straight line from 1 at the end of the warm-up to `final` at `steps`, then flat."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["linear"] = "linear"
    steps: PositiveInt = Field(description="Step at which the decay ends, the warm-up included.")
    warmup_steps: NonNegativeInt = Field(default=0, description="Steps of linear warm-up.")
    final: float = Field(default=0.0, ge=0, le=1, description="Factor from `steps` on.")

    @model_validator(mode="after")
    def _warmup_ends_first(self) -> "Linear":
        _check_warmup(self.warmup_steps, self.steps)
        return self

    def factor(self, step: Tensor) -> Tensor:
        """Factor of the learning rate of the step after `step` steps; float64, the shape of `step`."""
        decayed = 1 - (1 - self.final) * _progress(step, self.warmup_steps, self.steps)
        return _warmup(step, self.warmup_steps) * decayed


class Cosine(BaseModel):
    """Half a cosine from 1 at the end of the warm-up to `final` at `steps`, then flat.

    Loshchilov and Hutter, "SGDR" (2017), without restarts.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["cosine"] = "cosine"
    steps: PositiveInt = Field(description="Step at which the decay ends, the warm-up included.")
    warmup_steps: NonNegativeInt = Field(default=0, description="Steps of linear warm-up.")
    final: float = Field(default=0.0, ge=0, le=1, description="Factor from `steps` on.")

    @model_validator(mode="after")
    def _warmup_ends_first(self) -> "Cosine":
        _check_warmup(self.warmup_steps, self.steps)
        return self

    def factor(self, step: Tensor) -> Tensor:
        """Factor of the learning rate of the step after `step` steps; float64, the shape of `step`."""
        wave = 0.5 * (1 + torch.cos(math.pi * _progress(step, self.warmup_steps, self.steps)))
        return _warmup(step, self.warmup_steps) * (self.final + (1 - self.final) * wave)


Schedule = Annotated[Constant | Linear | Cosine, Field(discriminator="name")]


def _check_warmup(warmup_steps: int, steps: int) -> None:
    if warmup_steps >= steps:
        raise ValueError(
            f"the warm-up ({warmup_steps} steps) must end before the schedule does ({steps} steps): "
            f"steps counts the warm-up too"
        )


def _warmup(step: Tensor, warmup_steps: int) -> Tensor:
    if warmup_steps == 0:
        return torch.ones(step.shape, dtype=torch.float64, device=step.device)
    return ((step.double() + 1) / warmup_steps).clamp(max=1.0)


def _progress(step: Tensor, start: int, end: int) -> Tensor:
    return ((step.double() - start) / (end - start)).clamp(0.0, 1.0)
