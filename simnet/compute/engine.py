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

from simnet.compute.charging import named_layers
from simnet.compute.evaluation import evaluate
from simnet.compute.handover import Handover
from simnet.compute.jobs import GradientJob, Job, LossJob, PredictionJob, State, StepJob, Subset, TrainJob
from simnet.compute.memory import keep_freed_memory, return_freed_memory
from simnet.compute.placement import placed
from simnet.compute.program import Mode, build_program, check_compiler
from simnet.compute.runners import RUNNERS, run_jobs
from simnet.compute.shard import Shard
from simnet.optim import Optimizer
from simnet.scenario.engine import EngineConfig
from simnet.tasks.task import Task

J = TypeVar("J", bound=Job[Any])

_DTYPES = {"float32": torch.float32, "bfloat16": torch.float32, "float64": torch.float64}


class Engine:
    """Runs training work for all the workers of a task, on one torch device or on several.

    Args:
        task: The task, with its data on the first device.
        optimizer: The workers' optimizer.
        device: Where to compute; `cuda` means every GPU that torch sees.
        mode: How workers are batched: `stacked` (the model's own `stacked_forward`), `vmap`
            (`torch.func.vmap`), `loop` (one worker after the other), or `auto`: by a rule over the model, the
            device and the size. Never by a timing or free memory, since the choice changes rounding.
        dtype: `float32`, `float64`, or `bfloat16` (autocast over float32 parameters); None takes the model
            as it is.
        compile: Whether `torch.compile` translates the model.
        memory_bytes: What one joint computation may take on each device; None: a constant per kind of device.
        idle: Where parameters and states are between computations: on the (first) `device`, or on the `host`.
        devices: The devices in place of what `device` means; one may be named twice.

    Raises `ValueError` where the model cannot run in `mode`, `ScenarioError` where the model cannot be laid
    out as one vector, its `stacked_forward` is wrong, or nothing is there to compile with.
    """

    has_values = True
    """Whether results are numbers; those of a :class:`~simnet.compute.TimingEngine` are only shapes."""

    def __init__(
        self,
        task: Task,
        optimizer: Optimizer,
        device: torch.device | str = "cpu",
        mode: Literal["auto", "stacked", "vmap", "loop"] = "auto",
        *,
        dtype: Literal["float32", "bfloat16", "float64"] | None = None,
        compile: bool = False,
        memory_bytes: float | None = None,
        idle: Literal["device", "host"] = "device",
        devices: Sequence[torch.device | str] | None = None,
    ) -> None:
        self.device = torch.device(device)
        found = _all_of(self.device) if devices is None else [torch.device(one) for one in devices]
        if compile:
            check_compiler(found[0])
        keep_freed_memory()
        number = None if dtype is None else _DTYPES[dtype]
        programs = [
            build_program(placed(task, one, number), one, mode, dtype == "bfloat16", compile) for one in found
        ]
        self._program = programs[0]
        self.task = self._program.task
        layout = self._program.layout
        self.optimizer = optimizer.with_layout(layout)
        self._shards = [Shard(program, self.optimizer, memory_bytes) for program in programs]
        self._home = torch.device("cpu") if idle == "host" else self._program.initial_params.device
        self._initial_params = self._program.initial_params.to(self._home)
        self._initial_buffers = {
            name: value.to(self._home) for name, value in self._program.initial_buffers.items()
        }
        self._initial_state = {**self.optimizer.init(self._initial_params), **self._initial_buffers}
        self._pending: dict[Job[Any], None] = {}
        self._settings: dict[str, str | bool | float] = {
            "mode": self._program.mode,
            "dtype": dtype or _name(layout.dtype),
            "compile": compile,
            "memory_bytes": float(self._shards[0].group_bytes),
            "idle": idle,
            "devices": ", ".join(map(str, found)),
        }
        for note in self.notes:
            warnings.warn(note, stacklevel=2)

    @classmethod
    def of(
        cls, task: Task, optimizer: Optimizer, device: torch.device | str, config: EngineConfig
    ) -> "Engine":
        """The engine that a scenario asks for."""
        return cls(
            *(task, optimizer, device, config.mode),
            dtype=config.dtype,
            compile=config.compile,
            memory_bytes=config.memory,
            idle=config.idle,
        )

    @property
    def choice(self) -> Mode:
        """How workers are batched: `stacked`, `vmap` or `loop`."""
        return self._program.mode

    @property
    def settings(self) -> dict[str, str | bool | float]:
        """How this engine computes, every choice made; for the manifest."""
        return dict(self._settings)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results should know about the mode; for the manifest."""
        return self._program.notes

    @property
    def initial_params(self) -> Tensor:
        """The model's initial parameters as one flat tensor `[d]`; not to be mutated."""
        return self._initial_params

    @property
    def parameters(self) -> int:
        """Number of trainable parameters, the length of a flat vector."""
        return self._program.layout.parameters

    @property
    def layers(self) -> tuple[slice, ...]:
        """Where each layer of the model lies in a flat vector, in the order of its parameters."""
        layout = self._program.layout
        return named_layers(layout.names, layout.sizes)

    @property
    def layerwise_steps(self) -> bool:
        """Whether the optimizer can step a layer before the whole gradient is there."""
        return self.optimizer.clip_norm is None and not self.optimizer.needs_layout

    def init_state(self, params: Tensor) -> dict[str, Tensor]:
        """Optimizer state before the first step, with the model's buffers where training changes them.

        Everyone who starts from `initial_params` gets the same tensors, so that equal steps are seen as such.
        """
        if params is self.initial_params:
            return dict(self._initial_state)
        return {**self.optimizer.init(params), **self._initial_buffers}

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
        """Ask for `steps` optimizer steps of `worker` on its batches `first_batch, first_batch + 1, ...`.

        Every step is `lr_scale` times as long; with `only`, the other coordinates and their state stay as
        they are. Raises `ValueError` for negative steps, a scale that is not positive, or a subset that is no
        part of the vector.
        """
        if steps < 0:
            raise ValueError(f"steps must not be negative, got {steps}")
        if not 0 < lr_scale < float("inf"):
            raise ValueError(f"lr_scale must be above 0 and finite, got {lr_scale}")
        mask = None if only is None else _mask(only, params)
        return self.submit(TrainJob(worker, params, state, steps, first_batch, lr_scale, mask))

    def submit_gradient(self, worker: int, params: Tensor, first_batch: int) -> GradientJob:
        """Ask for the gradient of `worker`'s batch `first_batch` at `params`.

        The model's buffers (running means and the like) are as at first and stay so.
        """
        return self.submit(GradientJob(worker, params, first_batch))

    def submit_loss(self, worker: int, params: Tensor, batch: int) -> LossJob:
        """Ask for the mean loss of `worker`'s batch at `params`: a forward pass, in training mode."""
        return self.submit(LossJob(worker, params, batch))

    def submit_predictions(
        self, worker: int, params: Tensor, first_batch: int, batches: int
    ) -> PredictionJob:
        """Ask which classes models `params` `[m, d]` give the samples of `batches` of `worker`'s batches."""
        return self.submit(PredictionJob(worker, params, first_batch, batches))

    def submit_step(self, params: Tensor, gradient: Tensor, state: State) -> StepJob:
        """Ask for one optimizer step along `gradient`. Jobs on the same tensors are computed once."""
        return self.submit(StepJob(params, gradient, state))

    def withdraw(self, job: Job[Any]) -> None:
        """Forget a job whose result nobody will need. Does nothing to a job that has run."""
        self._pending.pop(job, None)

    def flush(self) -> None:
        """Run every submitted job; each then has its `result`."""
        self.run(self.take())

    def take(self) -> list[Job[Any]]:
        """Every job that was submitted, for :meth:`run`, which another thread may do."""
        jobs, self._pending = list(self._pending), {}
        return jobs

    def run(self, jobs: Sequence[Job[Any]]) -> None:
        """Run jobs that were taken; each then has its `result`."""
        trained = sum(isinstance(job, TrainJob) for job in jobs)
        moments = len(self.optimizer.state_names())
        return_freed_memory(trained * self.initial_params.nbytes * (1 + moments))
        # All devices get their work first: GPUs compute while the host goes on. Then results are fetched.
        for index, shard in enumerate(self._shards):
            mine = jobs if len(self._shards) == 1 else [job for job in jobs if self._shard_of(job) == index]
            run_jobs(shard, mine)
        if any(shard.device != self._home for shard in self._shards):
            handover = Handover(self._home)
            for job in jobs:
                job.result = handover(job.result)

    def _shard_of(self, job: Job[Any]) -> int:
        """Workers go round the devices; what belongs to no worker is done on the first."""
        return getattr(job, "worker", 0) % len(self._shards)

    def evaluate(self, params: Sequence[Tensor]) -> list[dict[str, float]]:
        """Mean loss and metrics of each flat vector on the held-out data, under the task's names.

        Vectors that are the same object are evaluated once.
        """
        distinct = list({id(flat): flat for flat in params}.values())
        count = len(self._shards)
        results: dict[int, dict[str, float]] = {}
        for index, shard in enumerate(self._shards):
            mine = distinct[index::count]
            results.update(zip(map(id, mine), evaluate(shard, mine), strict=True))
        return [dict(results[id(flat)]) for flat in params]


def _all_of(device: torch.device) -> list[torch.device]:
    """`cuda` without a number means all GPUs."""
    if device.type == "cuda" and device.index is None:
        return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    return [device]


def _mask(only: Subset, params: Tensor) -> Tensor:
    """The coordinates of `params` `[d]` that `only` names, as a bool tensor `[d]`."""
    mask = torch.zeros(params.shape, dtype=torch.bool, device=params.device)
    if isinstance(only, Tensor) and only.dtype == torch.bool and only.shape != params.shape:
        raise ValueError(f"only is a mask of shape {tuple(only.shape)}; params have {tuple(params.shape)}")
    try:
        mask[only] = True
    except IndexError as error:
        raise ValueError(f"only is no part of a vector of {len(params)} parameters: {error}") from error
    if not mask.any():
        raise ValueError("only names no coordinate: nothing would be trained")
    return mask


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
