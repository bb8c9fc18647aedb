"""Worker-steps per second of the whole simulator over those of a plain torch loop, in one run.

    python bench/run.py [--rounds 3]

The simulator runs `local-sgd` (averaging every 10 steps, as the loop does) and the asynchronous `fedbuff`
with speeds spread threefold, everything included: clock, network, bookkeeping, recording, and evaluation at
both ends on one batch (the loop evaluates nothing). Speeds count the steps that were really taken.
The loop is that of `bench/engine.py`: a module and a `torch.optim` optimizer per worker, one after the other.
Then come the figures of `bench/network.py`, and timing-only runs of many nodes (`bench/scale.py`).
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import scale
import torch
from engine import PlainLoop
from workloads import Workload, workloads

from simnet.algorithms.fedbuff import FedBuff
from simnet.algorithms.local_sgd import LocalSGD
from simnet.compute import CostModel, Engine
from simnet.network import build_topology
from simnet.results import Recorder
from simnet.runtime.node import Algorithm
from simnet.runtime.simulated import SimulatedRun, World
from simnet.scenario import Scenario
from simnet.tasks import Task

ASYNCHRONOUS_SHARE = 0.7
"""Goal for the asynchronous ratio, as a share of the synchronous one."""
Mode = Literal["auto", "stacked", "vmap", "loop"]


def simulation(
    workload: Workload, task: Task, method: Algorithm, spread: float, mode: Mode = "auto"
) -> Callable[[], int]:
    """A whole run of `method` for the workload's steps, on machines whose speeds lie `spread`-fold apart."""
    n = workload.workers
    scenario = Scenario.model_validate(
        {
            "name": "bench",
            "network": {
                "topology": {"kind": "star", "nodes": n},
                "link": {"bandwidth": "1 Gbps", "latency": "1 ms"},
            },
            "workers": [
                {"count": 1, "device": "cpu", "speed": spread ** (rank / max(1, n - 1))} for rank in range(n)
            ],
            "task": {
                "name": "classification",
                "batch_size": workload.batch,
                "optimizer": "sgd",
                "charge_as": {"parameters": "1M", "samples_per_step": "100k"},
            },
            "algorithms": ["local-sgd"],
            "stop": {"steps": workload.steps},
            "evaluate": {"every": f"{workload.steps} steps"},
        }
    )
    topology = build_topology(scenario, with_server="server" in method.roles())
    world = World(scenario, topology, task, CostModel.of(scenario, task, workload.optimizer, topology))
    engine = Engine(task, workload.optimizer, mode=mode)

    def run() -> int:
        return SimulatedRun(world, method, engine, Recorder()).run().worker_steps

    return run


def measure(workload: Workload, rounds: int) -> None:
    """Print both ratios of one workload."""
    torch.set_num_threads(workload.threads)
    whole = workload.task()
    inputs, targets = whole.evaluation()
    task = replace(whole, held_out=(inputs[: workload.batch], targets[: workload.batch]))
    every = workload.average_every
    plain = PlainLoop(workload, task)

    def loop() -> int:
        plain.run()
        return workload.workers * workload.steps

    sides = (
        loop,
        simulation(workload, task, LocalSGD(local_steps=every), spread=1.0),
        simulation(workload, task, FedBuff(local_steps=every, buffer=workload.workers // 4), spread=3.0),
    )
    for side in sides:
        side()
    turns = [[speed(side) for side in sides] for _ in range(rounds)]
    loop_speed, synchronous, asynchronous = (statistics.median(column) for column in zip(*turns, strict=True))
    ratio, share = synchronous / loop_speed, asynchronous / synchronous
    print(
        f"{workload.name:40} threads {workload.threads}  loop {loop_speed:6.0f}/s"
        f"  local-sgd {synchronous:6.0f}/s {ratio:5.2f}x {goal(ratio, workload.target)}"
        f"  fedbuff {asynchronous:6.0f}/s {asynchronous / loop_speed:5.2f}x"
        f"  {share:4.2f} of that {goal(share, ASYNCHRONOUS_SHARE)}",
        flush=True,
    )


def goal(found: float, wanted: float) -> str:
    """Whether a goal was reached, in words."""
    return f"(goal {wanted}: {'reached' if found >= wanted else 'NOT reached'})"


def speed(side: Callable[[], int]) -> float:
    """Worker-steps per second of one turn."""
    started = time.perf_counter()
    return side() / (time.perf_counter() - started)


def main() -> None:
    """Run all workloads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="turns that each side takes (default 3)")
    rounds = parser.parse_args().rounds
    print(f"worker-steps per second of simulated runs, medians of {rounds} alternating runs")
    for workload in workloads():
        measure(workload, rounds)
    print("\nthe network, in CPU seconds", flush=True)
    network = Path(__file__).with_name("network.py")  # a process of its own: it says how much memory it needs
    subprocess.run([sys.executable, network, "--rounds", str(rounds)], check=True)
    scale.measure_all(list(scale.ROUNDS))


if __name__ == "__main__":
    main()
