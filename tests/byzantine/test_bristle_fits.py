"""Bristle where it does not fit, and in bad weather."""

import pytest

from simnet.plan import plans
from simnet.scenario import Scenario, ScenarioError

QUADRATIC = {"name": "quadratic", "dimensions": 4, "batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.1}}
SYNTHETIC = {"name": "synthetic", "parameters": "1M", "step_seconds": "1 s"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": QUADRATIC}, "must tell classes of samples apart"),
        ({"algorithms": [{"name": "bristle", "classes": 9}]}, "the task has 10 classes, not 9"),
        ({"task.charge_as": {"parameters": "10M", "layers": 3}}, "no `task.charge_as.layers`"),
        ({"task": SYNTHETIC, "workers": {}, "evaluate": None}, "depends on values"),
    ],
)
def test_where_it_means_nothing_it_is_refused(small, changes, message):
    with pytest.raises(ScenarioError, match=message) as caught:
        plans(Scenario.model_validate(small({"algorithms": ["bristle"], **changes})))
    assert caught.value.problems[0].path[:2] == ("algorithms", 0)


@pytest.mark.parametrize("model", [{"name": "mlp", "hidden": [16]}, {"name": "mlp", "hidden": []}])
def test_where_it_fits_it_is_not(small, model):
    (plan,) = plans(Scenario.model_validate(small({"algorithms": ["bristle"], "task.model": model})))
    assert plan.world.task.classes == 10


WEATHER = {
    "churn": [
        {"kind": "crash", "node": "n1", "at": "1 s", "down": "3 s"},
        {"kind": "crash", "node": "n3", "at": "2 s"},
    ],
    "stragglers": [{"kind": "lognormal", "sigma": 0.5}],
}
SLOW = {
    "workers": [{"device": {"flops": "1 GFLOP/s", "achieved": 0.0001}}],
    "network.detection_timeout": "0.2 s",
}


def test_lost_peers_are_sent_nothing_and_who_comes_back_learns_from_the_others(attacked):
    method = {"name": "bristle", "local_steps": 2, "graph": "complete"}
    changes = {**SLOW, "stop.steps": 40, "evaluate": {"every": "1 s", "samples": 64}}
    done = attacked(method, None, {**changes, "faults": WEATHER})
    calm = attacked(method, None, changes)
    assert done.outcome.virtual_seconds > calm.outcome.virtual_seconds
    assert done.run.nodes["n1"].incarnation == 1
    assert all(done.run.nodes[name].steps == 40 for name in ("n0", "n1", "n2"))
    transfers = done.recorder.tables()["transfers"].to_pylist()
    layers = [row for row in transfers if row["kind"] == "layer"]
    to_n1 = [row for row in layers if row["target"] == "n1"]
    assert calm.outcome.virtual_seconds > 5  # so that the crashes lie within the run
    assert not [row for row in layers if row["target"] == "n3" and row["start"] > 2.2]
    assert not [row for row in to_n1 if 1.2 < row["start"] < 4.0]
    assert [row for row in to_n1 if row["start"] > 4.0 and row["status"] == "delivered"]
    counts = done.outcome.invariants
    assert counts["bytes_sent"] == pytest.approx(counts["bytes_received"] + counts["bytes_lost"], abs=1e-3)


def test_judging_models_takes_longer_on_a_slow_machine(attacked):
    """Everything that it computes, its forward passes as well, takes twice as long."""
    method = {"name": "bristle", "local_steps": 2, "graph": "complete"}
    changes = {**SLOW, "network.link": {"bandwidth": "1e9 Tbps", "latency": 0}, "stop.steps": 8}
    slow = {"stragglers": [{"kind": "scheduled", "at": "0 s", "factor": 2}]}
    plain, halved = attacked(method, None, changes), attacked(method, None, {**changes, "faults": slow})
    assert halved.outcome.virtual_seconds == pytest.approx(2 * plain.outcome.virtual_seconds, rel=1e-6)
