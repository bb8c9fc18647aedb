"""Worker-steps per second of the engine over those of a plain torch loop, in one run.

    python bench/engine.py [--rounds 3]

Both sides train the same models on the same batches from the same weights, and average all workers every few
steps; at the end of the first round their parameters must agree. The plain loop is what one writes by hand: a
module and a `torch.optim` optimizer per worker, batches by slicing a tensor, one worker after the other. The
two take turns, and the medians are compared.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from simnet.compute import Engine
from simnet.optim import SGD, AdamW, Optimizer
from simnet.tasks.losses import cross_entropy
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


class PlainLoop:
    """One module and one optimizer per worker, one worker after the other."""

    def __init__(self, workload: Workload, task: Task) -> None:
        self.workload = workload
        self.models = [task.make_model() for _ in range(workload.workers)]
        self.optimizers = [workload.torch_optimizer(list(model.parameters())) for model in self.models]
        self.done = 0

    def run(self) -> None:
        """Train every worker for the workload's steps, on from where the last call ended."""
        load = self.workload
        slices = load.inputs.shape[1] // load.batch
        for step in range(self.done, self.done + load.steps):
            part = slice(step % slices * load.batch, (step % slices + 1) * load.batch)
            for worker, (model, optimizer) in enumerate(zip(self.models, self.optimizers, strict=True)):
                optimizer.zero_grad(set_to_none=True)
                outputs = model(load.inputs[worker, part])
                F.cross_entropy(outputs.flatten(0, -2), load.targets[worker, part].flatten()).backward()
                optimizer.step()
            if (step + 1) % load.average_every == 0:
                self._average()
        self.done += load.steps

    @torch.no_grad()
    def _average(self) -> None:
        for values in zip(*(model.parameters() for model in self.models), strict=True):
            mean = torch.stack(values).mean(0)
            for value in values:
                value.copy_(mean)

    @property
    def params(self) -> Tensor:
        """Flat parameters of the first worker; all are equal after an average."""
        return nn.utils.parameters_to_vector(self.models[0].parameters()).detach()


class Batched:
    """The engine, asked for as many steps at a time as there are between two averages."""

    def __init__(self, workload: Workload, task: Task) -> None:
        self.workload = workload
        self.engine = Engine(task, workload.optimizer)
        self.params = self.engine.initial_params
        self.states = [self.engine.init_state(self.params)] * workload.workers
        self.done = 0

    def run(self) -> None:
        """Train every worker for the workload's steps, on from where the last call ended."""
        load = self.workload
        for _ in range(load.steps // load.average_every):
            jobs = [
                self.engine.submit_train(worker, self.params, state, load.average_every, self.done)
                for worker, state in enumerate(self.states)
            ]
            self.engine.flush()
            results = [job.result for job in jobs]
            self.params = torch.stack([result.params for result in results]).mean(0)
            self.states = [result.state for result in results]
            self.done += load.average_every


def workloads() -> list[Workload]:
    """The three of the project's acceptance test."""
    draws = torch.Generator().manual_seed(0)

    def images(workers: int, pixels: int) -> tuple[Tensor, Tensor]:
        return (
            torch.randn(workers, 2048, pixels, generator=draws),
            torch.randint(0, 10, (workers, 2048), generator=draws),
        )

    text = torch.randint(0, 256, (16, 512, 65), generator=draws)
    cores = os.cpu_count() or 1
    small, large = images(32, 64), images(8, 784)
    return [
        Workload(
            *("32 x MLP 64-64-10, batch 32", 3.0, cores, 32, 100, 10, *small),
            lambda: MLP(64, 10, (64,)),
            SGD(lr=0.05),
            lambda params: torch.optim.SGD(params, lr=0.05),
        ),
        Workload(
            *("8 x MLP 784-128-10, batch 32, averaged every 10 steps", 1.3, 1, 32, 100, 10, *large),
            lambda: MLP(784, 10, (128,)),
            SGD(lr=0.05),
            lambda params: torch.optim.SGD(params, lr=0.05),
        ),
        Workload(
            *("16 x GPT width 64, 2 layers, context 64, batch 8", 1.2, cores, 8, 40, 10),
            *(text[..., :-1], text[..., 1:]),
            lambda: GPT(256, layers=2, width=64, heads=4, context=64),
            AdamW(lr=3e-4),
            lambda params: torch.optim.AdamW(params, lr=3e-4),
        ),
    ]


def seconds(run: Callable[[], None]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def measure(workload: Workload, rounds: int) -> float:
    """Print both speeds and give their ratio."""
    torch.set_num_threads(workload.threads)
    task = workload.task()
    plain, batched = PlainLoop(workload, task), Batched(workload, task)
    plain.run()
    batched.run()
    torch.testing.assert_close(batched.params, plain.params, rtol=1e-2, atol=1e-4)
    times = [(seconds(plain.run), seconds(batched.run)) for _ in range(rounds)]
    slow, fast = (statistics.median(column) for column in zip(*times, strict=True))
    work = workload.workers * workload.steps
    ratio = slow / fast
    print(
        f"{workload.name:55} threads {workload.threads}  loop {work / slow:8.0f}/s  "
        f"engine ({batched.engine.choice}) {work / fast:8.0f}/s  {ratio:5.2f}x  (target {workload.target}x)",
        flush=True,
    )
    return ratio


def main() -> None:
    """Run all workloads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns that each side takes (default 3)")
    rounds = parser.parse_args().rounds
    print(f"worker-steps per second, medians of {rounds} alternating runs")
    for workload in workloads():
        measure(workload, rounds)


if __name__ == "__main__":
    main()
