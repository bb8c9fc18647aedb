"""Worker-steps per second of the engine over those of a plain torch loop, in one run.

    python bench/engine.py [--rounds 3]

Both sides train the same models on the same batches from the same weights, and average all workers every few
steps; at the end of the first round their parameters must agree. The plain loop is what one writes by hand: a
module and a `torch.optim` optimizer per worker, batches by slicing a tensor, one worker after the other. The
two take turns, and the medians are compared.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from workloads import Workload, workloads

from simnet.compute import Engine
from simnet.tasks.task import Task


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
