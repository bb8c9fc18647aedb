"""Where the time of a simulated run goes whose torch work is done by the loop: 32 x GPT of width 64.

    python bench/overhead.py

First the share of the run outside the engine, by the clock; then a profile of all functions by package. The
profiler itself makes Python slower and torch not, so its shares are upper bounds for what is not torch.
"""

import cProfile
import pstats
import time
from collections import Counter
from collections.abc import Callable

import torch
from run import simulation
from workloads import text

from simnet.algorithms.local_sgd import LocalSGD
from simnet.compute import Engine


def package(file: str, function: str) -> str:
    """Whose code a profiled function is."""
    if file == "~":  # built in: torch's own are named after it, others are Python's
        return "torch" if "torch" in function or "run_backward" in function else "Python"
    for name in ("torch", "simpy", "numpy", "simnet"):
        if f"/{name}/" in file:
            return name
    return "other"


def main() -> None:
    """Measure, then profile."""
    torch.set_num_threads(1)
    workload = text("32 x GPT width 64, context 64, batch 8", 0, 1, 32, 8, 64, 64)
    run = simulation(workload, workload.task(), LocalSGD(local_steps=10), 1.0, mode="loop")
    run()
    inside = 0.0
    flush, evaluate = Engine.flush, Engine.evaluate

    def timed(call: Callable[..., object]) -> Callable[..., object]:
        def measured(*arguments: object) -> object:
            nonlocal inside
            started = time.perf_counter()
            try:
                return call(*arguments)
            finally:
                inside += time.perf_counter() - started

        return measured

    Engine.flush, Engine.evaluate = timed(flush), timed(evaluate)  # type: ignore[method-assign, assignment]
    started = time.perf_counter()
    steps = run()
    total = time.perf_counter() - started
    Engine.flush, Engine.evaluate = flush, evaluate  # type: ignore[method-assign]
    print(f"{workload.name}, mode loop, 1 thread: {steps} worker-steps in {total:.2f} s")
    print(f"outside the engine (clock, network, bookkeeping): {100 * (1 - inside / total):.1f} %")

    profile = cProfile.Profile()
    profile.runcall(run)
    shares: Counter[str] = Counter()
    stats = pstats.Stats(profile).stats  # type: ignore[attr-defined]
    for (file, _, function), (_, _, own, _, _) in stats.items():
        shares[package(file, function)] += own
    whole = sum(shares.values())
    print(
        "profile:", ", ".join(f"{name} {100 * share / whole:.1f} %" for name, share in shares.most_common())
    )


if __name__ == "__main__":
    main()
