"""Runs of shipped methods in which nodes go down and come up at given times."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from simnet.plan import make_engine, plans
from simnet.results import Recorder
from simnet.runtime.simulated import Outcome, SimulatedRun
from simnet.scenario import Scenario

STEP = 0.1
"""Seconds of a step."""
DETECTION = 0.4
PARAMETERS = 100_000
MODEL_BYTES = 4.0 * PARAMETERS

Change = tuple[float, str, str]
"""When, which node, and "down" or "up"."""


@dataclass
class Weathered:
    """A finished run."""

    run: SimulatedRun
    outcome: Outcome
    recorder: Recorder

    @property
    def models(self) -> dict[str, Tensor]:
        return {name: node.params for name, node in self.run.nodes.items()}

    def bytes_of(self, kind: str) -> float:
        """Charged bytes of all messages of a kind that were delivered."""
        rows = self.recorder.tables()["transfers"].to_pylist()
        return sum(row["bytes"] for row in rows if row["kind"] == kind and row["status"] == "delivered")


def scenario(nodes: int, method: dict[str, Any], *, timed: bool, **changes: Any) -> dict[str, Any]:
    """Workers with optima of their own and no noise, so that no step depends on which batch it drew."""
    charge = {"parameters": PARAMETERS, "step_seconds": f"{STEP} s"}
    task = {
        "name": "quadratic",
        "dimensions": 4,
        "batch_size": "full",
        "optimizer": {"name": "sgd", "lr": 0.1},
        "charge_as": charge,
    }
    if timed:
        task = {"name": "synthetic", "parameters": PARAMETERS, "step_seconds": f"{STEP} s"}
    return {
        "name": "weather",
        "device": "cpu",
        "threads": 1,
        "network": {
            "topology": {"kind": "star", "nodes": nodes},
            "link": {"bandwidth": "100 Mbps", "latency": "1 ms"},
            "detection_timeout": f"{DETECTION} s",
        },
        "workers": [{"device": "cpu"}] if not timed else {},
        "task": task,
        "algorithms": [method],
        "stop": {"steps": 12, "time": "10 min"},
        **({} if timed else {"evaluate": {"every": "1 s"}}),
        **changes,
    }


def weathered(
    nodes: int,
    method: dict[str, Any],
    changes: list[Change] | tuple[Change, ...] = (),
    *,
    disk: bool = False,
    timed: bool = False,
    **scenario_changes: Any,
) -> Weathered:
    """One run of `method` on a star, with nodes that go down and come up; raises as `SimulatedRun.run`."""
    (plan,) = plans(Scenario.model_validate(scenario(nodes, method, timed=timed, **scenario_changes)))
    recorder = Recorder()
    run = SimulatedRun(plan.world, plan.method, make_engine(plan), recorder)
    for moment, node, what in changes:
        run.nodes[node].keeps_disk = disk
        change = _change(run, node, what, disk)
        run.env.timeout(moment).callbacks.append(change)
    return Weathered(run, run.run(), recorder)


def _change(run: SimulatedRun, node: str, what: str, disk: bool) -> Any:
    def change(_: object) -> None:
        if what == "down":
            run.fail(node)
        else:
            run.lifecycle.up(node, disk=disk)

    return change
