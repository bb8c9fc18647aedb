"""Each method degenerates to another one where its equations say so."""

import pytest
import torch

PLAIN = {"task.optimizer": {"name": "sgd", "lr": 0.1}}


def close(left, right):
    return torch.allclose(left, right, atol=2e-6)


def test_allreduce_is_one_worker_with_the_big_batch(train):
    """Synchronous data parallelism over full local batches follows the gradient of all data."""
    changes = {**PLAIN, "task.batch_size": "full"}
    four = train("allreduce", {}, changes)
    one = train("allreduce", {}, {**changes, "network.topology": {"kind": "star", "nodes": 1}})
    # Shares differ by at most one of 1437 samples, so the mean of means is nearly the mean of all.
    assert torch.allclose(four.models["n0"], one.models["n0"], atol=2e-4)


def test_all_workers_of_allreduce_stay_the_same(train):
    models = list(train("allreduce", {}, {"task.optimizer": {"name": "adamw", "lr": 0.01}}).models.values())
    assert all(torch.equal(model, models[0]) for model in models)


def test_diloco_with_one_step_and_plain_optimizers_is_allreduce(train):
    """x - 1 * mean_i(x - (x - lr g_i)) = x - lr mean_i g_i."""
    outer = {"name": "sgd", "lr": 1.0}
    assert close(
        train("diloco", {"local_steps": 1, "outer": outer}, PLAIN).models["n0"],
        train("allreduce", {}, PLAIN).models["n0"],
    )


def test_local_sgd_with_one_step_is_allreduce(train):
    assert close(
        train("local-sgd", {"local_steps": 1}, PLAIN).models["n0"], train("allreduce", {}, PLAIN).models["n0"]
    )


def test_diloco_with_a_plain_outer_step_is_local_sgd(train):
    options = {"local_steps": 3, "outer": {"name": "sgd", "lr": 1.0}}
    changes = {"task.optimizer": {"name": "adamw", "lr": 0.01}}
    assert close(
        train("diloco", options, changes).models["n1"],
        train("local-sgd", {"local_steps": 3}, changes).models["n1"],
    )


def test_fedavg_of_everybody_and_one_full_batch_step_is_allreduce(train):
    changes = {**PLAIN, "task.batch_size": "full"}
    federated = train("fedavg", {"local_steps": 1, "weighting": "uniform"}, changes)
    assert close(federated.models["server"], train("allreduce", {}, changes).models["n0"])


def test_fedavg_with_uniform_weights_is_local_sgd(train):
    changes = {"task.optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.9}}
    assert close(
        train("fedavg", {"local_steps": 3, "weighting": "uniform"}, changes).models["server"],
        train("local-sgd", {"local_steps": 3}, changes).models["n0"],
    )


def test_fedbuff_with_a_full_buffer_is_fedavg(train):
    """Alike clients, a buffer as large as the cohort: every update has staleness 0 in the first round."""
    changes = {"stop.steps": 3}
    buffered = train("fedbuff", {"local_steps": 3, "buffer": 4}, changes)
    averaged = train("fedavg", {"local_steps": 3, "weighting": "uniform"}, changes)
    assert close(buffered.models["server"], averaged.models["server"])


def test_d_psgd_on_the_complete_graph_keeps_the_mean_of_allreduce(train):
    """W = 11'/n: one step from a common model is x - lr g_i, whose mean is the step of allreduce."""
    changes = {**PLAIN, "stop.steps": 1}
    assert close(
        train("d-psgd", {"graph": "complete"}, changes).mean_model(),
        train("allreduce", {}, changes).models["n0"],
    )


def test_d_psgd_gossip_alone_is_averaging(train):
    """After every iteration on the complete graph models differ by their own last step only."""
    trained = train("d-psgd", {"graph": "complete"}, PLAIN)
    rates = [(model - trained.mean_model()).norm() for model in trained.models.values()]
    ring = train("d-psgd", {"graph": "ring"}, {**PLAIN, "network.topology.nodes": 8})
    ring_rates = [(model - ring.mean_model()).norm() for model in ring.models.values()]
    assert max(rates) < max(ring_rates)


@pytest.mark.parametrize("name", ["local-sgd", "diloco", "d-psgd", "ad-psgd", "fedavg"])
def test_one_worker_is_the_plain_loop(train, name):
    options = {
        "local-sgd": {"local_steps": 2},
        "diloco": {"local_steps": 2, "outer": {"name": "sgd", "lr": 1.0}},
        "fedavg": {"local_steps": 2},
    }.get(name, {})
    changes = {
        "network.topology": {"kind": "star", "nodes": 1},
        "task.optimizer": {"name": "adamw", "lr": 0.01},
    }
    plain = train("allreduce", {}, changes)
    trained = train(name, options, changes)
    node = "server" if name == "fedavg" else "n0"
    assert torch.allclose(trained.models[node], plain.models["n0"], atol=2e-6)
    assert trained.outcome.worker_steps == 6


@pytest.mark.parametrize(
    "name", ["allreduce", "local-sgd", "diloco", "d-psgd", "ad-psgd", "fedavg", "fedbuff"]
)
def test_every_method_learns_and_conserves_bytes(train, name):
    options = {"local_steps": 5} if name in ("local-sgd", "diloco", "fedavg", "fedbuff") else {}
    changes = {"stop.steps": 60, "evaluate.every": "10 steps", "task.optimizer.lr": 0.5}
    trained = train(name, options, changes)
    metrics = trained.recorder.tables()["metrics"].to_pandas()
    losses = metrics[(metrics.node == "") & (metrics.name == "loss")].value
    assert losses.iloc[-1] < 0.6 * losses.iloc[0]
    counts = trained.outcome.invariants
    assert counts["bytes_sent"] == pytest.approx(counts["bytes_received"] + counts["bytes_lost"], rel=1e-12)
    assert counts["gradients_charged"] == counts["gradients_computed"]
    assert 0 < trained.outcome.utilization <= 1
