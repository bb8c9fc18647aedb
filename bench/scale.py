"""How long timing-only runs of many nodes take, and how much memory: each in a process of its own.

    python bench/scale.py [--nodes 100 1000 10000] [--methods gossip allreduce fedavg]

Seconds are those of building the network, of running it to its end, and of making the files of the results;
importing is not in them. Memory is the most that the process ever held. Nodes stand on a star of 100 Mbit/s
and 20 ms; a model has 1 million parameters, a step takes 0.1 s.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

from peak import peak_bytes

ROUNDS = {"gossip": 20, "allreduce": 100, "fedavg": 100}
NODES = {"gossip": (100, 1000, 10_000), "allreduce": (100, 1000), "fedavg": (100, 1000)}
OPTIONS: dict[str, dict[str, Any]] = {"fedavg": {"local_steps": 1}}


def scenario(method: str, nodes: int, rounds: int) -> dict[str, Any]:
    """So many rounds of one step and one synchronisation each."""
    return {
        "name": "scale",
        "network": {
            "topology": {"kind": "star", "nodes": nodes},
            "link": {"bandwidth": "100 Mbps", "latency": "20 ms"},
        },
        "workers": {"speed": 1.0},
        "task": {"name": "synthetic", "parameters": "1M", "layers": 24, "step_seconds": "0.1 s"},
        "algorithms": [{"name": method, **OPTIONS.get(method, {})}],
        "stop": {"steps": rounds},
    }


def measure(method: str, nodes: int, rounds: int) -> dict[str, Any]:
    """One run, in this process."""
    from simnet.plan import make_engine, plans
    from simnet.results import Recorder
    from simnet.runtime.simulated import SimulatedRun
    from simnet.scenario import Scenario

    started = time.perf_counter()
    (plan,) = plans(Scenario.model_validate(scenario(method, nodes, rounds)))
    built = time.perf_counter()
    recorder = Recorder()
    outcome = SimulatedRun(plan.world, plan.method, make_engine(plan), recorder).run()
    ended = time.perf_counter()
    recorder.files()
    return {
        "method": method,
        "nodes": nodes,
        "rounds": rounds,
        "build_seconds": built - started,
        "run_seconds": ended - built,
        "write_seconds": time.perf_counter() - ended,
        "messages": outcome.invariants["messages"],
        "worker_steps": outcome.worker_steps,
        "peak_gb": peak_bytes() / 1e9,
        "virtual_seconds": outcome.virtual_seconds,
    }


def measure_all(methods: Sequence[str], sizes: Sequence[int] = (), rounds: int | None = None) -> None:
    """A line for every method and size; without sizes, those that each method is meant for."""
    print("method     nodes  rounds  messages  build s   run s  write s  us/message  peak GB")
    for method in methods:
        for nodes in sizes or NODES[method]:
            command = [sys.executable, __file__, "--one", "--methods", method, "--nodes", str(nodes)]
            answer = subprocess.run(
                [*command, "--rounds", str(rounds or ROUNDS[method])],
                check=True,
                capture_output=True,
                text=True,
            )
            found = json.loads(answer.stdout)
            per_message = found["run_seconds"] / max(1, found["messages"]) * 1e6
            print(
                f"{method:9} {nodes:6} {found['rounds']:7} {found['messages']:9.0f} "
                f"{found['build_seconds']:8.2f} {found['run_seconds']:7.2f} {found['write_seconds']:8.2f} "
                f"{per_message:11.0f} {found['peak_gb']:8.2f}",
                flush=True,
            )


def main() -> None:
    """Run all sizes, or one in this process with --one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=list(ROUNDS), default=list(ROUNDS))
    parser.add_argument(
        "--nodes", nargs="+", type=int, default=[], help="default: what each method is meant for"
    )
    parser.add_argument("--rounds", type=int, help="default: gossip 20, allreduce and fedavg 100")
    parser.add_argument("--one", action="store_true", help="one method and size, as JSON")
    given = parser.parse_args()
    if given.one:
        method = given.methods[0]
        print(json.dumps(measure(method, given.nodes[0], given.rounds or ROUNDS[method])))
        return
    measure_all(given.methods, given.nodes, given.rounds)


if __name__ == "__main__":
    main()
