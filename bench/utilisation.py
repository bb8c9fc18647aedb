"""The bandwidth at which compute utilisation reaches a target: the rows of a published table, timing only.

    python bench/utilisation.py [--parameters 1B --layers 24 --step-seconds 0.1 --bits 13.4]

Douillard et al. (2025), arXiv 2501.18512, table 4: the first of the bandwidths 10^(-1 + 4 k / 49) Gbit/s at
which two workers compute for 50, 80, 90, 95 and 99 % of the time. Each bandwidth tried is a simulated run.
"""

import argparse

from simnet.plan import make_engine, plans
from simnet.results import Recorder
from simnet.runtime.simulated import SimulatedRun
from simnet.scenario import Scenario

TARGETS = (0.5, 0.8, 0.9, 0.95, 0.99)
GRID = [10 ** (-1 + 4 * k / 49) for k in range(50)]
"""Gbit/s."""
ROUND = {"data-parallel": 1, "diloco": 100}
"""Steps after which everything repeats."""
METHODS = {
    "data-parallel": {"name": "allreduce", "overlap": "backward"},
    "diloco": {"name": "diloco", "local_steps": 100, "overlap": "backward"},
}


def utilisation(
    method: str, gbits: float, parameters: str, layers: int, seconds: float, bits: float
) -> float:
    """The share of the time that two workers compute, at a bandwidth in Gbit/s."""
    scenario = Scenario.model_validate(
        {
            "name": "utilisation",
            "network": {
                "topology": {"kind": "star", "nodes": 2},
                "link": {"bandwidth": f"{gbits!r} Gbps", "latency": 0},
            },
            "workers": {"count": 2},
            "task": {
                "name": "synthetic",
                "parameters": parameters,
                "layers": layers,
                "step_seconds": f"{seconds!r} s",
                "bytes_per_parameter": f"{bits!r} bit",
            },
            "algorithms": [METHODS[method]],
            "stop": {"steps": ROUND[method]},
        }
    )
    (plan,) = plans(scenario)
    return SimulatedRun(plan.world, plan.method, make_engine(plan), Recorder()).run().utilization


def row(method: str, parameters: str, layers: int, seconds: float, bits: float) -> list[float | None]:
    """The first bandwidth of the grid that reaches each target; None where none does."""
    found: list[float | None] = []
    k = 0
    for target in TARGETS:  # utilisation grows with bandwidth
        while k < len(GRID) and utilisation(method, GRID[k], parameters, layers, seconds, bits) < target:
            k += 1
        found.append(GRID[k] if k < len(GRID) else None)
    return found


def main() -> None:
    """Print the rows of both methods."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--parameters", default="1B")
    parser.add_argument("--layers", type=int, default=24)
    parser.add_argument("--step-seconds", type=float, default=0.1)
    parser.add_argument("--bits", type=float, default=13.4, help="per parameter on the wire")
    given = parser.parse_args()
    print(f"Gbit/s for a compute utilisation of {', '.join(f'{target:.0%}' for target in TARGETS)}")
    for method in METHODS:
        values = row(method, given.parameters, given.layers, given.step_seconds, given.bits)
        print(f"{method:14}", *("-" if value is None else f"{value:7.1f}" for value in values))


if __name__ == "__main__":
    main()
