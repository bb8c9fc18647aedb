"""The pictures of `figures.md`: runs `examples/gallery*.yaml`, and draws every kind of figure from that.

    python docs/gallery.py

Takes about a minute. The runs go to a temporary folder, the pictures to `docs/images/figures`.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from matplotlib.figure import Figure

import simnet
from simnet.results import select
from simnet_analysis.kinds import KINDS
from simnet_analysis.style import paper_style

HERE = Path(__file__).parent
SCENARIO = HERE / "examples" / "gallery.yaml"
FAULTS = HERE / "examples" / "gallery-faults.yaml"
ATTACKS = HERE / "examples" / "gallery-attacks.yaml"
PICTURES = HERE / "images" / "figures"

# Made-up prices, as an example: dollars and watts of a machine and of the server.
PRICES = [
    "workers.0.costs={dollars_per_hour: 2, idle_watts: 50, busy_watts: 150}",
    "workers.1.costs={dollars_per_hour: 1, idle_watts: 50, busy_watts: 100}",
    "server.costs={dollars_per_hour: 0.5, idle_watts: 20, busy_watts: 40}",
]
GRID = [
    "sweep={network.link.bandwidth: [1 Mbps, 10 Mbps, 30 Mbps, 100 Mbps, 1 Gbps], "
    "network.link.latency: [1 ms, 10 ms, 100 ms, 1 s], seed: [0, 1, 2]}"
]
SIZES = ["workers={device: {flops: 10 GFLOP/s, achieved: 0.5}}", "stop.steps=20", "evaluate.samples=16"]
SIZES += ["sweep={network.topology.nodes: [2, 4, 8, 16, 32]}"]
AT = ["network.link.bandwidth=30Mbps", "network.link.latency=10ms"]


def pictures(results: Path) -> dict[str, tuple[str, Any, dict[str, Any]]]:
    """Name of a picture: its kind, the runs in it, options."""
    grid = simnet.run(simnet.load(SCENARIO, [*PRICES, *GRID]), results / "grid")
    sizes = simnet.run(simnet.load(SCENARIO, SIZES), results / "sizes")
    here = select(grid, AT)
    fast = select(grid, ["network.link.bandwidth=1Gbps", AT[1]])  # where computing takes its share of time
    first = {run.label: run for run in select(fast, ["seed=0"])}
    bandwidth = {"x": "network.link.bandwidth"}
    return {
        "curves": ("curves", here, {"width": "page"}),
        "curves-dollars": ("curves", here, {"metric": "accuracy", "axes": ["dollars", "kwh"]}),
        "target": ("target", here, {}),
        "speedup": ("speedup", select(grid, AT[1:]), bandwidth),
        "heatmap": ("heatmap", grid, {**bandwidth, "y": "network.link.latency"}),
        "pareto": ("pareto", here, {}),
        "scaling": ("scaling", sizes, {}),
        "utilization": ("utilization", fast, {}),
        "staleness": ("staleness", select(here, ["algorithm=fedbuff"]), {"width": "column"}),
        "consensus": ("consensus", select(here, ["algorithm=d-psgd"]), {}),
        "timeline": ("timeline", first["fedbuff"], {"end": 1.0}),
        "links": ("links", first["fedbuff"], {}),
        "map": ("map", first["fedbuff"], {}),
        **faults(results),
    }


def faults(results: Path) -> dict[str, tuple[str, Any, dict[str, Any]]]:
    """The same for what goes wrong."""
    storm = simnet.run(FAULTS, results / "faults")
    attacked = simnet.run(ATTACKS, results / "attacks")
    return {
        "faults": ("faults", storm[1], {}),
        "goodput": ("goodput", storm, {}),
        "availability": ("availability", storm[:1], {}),
        "attacks": ("attacks", attacked, {"width": 5.0}),
    }


def main(results: Path) -> None:
    """Draw all pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    for name, (kind, runs, options) in pictures(results).items():
        figure: Figure = KINDS[kind].function(runs, **options)
        with paper_style():
            figure.savefig(PICTURES / f"{name}.png", dpi=140, metadata={"Software": None})
        print(PICTURES / f"{name}.png")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with TemporaryDirectory() as temporary:
            main(Path(temporary))
