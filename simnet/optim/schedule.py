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


class WSD(BaseModel):
    """Warm-up, then flat at 1, then a decay over the last `decay_steps` of `steps` to `final`.

    Hu et al., "MiniCPM" (2024); the shapes of the decay are those of Haegele et al., "Scaling laws and
    compute-optimal training beyond fixed training durations" (2024). With progress `p` from 0 to 1: `1 - p`
    (linear), half a cosine (cosine) or `1 - sqrt(p)` (sqrt).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["wsd"] = "wsd"
    steps: PositiveInt = Field(description="Step at which the decay ends, the warm-up included.")
    decay_steps: PositiveInt = Field(description="How many steps before that the decay begins.")
    warmup_steps: NonNegativeInt = Field(default=0, description="Steps of linear warm-up.")
    shape: Literal["linear", "cosine", "sqrt"] = Field(default="linear", description="How it decays.")
    final: float = Field(default=0.0, ge=0, le=1, description="Factor from `steps` on.")

    @model_validator(mode="after")
    def _phases_fit(self) -> "WSD":
        if self.warmup_steps + self.decay_steps > self.steps:
            raise ValueError(
                f"the warm-up ({self.warmup_steps} steps) and the decay ({self.decay_steps} steps) must fit "
                f"into the schedule ({self.steps} steps): steps counts both"
            )
        return self

    def factor(self, step: Tensor) -> Tensor:
        """Factor of the learning rate of the step after `step` steps; float64, the shape of `step`."""
        progress = _progress(step, self.steps - self.decay_steps, self.steps)
        if self.shape == "linear":
            left = 1 - progress
        elif self.shape == "cosine":
            left = 0.5 * (1 + torch.cos(math.pi * progress))
        else:
            left = 1 - torch.sqrt(progress)
        return _warmup(step, self.warmup_steps) * (self.final + (1 - self.final) * left)


class InverseSqrt(BaseModel):
    """1 at the end of the warm-up, and `sqrt(s / (s + k))` after `k` more steps; never ends.

    With `s` the length of the warm-up, the default, this is the schedule of Vaswani et al., "Attention is all
    you need" (2017), scaled to 1 at its peak. Without a warm-up `s` is 1 unless it is given.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["inverse_sqrt"] = "inverse_sqrt"
    warmup_steps: NonNegativeInt = Field(default=0, description="Steps of linear warm-up.")
    timescale: PositiveInt | None = Field(
        default=None, description="Steps after which the factor is 1/sqrt(2); the warm-up's if not given."
    )

    def factor(self, step: Tensor) -> Tensor:
        """Factor of the learning rate of the step after `step` steps; float64, the shape of `step`."""
        scale = self.timescale or max(self.warmup_steps, 1)
        beyond = (step.double() - self.warmup_steps).clamp(min=0.0)
        return _warmup(step, self.warmup_steps) * torch.sqrt(scale / (scale + beyond))


Schedule = Annotated[Constant | Linear | Cosine | WSD | InverseSqrt, Field(discriminator="name")]


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
