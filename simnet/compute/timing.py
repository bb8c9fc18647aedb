"""The engine of timing-only runs: it counts work and computes nothing."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from simnet.compute.charging import even_layers
from simnet.compute.jobs import (
    GradientJob,
    GradientResult,
    Job,
    LossJob,
    PredictionJob,
    State,
    StepJob,
    StepResult,
    Subset,
    TrainJob,
    TrainResult,
)
from simnet.compute.shape_only import ShapeOnly
from simnet.compute.stages import PieceBackward, PieceForward, PieceGradient, PieceStep
from simnet.tasks.synthetic import SyntheticTask

J = TypeVar("J", bound=Job[Any])


class TimingEngine:
    """The same face as :class:`~simnet.compute.Engine`, for a task that is only sizes and seconds.

    Vectors are :class:`~simnet.compute.shape_only.ShapeOnly`: they have a shape and no values, arithmetic on
    them is all but free, and whoever asks for a value gets an error instead of a made-up number.
    """

    choice = "timing"
    notes: tuple[str, ...] = ()
    has_values = False

    def __init__(self, task: SyntheticTask) -> None:
        self.task = task
        self.initial_params = ShapeOnly.of(task.parameters)
        self._pending: dict[Job[Any], None] = {}

    @property
    def settings(self) -> dict[str, str | bool | float]:
        """For the manifest: nothing is computed, so there is nothing to choose."""
        return {"mode": self.choice}

    @property
    def parameters(self) -> int:
        """The length of a flat vector."""
        return self.task.parameters

    @property
    def layers(self) -> tuple[slice, ...]:
        """Where each layer lies in the flat vector."""
        return even_layers(self.task.parameters, self.task.layers)

    @property
    def layerwise_steps(self) -> bool:
        """A layer can be stepped before the next one's gradient is there."""
        return True

    def init_state(self, params: Tensor) -> dict[str, Tensor]:
        """There is no optimizer, so it has no state."""
        return {}

    def submit(self, job: J) -> J:
        """Count a job of a kind that `flush` knows; gives the job back."""
        self._pending[job] = None
        return job

    def submit_train(
        self,
        worker: int,
        params: Tensor,
        state: State,
        steps: int,
        first_batch: int,
        *,
        lr_scale: float = 1.0,
        only: Subset | None = None,
    ) -> TrainJob:
        """Count `steps` training steps; how long they are and of what makes no difference here."""
        if steps < 0:
            raise ValueError(f"steps must not be negative, got {steps}")
        return self.submit(TrainJob(worker, params, state, steps, first_batch))

    def submit_gradient(self, worker: int, params: Tensor, first_batch: int) -> GradientJob:
        """Count a gradient."""
        return self.submit(GradientJob(worker, params, first_batch))

    def submit_loss(self, worker: int, params: Tensor, batch: int) -> LossJob:
        """Refused: there is no loss. Raises `ValueError`."""
        raise ValueError("a synthetic task has no loss")

    def submit_predictions(
        self, worker: int, params: Tensor, first_batch: int, batches: int
    ) -> PredictionJob:
        """Refused: there are no classes. Raises `ValueError`."""
        raise ValueError("a synthetic task has no classes to predict")

    def submit_step(self, params: Tensor, gradient: Tensor, state: State) -> StepJob:
        """Count an optimizer step; raises `ValueError` unless `gradient` has the shape of `params`."""
        if gradient.shape != params.shape:
            raise ValueError(
                f"a gradient of shape {tuple(gradient.shape)} for {tuple(params.shape)} parameters"
            )
        return self.submit(StepJob(params, gradient, state))

    def withdraw(self, job: Job[Any]) -> None:
        """Forget a job whose result nobody will need."""
        self._pending.pop(job, None)

    def flush(self) -> None:
        """Give every submitted job its result."""
        self.run(self.take())

    def take(self) -> list[Job[Any]]:
        """Every job that was submitted, for :meth:`run`."""
        jobs, self._pending = list(self._pending), {}
        return jobs

    def run(self, jobs: Sequence[Job[Any]]) -> None:
        """Give every submitted job its result: vectors as they were, and as many losses as steps."""
        for job in jobs:
            match job:
                case TrainJob():
                    job.result = TrainResult(job.params, dict(job.state), _losses(job.steps))
                case GradientJob():
                    job.result = GradientResult(job.params, _losses(1)[0])
                case StepJob() | PieceStep():
                    job.result = StepResult(job.params, dict(job.state))
                case PieceForward():
                    job.result = job.params
                case PieceBackward():
                    first = job.piece.first
                    job.result = PieceGradient(None if first else job.params, job.params, None)

    def evaluate(self, params: Sequence[Tensor]) -> list[dict[str, float]]:
        """There is nothing to evaluate: no metrics of any of them."""
        return [{} for _ in params]


@lru_cache
def _losses(steps: int) -> Tensor:
    return torch.empty(steps, device="meta")
