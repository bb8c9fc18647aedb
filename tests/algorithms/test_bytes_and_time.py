"""What each method sends, and how long its rounds take, against the formulas of its paper."""

import pytest

LATENCY = 2 * 0.005
BANDWIDTH = 100e6 / 8
CHARGE = 4e6
AS_A_MILLION = {"task.charge_as": {"parameters": "1M"}}
HEAVY = {"task.charge_as": {"parameters": "1M", "samples_per_step": "1M"}}
"""Computing takes much longer than sending."""


def test_allreduce_sends_a_ring_per_step(train):
    trained = train("allreduce", {}, AS_A_MILLION)
    assert trained.outcome.bytes_sent == pytest.approx(6 * 4 * 2 * 3 / 4 * CHARGE)
    step = trained.run.cost.machines[0].train_seconds(1)
    ring = 2 * 3 * (LATENCY + CHARGE / (4 * BANDWIDTH))
    assert trained.outcome.virtual_seconds == pytest.approx(6 * (step + ring), rel=1e-9)


def test_diloco_sends_its_share_of_allreduce(train):
    allreduce = train("allreduce", {}, AS_A_MILLION).outcome
    diloco = train("diloco", {"local_steps": 3}, AS_A_MILLION).outcome
    assert allreduce.bytes_sent == pytest.approx(3 * diloco.bytes_sent)
    assert diloco.steps == allreduce.steps == 6


def test_fedavg_round_is_push_and_pull_through_the_servers_link(train):
    """2a + 2 p n / B, plus the clients' own work: the server's access link is what everybody shares."""
    trained = train("fedavg", {"local_steps": 6}, AS_A_MILLION)
    step = trained.run.cost.machines[0].train_seconds(6)
    sample_count = 8  # bytes of the number that goes with each update
    expected = 2 * LATENCY + step + (2 * 4 * CHARGE + 4 * sample_count) / BANDWIDTH
    assert trained.outcome.virtual_seconds == pytest.approx(expected, rel=1e-9)
    assert trained.outcome.bytes_sent == pytest.approx(2 * 4 * CHARGE + 4 * sample_count)


def test_fedavg_samples_clients(train):
    trained = train("fedavg", {"local_steps": 2, "clients": 2}, {"stop.steps": 4})
    answers = trained.recorder.tables()["metrics"].to_pandas().query("name == 'answers'").value
    assert set(answers) == {2.0}
    assert trained.outcome.worker_steps == 16


def test_fedavg_deadline_leaves_the_slow_ones_behind(train):
    changes = {
        **HEAVY,
        "workers": [{"count": 3, "device": "cpu"}, {"device": "cpu", "speed": 0.01}],
        "stop.steps": 12,
    }
    waits = train("fedavg", {"local_steps": 2}, changes)
    seconds = waits.run.cost.machines[0].train_seconds(2)
    hurries = train("fedavg", {"local_steps": 2, "deadline": f"{2 * seconds + 60} s"}, changes)
    assert hurries.outcome.virtual_seconds < 0.2 * waits.outcome.virtual_seconds
    answers = hurries.recorder.tables()["metrics"].to_pandas().query("name == 'answers'").value
    assert set(answers) == {3.0}


def test_fedavg_over_selection_takes_the_first(train):
    changes = {**HEAVY, "workers": [{"count": 3, "device": "cpu"}, {"device": "cpu", "speed": 0.01}]}
    options = {"local_steps": 2, "clients": 3, "over_selection": 1.34}
    trained = train("fedavg", options, {**changes, "stop.steps": 9})
    slow_steps = trained.run.nodes["n3"].steps
    assert slow_steps == 2
    assert trained.outcome.steps >= 9


def test_fedbuff_lets_the_fast_ones_work_more(train):
    changes = {
        **HEAVY,
        "workers": [{"count": 2, "device": "cpu"}, {"count": 2, "device": "cpu", "speed": 0.25}],
        "stop.steps": 40,
    }
    trained = train("fedbuff", {"local_steps": 2, "buffer": 2}, changes)
    steps = {name: node.steps for name, node in trained.run.nodes.items()}
    assert steps["n0"] > 2.5 * steps["n3"]
    staleness = trained.recorder.tables()["metrics"].to_pandas().query("name == 'staleness'").value
    assert staleness.min() >= 0
    assert staleness.max() > 0


def test_fedbuff_concurrency_bounds_the_workers_at_work(train):
    trained = train("fedbuff", {"local_steps": 2, "buffer": 1, "concurrency": 1}, AS_A_MILLION)
    spans = trained.recorder.tables()["spans"].to_pandas().query("name == 'train'").sort_values("start")
    assert (spans.start.iloc[1:].to_numpy() >= spans.end.iloc[:-1].to_numpy()).all()


def test_d_psgd_waits_for_its_neighbours_only(train):
    """A straggler slows nodes at distance k from iteration k on: the delay spreads as a wave."""
    changes = {
        **HEAVY,
        "network.topology": {"kind": "ring", "nodes": 8},
        "workers": [{"count": 1, "device": "cpu", "speed": 0.001}, {"device": "cpu"}],
        "stop.steps": 3,
    }
    trained = train("d-psgd", {}, changes)
    spans = trained.recorder.tables()["spans"].to_pandas()
    gradients = spans[spans.name == "gradient"].groupby("node").start.apply(list)
    slow = spans[(spans.node == "n0") & (spans.name == "gradient")].end.iloc[0]
    for node, distance in (("n1", 1), ("n2", 2), ("n4", 4)):
        late = [start >= slow for start in sorted(gradients[node])]
        assert late == [iteration > distance for iteration in range(3)]


def test_d_psgd_sends_degree_models_per_step(train):
    trained = train("d-psgd", {"graph": "ring"}, AS_A_MILLION)
    degrees = 8 * 4 * 2
    assert trained.outcome.bytes_sent == pytest.approx(6 * 4 * 2 * CHARGE + degrees)


def test_ad_psgd_does_not_wait_for_the_slow_pair(train):
    changes = {
        **HEAVY,
        "workers": [{"count": 3, "device": "cpu"}, {"device": "cpu", "speed": 0.1}],
        "stop.steps": 20,
    }
    free, together = train("ad-psgd", {}, changes), train("d-psgd", {"graph": "ring"}, changes)
    assert free.run.nodes["n0"].steps > 3 * free.run.nodes["n3"].steps
    assert free.outcome.virtual_seconds < 0.5 * together.outcome.virtual_seconds


def test_ad_psgd_averaging_conserves_the_mean(train):
    """Without gradients an averaging moves no mass: with a tiny learning rate the mean stays."""
    changes = {"task.optimizer": {"name": "sgd", "lr": 1e-12}, "stop.steps": 30}
    trained = train("ad-psgd", {}, changes)
    start = trained.run.engine.initial_params
    assert (trained.mean_model() - start).norm() <= 1e-5 * start.norm()
