"""The batching engine: all work that is due runs at once, with the parameters of many workers stacked.

A job's inputs are fixed when it is submitted and its result is needed only when its virtual duration has
passed. So the engine waits until the first result is needed, and then runs everything that was submitted:
what has the same shape goes through one stacked computation.
"""

import warnings
from collections.abc import Sequence
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor

from simnet.compute.evaluation import evaluate
from simnet.compute.jobs import GradientJob, Job, State, StepJob, TrainJob
from simnet.compute.memory import keep_freed_memory
from simnet.compute.program import Mode, Program, build_program
from simnet.compute.runners import RUNNERS, run_jobs
from simnet.compute.shard import Shard
from simnet.optim import Optimizer
from simnet.tasks.task import Task

J = TypeVar("J", bound=Job[Any])


class Engine:
    """Runs training work for all the workers of a task on one torch device.

    `mode` is how workers are batched: `stacked` (the model's own `stacked_forward`), `vmap`
    (`torch.func.vmap`), `loop` (one worker after the other), or `auto`, which takes the first of these that
    the model allows. The choice never depends on a timing or on free memory, since it changes rounding.
    """

    def __init__(
        self,
        task: Task,
        optimizer: Optimizer,
        device: torch.device | str = "cpu",
        mode: Literal["auto", "stacked", "vmap", "loop"] = "auto",
    ) -> None:
        self.task = task
        self.device = torch.device(device)
        keep_freed_memory()
        self._program: Program = build_program(task, self.device, mode)
        self.optimizer = optimizer.with_layout(self._program.layout)
        self._initial_state = {**self.optimizer.init(self.initial_params), **self._program.initial_buffers}
        self._shard = Shard(self._program, self.optimizer)
        self._pending: dict[Job[Any], None] = {}
        for note in self.notes:
            warnings.warn(note, stacklevel=2)

    @property
    def choice(self) -> Mode:
        """How workers are batched: `stacked`, `vmap` or `loop`."""
        return self._program.mode

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results should know about that choice; for the manifest."""
        return self._program.notes

    @property
    def initial_params(self) -> Tensor:
        """The model's initial parameters as one flat tensor `[d]`; not to be mutated."""
        return self._program.initial_params

    @property
    def parameters(self) -> int:
        """Number of trainable parameters, the length of a flat vector."""
        return self._program.layout.parameters

    def init_state(self, params: Tensor) -> dict[str, Tensor]:
        """Optimizer state before the first step, with the model's buffers where training changes them.

        Everyone who starts from `initial_params` gets the same tensors, so that equal steps are seen as such.
        """
        if params is self.initial_params:
            return dict(self._initial_state)
        return {**self.optimizer.init(params), **self._program.initial_buffers}

    def submit(self, job: J) -> J:
        """Ask for a job of any kind that `simnet.compute.runners.RUNNERS` knows; gives the job back.

        Raises `TypeError` for another kind.
        """
        if type(job) not in RUNNERS:
            known = ", ".join(kind.__name__ for kind in RUNNERS)
            raise TypeError(f"nobody runs jobs of kind {type(job).__name__}; known: {known}")
        self._pending[job] = None
        return job

    def submit_train(
        self, worker: int, params: Tensor, state: State, steps: int, first_batch: int
    ) -> TrainJob:
        """Ask for `steps` optimizer steps of `worker` on its batches `first_batch, first_batch + 1, ...`."""
        if steps < 0:
            raise ValueError(f"steps must not be negative, got {steps}")
        return self.submit(TrainJob(worker, params, state, steps, first_batch))

    def submit_gradient(self, worker: int, params: Tensor, first_batch: int) -> GradientJob:
        """Ask for the gradient of `worker`'s batch `first_batch` at `params`.

        The model's buffers (running means and the like) are as at first and stay so.
        """
        return self.submit(GradientJob(worker, params, first_batch))

    def submit_step(self, params: Tensor, gradient: Tensor, state: State) -> StepJob:
        """Ask for one optimizer step along `gradient`. Jobs on the same tensors are computed once."""
        return self.submit(StepJob(params, gradient, state))

    def withdraw(self, job: Job[Any]) -> None:
        """Forget a job whose result nobody will need. Does nothing to a job that has run."""
        self._pending.pop(job, None)

    def flush(self) -> None:
        """Run every submitted job; each then has its `result`."""
        jobs = list(self._pending)
        self._pending.clear()
        run_jobs(self._shard, jobs)

    def evaluate(self, params: Sequence[Tensor]) -> list[dict[str, float]]:
        """Mean loss and metrics of each flat vector on the held-out data, under the task's names.

        Vectors that are the same object are evaluated once.
        """
        return evaluate(self._program, params)
