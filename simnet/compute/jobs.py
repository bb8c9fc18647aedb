"""Jobs for the engine, and what comes out of them.

A job is submitted when its inputs are known and carries a `result` after the engine's next flush. Results are
values: nobody mutates them, and they share no memory with anything that is mutated later.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from torch import Tensor

State: TypeAlias = Mapping[str, Tensor]


@dataclass(frozen=True, slots=True)
class TrainResult:
    """After some optimizer steps: parameters `[d]`, optimizer state, and the training loss of each step."""

    params: Tensor
    state: dict[str, Tensor]
    losses: Tensor


@dataclass(frozen=True, slots=True)
class GradientResult:
    """Gradient `[d]` of the mean loss over one batch, and that loss (a scalar tensor)."""

    vector: Tensor
    loss: Tensor


@dataclass(frozen=True, slots=True)
class StepResult:
    """After one optimizer step on a given gradient: parameters `[d]` and optimizer state."""

    params: Tensor
    state: dict[str, Tensor]


@dataclass(slots=True, eq=False)
class TrainJob:
    """`steps` optimizer steps of `worker` from `params` and `state`, on its batches from `first_batch` on."""

    worker: int
    params: Tensor
    state: State
    steps: int
    first_batch: int
    result: TrainResult | None = field(default=None, init=False)


@dataclass(slots=True, eq=False)
class GradientJob:
    """The gradient of `worker`'s batch `first_batch` at `params`."""

    worker: int
    params: Tensor
    first_batch: int
    result: GradientResult | None = field(default=None, init=False)


@dataclass(slots=True, eq=False)
class StepJob:
    """One optimizer step from `params` and `state` along `gradient`, whoever computed it."""

    params: Tensor
    gradient: Tensor
    state: State
    result: StepResult | None = field(default=None, init=False)


Job: TypeAlias = TrainJob | GradientJob | StepJob
