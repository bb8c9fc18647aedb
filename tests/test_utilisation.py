"""Table 4 of Streaming DiLoCo (arXiv 2501.18512): the 1B row of data parallelism and of DiLoCo.

Values are points of the grid 10^(-1 + 4 k / 49) Gbit/s. Utilisation grows with bandwidth, so a threshold is
where it should be if its point reaches the target and the point below does not.
"""

from pathlib import Path

import pytest

from simnet.experiment import load
from simnet.plan import make_engine, plans
from simnet.results import Recorder
from simnet.runtime.simulated import SimulatedRun

SCENARIO = Path(__file__).parents[1] / "scenarios" / "utilisation.yaml"
TARGETS = (0.5, 0.8, 0.9, 0.95, 0.99)
GRID = [10 ** (-1 + 4 * k / 49) for k in range(50)]
PUBLISHED = {
    "data-parallel": (86.8, 152.6, 184.2, 222.3, 569.0),
    "diloco": (1.4, 6.2, 13.3, 23.3, 86.8),
}
STEPS = {"data-parallel": 1, "diloco": 100}


def utilisation(method: str, gbits: float) -> float:
    """Of the scenario that comes with simnet, at another bandwidth and for one round."""
    changes = [f"network.link.bandwidth={gbits!r} Gbps", f"stop.steps={STEPS[method]}", "sweep={}"]
    (point,) = load(SCENARIO, changes).scenarios
    (plan,) = [plan for plan in plans(point.scenario) if plan.label == method]
    return SimulatedRun(plan.world, plan.method, make_engine(plan), Recorder()).run().utilization


@pytest.mark.parametrize("method", PUBLISHED)
def test_every_threshold_is_the_published_point_of_the_grid(method: str) -> None:
    for target, published in zip(TARGETS, PUBLISHED[method], strict=True):
        point = min(range(50), key=lambda k: abs(GRID[k] - published))
        assert GRID[point] == pytest.approx(published, rel=0.01)  # the table is rounded, or cut off
        assert utilisation(method, GRID[point]) >= target
        assert utilisation(method, GRID[point - 1]) < target


def test_a_round_is_as_good_as_many() -> None:
    (point,) = load(SCENARIO, ["stop.steps=3", "sweep={}"]).scenarios
    plan = plans(point.scenario)[0]
    three = SimulatedRun(plan.world, plan.method, make_engine(plan), Recorder()).run()
    assert three.utilization == pytest.approx(utilisation("data-parallel", 10.0), rel=1e-9)
