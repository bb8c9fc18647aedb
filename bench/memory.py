"""Peak memory of whole runs with a thousand workers, each an MLP of 100,510 parameters under AdamW.

    python bench/memory.py [local-sgd] [diloco] [allreduce]

Every method has a process of its own, which trains six steps, evaluates all models twice, and says what the
system saw it use at most. The goal is 3 GB.
"""

import subprocess
import sys
import tempfile
import time

from peak import peak_bytes

METHODS = {
    "local-sgd": {"name": "local-sgd", "local_steps": 2},
    "diloco": {"name": "diloco", "local_steps": 2},
    "allreduce": {"name": "allreduce"},
}


def scenario(method: str) -> dict[str, object]:
    """A thousand workers in one star."""
    return {
        "name": "thousand",
        "network": {
            "topology": {"kind": "star", "nodes": 1000},
            "link": {"bandwidth": "1 Gbps", "latency": "1 ms"},
        },
        "workers": {"device": "t4"},
        "task": {
            "name": "classification",
            "dataset": "digits",
            "model": {"name": "mlp", "hidden": [1340]},
            "batch_size": 8,
            "optimizer": {"name": "adamw", "lr": 1e-3},
        },
        "algorithms": [METHODS[method]],
        "stop": {"steps": 6},
        "evaluate": {"every": "4 steps"},
    }


def measure(method: str) -> None:
    """Run it here, and say how long it took and what it used."""
    import simnet
    from simnet.scenario import Scenario

    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        simnet.run(Scenario.model_validate(scenario(method)), results=folder)
    peak = peak_bytes() / 1e9
    print(
        f"{method:10} {time.perf_counter() - started:5.1f} s  peak {peak:.2f} GB (goal: under 3)", flush=True
    )


def main() -> None:
    """Measure all methods, or those that are named."""
    if sys.argv[1:2] == ["--here"]:
        measure(sys.argv[2])
        return
    for method in sys.argv[1:] or METHODS:
        subprocess.run([sys.executable, __file__, "--here", method], check=True)


if __name__ == "__main__":
    main()
