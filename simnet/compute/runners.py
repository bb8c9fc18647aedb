"""Which function runs which kind of job: the one place that a new kind is entered."""

from collections.abc import Callable, Sequence
from typing import Any

from simnet.compute.batched import run_gradients, run_losses, run_steps, run_training
from simnet.compute.evaluation import run_predictions
from simnet.compute.jobs import GradientJob, Job, LossJob, PredictionJob, StepJob, TrainJob
from simnet.compute.shard import Shard
from simnet.compute.stages import (
    PieceBackward,
    PieceForward,
    PieceStep,
    run_piece_backwards,
    run_piece_forwards,
    run_piece_steps,
)

Runner = Callable[[Shard, Sequence[Any]], None]
"""Runs jobs of its kind, in any grouping that it likes, and gives each its `result`."""

RUNNERS: dict[type[Job[Any]], Runner] = {
    TrainJob: run_training,
    GradientJob: run_gradients,
    LossJob: run_losses,
    PredictionJob: run_predictions,
    StepJob: run_steps,
    PieceForward: run_piece_forwards,
    PieceBackward: run_piece_backwards,
    PieceStep: run_piece_steps,
}
"""Kinds of jobs in the order in which a flush runs them."""


def run_jobs(shard: Shard, jobs: Sequence[Job[Any]]) -> None:
    """Run jobs of any kinds, each kind at once."""
    for kind, run in RUNNERS.items():
        mine = [job for job in jobs if type(job) is kind]
        if mine:
            run(shard, mine)
