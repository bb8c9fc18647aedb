"""What the benchmarks train: models, batches and optimizers, the same for simnet and for the plain loop."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from simnet.optim import SGD, AdamW, Optimizer
from simnet.tasks.losses import cross_entropy
from simnet.tasks.models.cnn import CNN
from simnet.tasks.models.gpt import GPT
from simnet.tasks.models.mlp import MLP
from simnet.tasks.task import Task


@dataclass(frozen=True)
class Slices:
    """Batch k of a worker is the k-th slice of its samples; the slices come round again."""

    inputs: Tensor
    targets: Tensor
    batch: int

    def gather(self, requests: Sequence[tuple[int, int]], steps: int) -> tuple[Tensor, Tensor]:
        """Batches of several (worker, first batch) pairs, `[steps, n, batch, ...]`."""
        samples = self.inputs.shape[1]
        first = torch.tensor([start for _, start in requests]) + torch.arange(steps)[:, None]
        rows = (first[..., None] * self.batch) % samples + torch.arange(self.batch)
        rows += torch.tensor([worker for worker, _ in requests])[:, None] * samples
        return tuple(  # type: ignore[return-value]
            data.flatten(0, 1).index_select(0, rows.flatten()).view(*rows.shape, *data.shape[2:])
            for data in (self.inputs, self.targets)
        )


@dataclass(frozen=True)
class Workload:
    """What both sides do."""

    name: str
    target: float
    threads: int
    batch: int
    steps: int
    average_every: int
    inputs: Tensor
    targets: Tensor
    make_model: Callable[[], nn.Module]
    optimizer: Optimizer
    torch_optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer]

    @property
    def workers(self) -> int:
        """Number of workers: each has its own samples."""
        return len(self.inputs)

    def task(self) -> Task:
        """The same as a task for the engine."""

        def make_model() -> nn.Module:
            with torch.random.fork_rng():
                torch.manual_seed(0)
                return self.make_model()

        return Task(
            name=self.name,
            batch_sizes=(self.batch,) * self.workers,
            samples=(self.inputs.shape[1],) * self.workers,
            make_model=make_model,
            loss=cross_entropy,
            source=Slices(self.inputs, self.targets, self.batch),
            held_out=(self.inputs[0], self.targets[0]),
        )


def workloads() -> list[Workload]:
    """Those that the project has set itself goals for."""
    cores = os.cpu_count() or 1
    return [
        _images("32 x MLP 64-64-10, batch 32", 5.0, cores, 32, (64,), lambda: MLP(64, 10, (64,))),
        _images("128 x MLP 64-64-10, batch 32", 6.0, cores, 128, (64,), lambda: MLP(64, 10, (64,))),
        _images("8 x MLP 784-128-10, batch 32", 1.4, 1, 8, (784,), lambda: MLP(784, 10, (128,))),
        _images("32 x CNN 8 x 8, batch 32", 2.5, cores, 32, (1, 8, 8), lambda: CNN((1, 8, 8), 10)),
        _text("16 x GPT width 64, context 64, batch 8", 1.4, cores, 16, 8, 64, 64),
        _text("32 x GPT width 32, context 32, batch 4", 3.0, cores, 32, 4, 32, 32),
    ]


def _images(
    name: str,
    target: float,
    threads: int,
    workers: int,
    shape: tuple[int, ...],
    make_model: Callable[[], nn.Module],
) -> Workload:
    draws = torch.Generator().manual_seed(0)
    return Workload(
        *(name, target, threads, 32, 100, 10),
        torch.randn(workers, 2048, *shape, generator=draws),
        torch.randint(0, 10, (workers, 2048), generator=draws),
        make_model,
        SGD(lr=0.05),
        lambda params: torch.optim.SGD(params, lr=0.05),
    )


def _text(
    name: str, target: float, threads: int, workers: int, batch: int, context: int, width: int
) -> Workload:
    draws = torch.Generator().manual_seed(0)
    text = torch.randint(0, 256, (workers, 512, context + 1), generator=draws)
    return Workload(
        *(name, target, threads, batch, 40, 10),
        *(text[..., :-1], text[..., 1:]),
        lambda: GPT(256, layers=2, width=width, heads=4, context=context),
        AdamW(lr=3e-4),
        lambda params: torch.optim.AdamW(params, lr=3e-4),
    )
