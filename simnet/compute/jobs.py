"""Jobs for the engine, and what comes out of them.

A job is submitted when its inputs are known and carries a `result` after the engine's next flush. Results are
values: nobody mutates them, and they share no memory with anything that is mutated later.

A new kind of job is a subclass of :class:`Job` and a function that runs a list of them, entered in
`simnet.compute.runners.RUNNERS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

from torch import Tensor

State: TypeAlias = Mapping[str, Tensor]

Subset: TypeAlias = slice | Tensor
"""Coordinates of a flat vector: a slice, a bool mask `[d]`, or indices."""

R = TypeVar("R")


@dataclass(slots=True, eq=False)
class Job(Generic[R]):
    """A piece of work whose inputs are fixed; `result` is None until it has run."""

    result: R | None = field(default=None, init=False)

    def computed(self) -> tuple[int, int]:
        """Gradients and optimizer steps that were really computed, told from the result.

        The runtime holds them against what the clock was charged.
        """
        return 0, 0


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
class TrainJob(Job[TrainResult]):
    """`steps` optimizer steps of `worker` from `params` and `state`, on its batches from `first_batch` on.

    A job that has run has let go of its state.
    """

    worker: int
    params: Tensor
    state: State
    steps: int
    first_batch: int
    lr_scale: float = 1.0
    """How many times as long each step is as the optimizer's own."""
    mask: Tensor | None = None
    """`[d]`, bool: the coordinates that are trained; None: all."""

    def computed(self) -> tuple[int, int]:
        """As many of both as there are losses."""
        steps = 0 if self.result is None else len(self.result.losses)
        return steps, steps


@dataclass(slots=True, eq=False)
class GradientJob(Job[GradientResult]):
    """The gradient of `worker`'s batch `first_batch` at `params`."""

    worker: int
    params: Tensor
    first_batch: int

    def computed(self) -> tuple[int, int]:
        """One gradient."""
        return int(self.result is not None), 0


@dataclass(slots=True, eq=False)
class LossJob(Job[Tensor]):
    """The mean loss of `worker`'s batch `batch` at `params`, a scalar tensor: a forward pass alone."""

    worker: int
    params: Tensor
    batch: int


@dataclass(slots=True, eq=False)
class PredictionJob(Job[tuple[Tensor, Tensor]]):
    """The classes `[m, samples]` that models `params` `[m, d]` give `worker`'s batches, and the true ones.

    The batches are `first_batch` and those after it, `batches` in all; evaluated, not trained on.
    """

    worker: int
    params: Tensor
    first_batch: int
    batches: int


@dataclass(slots=True, eq=False)
class StepJob(Job[StepResult]):
    """One optimizer step from `params` and `state` along `gradient`, whoever computed it."""

    params: Tensor
    gradient: Tensor
    state: State

    def computed(self) -> tuple[int, int]:
        """One optimizer step."""
        return 0, int(self.result is not None)
