"""Methods with robust rules: they degenerate to the plain ones, pay what they must, and hold under attack."""

import pytest
import torch

from simnet.aggregation import build_aggregation
from simnet.compute import count_gradient_flops

PLAIN_SGD = {"task.optimizer": {"name": "sgd", "lr": 0.1}}


def close(first, second):
    return torch.allclose(first, second, atol=2e-6)


def test_robust_allreduce_with_the_mean_is_allreduce(attacked):
    robust = attacked({"name": "robust-allreduce", "aggregation": "mean"})
    plain = attacked("allreduce")
    for name in ("n0", "n3"):
        assert close(robust.models[name], plain.models[name])


@pytest.mark.parametrize(
    "rule", [{"name": "trimmed-mean", "f": 0}, {"name": "multi-krum", "f": 0}, {"name": "mda", "f": 0}]
)
def test_rules_that_assume_no_liars_are_the_mean(attacked, rule):
    robust = attacked({"name": "robust-allreduce", "aggregation": rule})
    assert close(robust.models["n0"], attacked("allreduce").models["n0"])


def test_worker_momentum_is_that_of_an_optimizer(attacked):
    """The mean of momenta is the momentum of means: SGD with that momentum and as much dampening."""
    robust = attacked({"name": "robust-allreduce", "aggregation": "mean", "momentum": 0.5})
    plain = attacked("allreduce", None, {"stop.steps": 1})
    one = attacked(
        {"name": "robust-allreduce", "aggregation": "mean", "momentum": 0.5}, None, {"stop.steps": 1}
    )
    start = plain.run.engine.initial_params
    assert close(one.models["n0"] - start, (plain.models["n0"] - start) / 2)
    assert not close(robust.models["n0"], attacked("allreduce").models["n0"])


@pytest.mark.parametrize("n", [4, 7])
def test_robust_allreduce_pays_for_an_all_gather_and_for_its_rule(attacked, n):
    changes = {"network.topology.nodes": n, "stop.steps": 3, "task.charge_as": {"parameters": "1M"}}
    finished = attacked({"name": "robust-allreduce", "aggregation": "median"}, None, changes)
    d = finished.run.engine.parameters
    assert finished.outcome.raw_bytes_sent == pytest.approx(3 * n * (n - 1) * d * 4)
    assert finished.outcome.bytes_sent == pytest.approx(3 * n * (n - 1) * 1e6 * 4)
    assert finished.run.counts["computations"] == 3 * n
    rule = build_aggregation("median")
    spans = finished.recorder.tables()["spans"].to_pandas()
    seconds = spans[(spans.name == "compute") & (spans.node == "n1")]
    machine = finished.run.cost.machines[1]
    assert (seconds.end - seconds.start).mean() == pytest.approx(machine.seconds(rule.flops(n, 1e6)))
    assert count_gradient_flops(finished.run.task, 0) > 0


def test_fedavg_by_the_mean_is_what_it_was(attacked):
    """Named or not, the plain mean is the weighted one, and nobody is charged for it."""
    assert (
        attacked("fedavg").tables() == attacked({"name": "fedavg", "aggregation": {"name": "mean"}}).tables()
    )
    assert attacked("fedavg").run.counts["computations"] == 0


def test_a_servers_rule_that_assumes_no_liars_is_the_uniform_mean(attacked):
    rule = {"name": "trimmed-mean", "f": 0}
    # The server's work takes a moment, so that later rounds of fedbuff meet in another order: its first step.
    cases = (("fedavg", {"weighting": "uniform"}, {}), ("fedbuff", {}, {"stop.steps": 2}))
    for name, options, changes in cases:
        plain = attacked({"name": name, "local_steps": 2, **options}, None, changes)
        robust = attacked({"name": name, "local_steps": 2, **options, "aggregation": rule}, None, changes)
        assert close(plain.models["server"], robust.models["server"]), name


def test_robust_gossip_with_the_mean_on_a_complete_graph_is_local_sgd(attacked):
    gossip = attacked({"name": "robust-gossip", "rule": "mean", "graph": "complete", "local_steps": 2})
    local = attacked({"name": "local-sgd", "local_steps": 2})
    assert close(gossip.models["n2"], local.models["n2"])


def test_ubar_pays_a_forward_pass_for_each_loss(attacked):
    """Of 3 neighbours the nearest is evaluated, and the node itself: two forward passes a round."""
    rule = {"name": "ubar", "rho": 0.4}
    finished = attacked({"name": "robust-gossip", "rule": rule, "graph": "complete"}, None, {"stop.steps": 3})
    spans = finished.recorder.tables()["spans"].to_pandas()
    assert len(spans[(spans.name == "loss") & (spans.node == "n0")]) == 2 * 3


@pytest.mark.parametrize(
    "method",
    [
        {"name": "robust-allreduce", "aggregation": {"name": "multi-krum", "f": 2}},
        {"name": "fedavg", "local_steps": 2, "aggregation": {"name": "multi-krum", "f": 2}},
    ],
    ids=lambda method: method["name"],
)
def test_what_a_rule_kept_is_recorded_and_held_against_the_truth(attacked, method):
    changes = {"network.topology.nodes": 8, "stop.steps": 6}
    attack = {"attack": {"name": "sign-flip", "scale": 20}, "count": 2}
    finished = attacked(method, attack, changes)
    assert set(finished.column("kept_byzantine")) == {0.0}
    assert set(finished.column("kept_honest")) == {6.0}
    assert set(finished.column("detection_precision")) == {1.0}
    assert set(finished.column("detection_recall")) == {1.0}
    unattacked = attacked(method, None, changes)
    assert set(unattacked.column("kept_inputs")) == {6.0}
    assert unattacked.column("kept_honest") == []


@pytest.mark.parametrize(
    "method",
    [
        {"name": "robust-allreduce", "aggregation": {"name": "median"}},
        {"name": "fedavg", "local_steps": 2, "aggregation": {"name": "trimmed-mean", "f": 2}},
        {"name": "fedbuff", "local_steps": 2, "buffer": 8, "aggregation": {"name": "geometric-median"}},
        {"name": "robust-gossip", "graph": "complete", "rule": {"name": "bridge", "f": 2}},
        {"name": "robust-gossip", "graph": "complete", "rule": {"name": "ubar"}},
        {"name": "robust-gossip", "graph": "complete", "rule": {"name": "monna", "f": 2}},
    ],
    ids=str,
)
def test_a_robust_method_stays_near_its_honest_self_where_a_mean_does_not(attacked, method):
    """Two of eight send numbers of size 100: a mean is carried off by them, a robust rule is not."""
    changes = {"network.topology.nodes": 8, "stop.steps": 6}
    attack = {"attack": {"name": "gaussian", "std": 100.0}, "count": 2}
    plain = {key: value for key, value in method.items() if key not in ("aggregation", "rule")}
    plain["name"] = {"robust-allreduce": "allreduce", "robust-gossip": "d-psgd"}.get(
        plain["name"], plain["name"]
    )
    role = "server" if method["name"].startswith("fed") else None

    def moved(which):
        finished = attacked(which, attack, changes)
        name = role or next(n for n in finished.run.members["worker"] if n not in finished.byzantine)
        return float((finished.models[name] - finished.run.engine.initial_params).norm())

    assert moved(method) < 5.0
    assert moved(plain) > 50.0


def test_dissensus_drives_plain_gossip_apart_and_clipping_bounds_it(attacked):
    changes = {"network.topology.nodes": 8, "stop.steps": 40}
    attack = {"attack": {"name": "dissensus", "scale": 2.0}, "knowledge": "all", "count": 2}
    plain = attacked({"name": "d-psgd", "graph": "complete"}, attack, changes)
    clipped = attacked(
        {
            "name": "robust-gossip",
            "graph": "complete",
            "rule": {"name": "self-centred-clipping", "delta": 0.3},
        },
        attack,
        changes,
    )
    calm = attacked({"name": "d-psgd", "graph": "complete"}, None, changes)
    assert plain.column("consensus_distance")[-1] > 3 * calm.column("consensus_distance")[-1]
    assert clipped.column("consensus_distance")[-1] < plain.column("consensus_distance")[-1]


def test_too_few_answers_change_nothing(attacked):
    """A round that ends with fewer answers than the rule needs leaves the model alone."""
    method = {
        "name": "fedavg",
        "local_steps": 2,
        "deadline": "50 ms",
        "aggregation": {"name": "multi-krum", "f": 1},
    }
    changes = {"network.topology.nodes": 5, "stop": {"time": "1 s"}, "evaluate": None}
    finished = attacked(method, {"attack": "dropping", "nodes": ["n0"]}, changes)
    assert set(finished.column("too_few_answers")) == {4.0}
    assert torch.equal(finished.models["server"], finished.run.engine.initial_params)
