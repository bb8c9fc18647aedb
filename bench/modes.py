"""What a worker's step takes in each of the engine's modes, and which mode `auto` takes.

    python bench/modes.py [--threads 1]

The rule behind `auto` (`simnet/compute/program.py`) was learnt from this table. Seconds are medians of three
flushes; ratios are to the engine's own loop.
"""

import argparse
import os
import statistics
import time
from typing import Literal, get_args

import torch
from workloads import Workload, images, text

from simnet.compute import Engine
from simnet.tasks.models.cnn import CNN
from simnet.tasks.models.mlp import MLP

Mode = Literal["stacked", "vmap", "loop"]


def workloads(workers: int, threads: int) -> list[tuple[Workload, int]]:
    """Small and large models, with the steps that a measurement takes."""

    def mlp(pixels: int, hidden: int) -> Workload:
        name = f"{workers} x MLP {pixels}-{hidden}-10"
        return images(name, 0, threads, workers, (pixels,), lambda: MLP(pixels, 10, (hidden,)))

    def cnn(shape: tuple[int, int, int], channels: tuple[int, ...]) -> Workload:
        name = f"{workers} x CNN {'x'.join(map(str, shape))}, {channels}"
        return images(name, 0, threads, workers, shape, lambda: CNN(shape, 10, channels))

    def gpt(batch: int, context: int, width: int) -> Workload:
        return text(f"{workers} x GPT width {width}", 0, threads, workers, batch, context, width)

    return [
        (mlp(64, 64), 20),
        (mlp(784, 128), 10),
        (mlp(784, 1024), 4),
        (cnn((1, 8, 8), (8, 16)), 6),
        (cnn((3, 32, 32), (32, 64)), 2),
        (gpt(4, 32, 32), 4),
        (gpt(8, 64, 64), 2),
        (gpt(8, 64, 256), 1),
    ]


def seconds(workload: Workload, steps: int, mode: Mode) -> float:
    """Median time of one worker's step."""
    engine = Engine(workload.task(), workload.optimizer, mode=mode)
    params = engine.initial_params
    state = engine.init_state(params)
    times = []
    for _ in range(4):
        for worker in range(workload.workers):
            engine.submit_train(worker, params, state, steps, 0)
        started = time.perf_counter()
        engine.flush()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:]) / (steps * workload.workers)


def main() -> None:
    """Measure all workloads in all modes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="torch threads (default: all)")
    parser.add_argument("--workers", type=int, nargs="*", default=[2, 4, 16], help="workers (default 2 4 16)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"microseconds per worker and step, {options.threads} threads (times as fast as the loop)")
    for workers in options.workers:
        for workload, steps in workloads(workers, options.threads):
            found = {mode: 1e6 * seconds(workload, steps, mode) for mode in get_args(Mode)}
            row = "  ".join(f"{mode} {us:8.0f} ({found['loop'] / us:4.2f}x)" for mode, us in found.items())
            print(f"{workload.name:34} {row}", flush=True)


if __name__ == "__main__":
    main()
