"""A partition: both sides go on by themselves in views of their own, and are one again when it has healed."""

import pytest
import torch
from weather import DETECTION, STEP, weathered

BEGINS, LASTS = 0.55, 2.0
SPLIT = {
    "partitions": [
        {"at": f"{BEGINS} s", "until": f"{BEGINS + LASTS} s", "groups": [["n0", "n1", "n2"], ["n3", "n4"]]}
    ]
}
NODES = 5


def partitioned(method, steps=60, **changes):
    return weathered(NODES, method, faults=SPLIT, stop={"steps": steps, "time": "10 min"}, **changes)


def views_over_time(monkeypatch):
    """(time, node, members) of every view that a node joins."""
    from simnet.runtime.simulated_node import SimulatedNode

    seen, join = [], SimulatedNode.join

    def noted(self, view):
        seen.append((float(self._env.now), self.id, view.members))
        join(self, view)

    monkeypatch.setattr(SimulatedNode, "join", noted)
    return seen


@pytest.mark.parametrize("timed", [False, True])
@pytest.mark.parametrize(
    "method",
    [{"name": "allreduce"}, {"name": "local-sgd", "local_steps": 2}, {"name": "diloco", "local_steps": 2}],
    ids=lambda method: method["name"],
)
def test_each_side_goes_on_alone_and_all_are_together_again(method, timed, monkeypatch):
    seen = views_over_time(monkeypatch)
    done = partitioned(method, timed=timed)
    during = [(name, members) for time, name, members in seen if BEGINS < time < BEGINS + LASTS]
    left, right = ("n0", "n1", "n2"), ("n3", "n4")
    assert {members for name, members in during if name in left} == {left}
    assert {members for name, members in during if name in right} == {right}
    assert all(time >= BEGINS + DETECTION for time, *_ in seen if time > 0)
    after = {members for time, _, members in seen if BEGINS + LASTS <= time < BEGINS + LASTS + 1}
    assert after == {left + right}  # later on those who have done all their steps leave
    assert not done.run.lifecycle.unfinished
    if not timed:
        models = list(done.models.values())
        assert all(torch.equal(model, models[0]) for model in models)


def test_both_sides_take_steps_meanwhile():
    """Nobody waits for the other side but for the time in which it was not yet noticed."""
    done = partitioned({"name": "allreduce"})
    spans = [row for row in done.recorder.tables()["spans"].to_pylist() if row["kind"] == "compute"]
    for name in ("n0", "n3"):
        meanwhile = [
            row
            for row in spans
            if row["node"] == name and BEGINS + DETECTION < row["start"] < BEGINS + LASTS - STEP
        ]
        assert len(meanwhile) >= 0.5 * (LASTS - DETECTION) / STEP


def test_who_waits_takes_no_step_on_either_side():
    """`wait`: no side has everybody, so nobody goes on until they are one again; no step is lost."""
    method = {"name": "allreduce", "on_failure": "wait"}
    done, calm = partitioned(method), weathered(NODES, method, stop={"steps": 60, "time": "10 min"})
    extra = done.outcome.virtual_seconds - calm.outcome.virtual_seconds
    assert LASTS - 2 * STEP < extra < LASTS + 3 * STEP
    done_model, calm_model = done.models["n0"], calm.models["n0"]
    assert torch.allclose(done_model, calm_model, atol=1e-5)


def test_a_quorum_lets_one_side_go_on():
    """With a quorum of 3 the side of two waits, and takes over what the other has done."""
    done = partitioned({"name": "allreduce", "quorum": 3}, steps=40)
    nodes = done.run.nodes
    assert nodes["n0"].steps == 40
    assert nodes["n3"].steps < 40 - 0.5 * (LASTS - DETECTION) / STEP
    assert nodes["n3"].version == nodes["n0"].version
    assert torch.equal(nodes["n3"].params, nodes["n0"].params)
