"""Batches of small runs: throughput of one and two processes, overhead per run, and how good predictions are.

    python bench/batch.py [--runs 200] [--steps 100] [--jobs 1 2]
    python bench/batch.py --predict [scenario.yaml ...]

The goals on two cores: at least 1.7 times the throughput of one process, and less than 0.3 s per run that is
not the simulation. Everything counts, the start of the command included.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SCENARIO = """
name: small-runs
device: cpu
network: {{topology: star, link: {{bandwidth: 100 Mbps, latency: 10 ms}}}}
workers: {{count: 4, device: cpu}}
task:
  name: classification
  batch_size: 16
  optimizer: {{name: sgd, lr: 0.1}}
algorithms: [allreduce, {{name: local-sgd, local_steps: 10}}]
stop: {{steps: {steps}}}
sweep:
  network.link.bandwidth: {{logspace: [1 Mbps, 1 Gbps], points: 4}}
  seeds: {seeds}
"""

PREDICTED = """
name: predicted
device: cpu
network: {topology: star, link: {bandwidth: 100 Mbps, latency: 10 ms}}
workers: {count: 8, device: cpu}
task:
  name: classification
  batch_size: 16
  optimizer: {name: sgd, lr: 0.1}
algorithms: [allreduce, {name: local-sgd, local_steps: 10}, {name: fedbuff, local_steps: 5}]
stop: {steps: 1000}
sweep:
  zip:
    task.model: [mlp, {name: cnn, channels: [8, 8]}]
    stop.steps: [800, 200]
"""


def throughput(runs: int, steps: int, jobs: list[int]) -> None:
    """Run one batch for each number of jobs, into a new folder each time."""
    from simnet.results import read_runs

    rates = {}
    for number in jobs:
        with tempfile.TemporaryDirectory() as folder:
            scenario = Path(folder) / "small-runs.yaml"
            scenario.write_text(SCENARIO.format(steps=steps, seeds=-(-runs // 8)))
            command = [sys.executable, "-m", "simnet", "batch", str(scenario), "--jobs", str(number)]
            started = time.perf_counter()
            done = subprocess.run(
                [*command, "--results", f"{folder}/results"], check=True, stderr=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )  # fmt: skip
            seconds = time.perf_counter() - started
            assert done.returncode == 0
            made = read_runs(f"{folder}/results")
        simulated = sum(run.manifest.wall_seconds for run in made)
        overhead = (number * seconds - simulated) / len(made)
        rates[number] = len(made) / seconds
        print(
            f"--jobs {number}: {len(made)} runs in {seconds:6.1f} s, {rates[number]:5.2f} runs/s; a run "
            f"simulates for {simulated / len(made):.3f} s and costs {overhead:.3f} s besides "
            "(goal: under 0.3 s)",
            flush=True,
        )
    if {1, 2} <= set(rates):
        print(f"two processes: {rates[2] / rates[1]:.2f} times the throughput of one (goal: 1.7)")


def whole(scenario: Any, tell: Callable[[Any], None]) -> tuple[float, float, float]:
    """Seconds, peak memory and bytes of files of a whole run in a fresh process."""
    from simnet.batch.predict import _peak_bytes
    from simnet.experiment import carry_out
    from simnet.plan import plans

    started = time.perf_counter()
    (plan,) = plans(scenario)
    files = carry_out(plan)
    return time.perf_counter() - started, _peak_bytes(), sum(map(len, files.values()))


def predictions(names: list[str]) -> None:
    """Hold the predictions of --dry-run against whole runs, one at a time."""
    from simnet.batch import batch_runs
    from simnet.batch.pool import Call, Pool, Returned
    from simnet.batch.predict import PROBE_SECONDS, Cost, probe
    from simnet.scenario import load_file, load_text

    documents = [load_file(name) for name in names] or [load_text(PREDICTED)]
    ratios: list[tuple[float, float, float]] = []
    for run in batch_runs(documents, Path("results")):
        calls = [Call("probe", probe, (run.scenario, PROBE_SECONDS)), Call("whole", whole, (run.scenario,))]
        found: dict[str, Any] = {}
        with Pool(1, reused=False) as pool:
            for call, happened in pool.each(calls):
                if isinstance(happened, Returned):
                    found[call.key] = happened.value
        cost: Cost = found["probe"]
        seconds, memory, disk = found["whole"]
        ratios.append((cost.seconds / seconds, cost.memory_bytes / memory, cost.disk_bytes / disk))
        print(
            f"{run.title:40s} {cost.how:10s} predicted/real: "
            f"time {cost.seconds:7.2f}/{seconds:7.2f} s, memory "
            f"{cost.memory_bytes / 1e6:6.0f}/{memory / 1e6:6.0f} MB, disk "
            f"{cost.disk_bytes / 1e3:8.0f}/{disk / 1e3:8.0f} kB",
            flush=True,
        )
    for name, column in zip(("time", "memory", "disk"), zip(*ratios, strict=True), strict=True):
        middle = statistics.median(column)
        print(f"{name}: predicted / real {min(column):.2f} to {max(column):.2f}, median {middle:.2f}")


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="runs of a batch (default 200)")
    parser.add_argument("--steps", type=int, default=100, help="steps of each run (default 100)")
    parser.add_argument(
        "--jobs", type=int, nargs="+", default=[1, 2], help="numbers of processes (default 1 2)"
    )
    parser.add_argument(
        "--predict", nargs="*", metavar="SCENARIO", help="hold predictions against whole runs"
    )
    options = parser.parse_args()
    if options.predict is not None:
        predictions(options.predict)
    else:
        throughput(options.runs, options.steps, options.jobs)


if __name__ == "__main__":
    main()
