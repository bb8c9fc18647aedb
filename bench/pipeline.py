"""Microbatches per second of simulated pipelines over worker-steps per second of the same model unsplit.

    python bench/pipeline.py [--rounds 3]

8 stages x 4 replicas of a byte-level GPT (8 layers of width 64, context 64, batches of 8). A worker-step is
the gradient of one batch and an optimizer step; unsplit, the engine trains 4 workers together, without a
clock, a network or records. `pipedream` steps after every microbatch, as the unsplit workers do; `pipeline`
after 8. Pipelines are measured with everything that a run does, but for the evaluation at its ends.
"""

import argparse
import statistics
import time
from collections.abc import Callable

from simnet.experiment import Plan, make_engine, plans
from simnet.results import Recorder
from simnet.runtime.simulated import SimulatedRun
from simnet.scenario import Scenario

STAGES, REPLICAS, MICROBATCHES = 8, 4, 64
TARGET = 0.6


def scenario(method: dict[str, object], steps: int) -> Plan:
    """A run of one method, ready to start."""
    (plan,) = plans(
        Scenario.model_validate(
            {
                "name": "bench",
                "device": "cpu",
                "network": {
                    "topology": {"kind": "star", "nodes": STAGES * REPLICAS},
                    "link": {"bandwidth": "1 Gbps", "latency": "1 ms"},
                },
                "workers": {"device": "t4"},
                "pipeline": {"stages": STAGES, "replicas": REPLICAS},
                "task": {
                    "name": "language-model",
                    "dataset": "python-docs",
                    "model": {"name": "gpt", "layers": 8, "width": 64, "context": 64, "tied": False},
                    "batch_size": 8,
                    "optimizer": {"name": "adamw", "lr": 3e-3},
                },
                "algorithms": [method],
                "stop": {"steps": steps},
                "evaluate": {"every": f"{steps} steps", "samples": 1},
            }
        )
    )
    return plan


def unsplit(plan: Plan) -> float:
    """Worker-steps per second of the engine alone."""
    engine = make_engine(plan)
    params = [engine.initial_params] * REPLICAS
    states = [engine.init_state(params[0])] * REPLICAS

    def train(first: int, steps: int) -> None:
        jobs = [
            engine.submit_train(worker, params[worker], states[worker], steps, first)
            for worker in range(REPLICAS)
        ]
        engine.flush()
        for worker, job in enumerate(jobs):
            assert job.result is not None
            params[worker], states[worker] = job.result.params, job.result.state

    train(0, 2)
    started = time.perf_counter()
    train(2, MICROBATCHES // 2)
    return REPLICAS * (MICROBATCHES // 2) / (time.perf_counter() - started)


def simulated(plan: Plan) -> float:
    """Microbatches per second of a whole run."""
    run = SimulatedRun(plan.world, plan.method, make_engine(plan), Recorder())
    started = time.perf_counter()
    run.run()
    return REPLICAS * MICROBATCHES / (time.perf_counter() - started)


def main() -> None:
    """Print the median of each, and their ratios."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    stepwise = scenario({"name": "pipedream"}, MICROBATCHES)
    methods: dict[str, Callable[[], float]] = {
        "unsplit": lambda: unsplit(stepwise),
        "pipedream": lambda: simulated(stepwise),
        "pipeline": lambda: simulated(scenario({"name": "pipeline", "microbatches": 8}, MICROBATCHES // 8)),
    }
    speeds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, measure in methods.items():
            speeds[name].append(measure())
    base = statistics.median(speeds["unsplit"])
    for name, values in speeds.items():
        speed = statistics.median(values)
        print(f"{name:10} {speed:8.1f} per second  x {speed / base:.2f}")
    print(f"goal: x {TARGET} for pipedream")


if __name__ == "__main__":
    main()
