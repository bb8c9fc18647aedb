"""Seconds from the command to what it is for: `simnet --help`, and the first training step of `simnet run`.

    python bench/startup.py [scenario.yaml] [--rounds 3]

Medians of fresh processes. The goals are 0.7 s and 4 s.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

FIRST_STEP = """
import os, sys
from simnet.compute.engine import Engine

flush = Engine.flush

def flush_and_leave(engine):
    flush(engine)
    os._exit(0)

Engine.flush = flush_and_leave
from simnet.cli.main import main
main()
"""
"""`simnet` as it is, but that its process ends after the first work that torch has done."""


def seconds(command: list[str], rounds: int) -> float:
    """Median time of a command that succeeds."""
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    own = Path(__file__).parent.parent / "scenarios" / "quickstart.yaml"
    parser.add_argument("scenario", nargs="?", default=str(own), help="default: scenarios/quickstart.yaml")
    parser.add_argument("--rounds", type=int, default=3, help="processes of each (default 3)")
    options = parser.parse_args()
    help_seconds = seconds([sys.executable, "-m", "simnet", "--help"], options.rounds)
    print(f"simnet --help                       {help_seconds:5.2f} s  (goal: under 0.7 s)", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", FIRST_STEP, "run", options.scenario, "--results", folder]
        step_seconds = seconds(command, options.rounds)
    print(f"simnet run, to its first flush      {step_seconds:5.2f} s  (goal: under 4 s)")


if __name__ == "__main__":
    main()
