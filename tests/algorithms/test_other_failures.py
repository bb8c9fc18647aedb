"""What gossip, servers and pipelines do when nodes go down; and what an aborted run leaves."""

import pytest
import torch
from weather import DETECTION, MODEL_BYTES, scenario, weathered

from simnet.experiment import run
from simnet.scenario import Scenario

GOSSIP = [
    {"name": "gossip", "local_steps": 1},
    {"name": "d-psgd", "graph": "ring"},
    {"name": "d-psgd", "graph": "complete"},
    {"name": "ad-psgd", "graph": "complete"},
]
SERVERS = [{"name": "fedavg", "local_steps": 2}, {"name": "fedbuff", "local_steps": 2, "buffer": 2}]


@pytest.mark.parametrize("method", GOSSIP)
def test_the_others_go_on_without_a_lost_partner(method):
    done = weathered(5, method, [(0.35, "n2", "down")])
    lost = done.run.nodes["n2"]
    assert lost.steps < 12
    assert all(done.run.nodes[name].steps >= 12 for name in done.models if name != "n2")


@pytest.mark.parametrize("method", GOSSIP)
def test_a_rejoiner_downloads_one_model(method):
    changes = [(0.35, "n2", "down"), (1.2, "n2", "up")]
    done = weathered(5, method, changes, stop={"steps": 40, "time": "1 h"})
    assert done.bytes_of("model") == MODEL_BYTES
    if method["name"] != "ad-psgd":  # its turns go on from the others'; alone once these have done theirs
        assert done.run.nodes["n2"].version >= done.run.nodes["n1"].version == 40
        assert done.run.nodes["n2"].steps == 40


def test_both_ends_drop_an_edge_so_the_mean_is_kept():
    """The others' mean moves as if each took its own steps: W stays doubly stochastic."""
    method = {"name": "d-psgd", "graph": "complete"}
    done = weathered(4, method, [(0.0, "n3", "down")])
    alone = [
        weathered(4, method, [(0.0, name, "down") for name in done.models if name != survivor])
        for survivor in ("n0", "n1", "n2")
    ]
    mean = sum(done.models[name] for name in ("n0", "n1", "n2")) / 3
    apart = sum(run.models[name] for run, name in zip(alone, ("n0", "n1", "n2"), strict=True)) / 3
    assert torch.allclose(mean, apart, atol=1e-5)  # gradients are affine with one curvature for all


@pytest.mark.parametrize("method", SERVERS)
@pytest.mark.parametrize("back", [0.5, 3.0])
def test_a_client_that_comes_back_serves_again(method, back):
    changes = [(0.31, "n1", "down"), (back, "n1", "up")]
    done = weathered(3, method, changes, stop={"steps": 60, "time": "1 h"})
    assert done.run.nodes["n1"].steps > 20
    assert done.outcome.steps >= 60


def test_a_round_waits_for_a_lost_client_no_longer_than_its_detection():
    calm = weathered(3, SERVERS[0])
    crashed = weathered(3, SERVERS[0], [(0.25, "n1", "down")], stop={"steps": 8, "time": "1 h"})
    assert crashed.outcome.virtual_seconds < calm.outcome.virtual_seconds + DETECTION + 0.6


@pytest.mark.parametrize("method", SERVERS)
@pytest.mark.parametrize("disk", [True, False])
def test_clients_wait_for_their_server(method, disk):
    done = weathered(3, method, [(0.5, "server", "down"), (9.0, "server", "up")], disk=disk)
    assert done.outcome.virtual_seconds > 9.0
    assert done.outcome.steps >= 12


def test_all_clients_are_lost_and_one_comes_back():
    changes = [(0.3, name, "down") for name in ("n0", "n1", "n2")]
    for method in SERVERS:
        done = weathered(3, method, [*changes, (5.0, "n2", "up")])
        assert done.outcome.virtual_seconds > 5.0
        assert done.outcome.steps >= 12


def test_an_aborted_run_is_written_as_such(tmp_path):
    mapping = scenario(3, {"name": "allreduce", "on_failure": "abort"}, timed=False)
    mapping["faults"] = {"churn": [{"kind": "crash", "node": "n2", "at": "0.55 s"}]}
    (aborted,) = run(Scenario.model_validate(mapping), tmp_path)
    assert aborted.manifest.status == "aborted"
    assert aborted.manifest.reason.startswith("n2 went down")
    assert 0 < aborted.manifest.worker_steps < 36
    assert len(aborted.series("loss"))


def test_a_lost_stage_aborts_its_pipeline(tmp_path):
    mapping = {
        "name": "stages",
        "device": "cpu",
        "threads": 1,
        "network": {
            "topology": {"kind": "star", "nodes": 3},
            "link": {"bandwidth": "10 Mbps", "latency": "1 ms"},
        },
        "workers": [{"device": "cpu"}],
        "task": {
            "name": "classification",
            "dataset": "digits",
            "model": {"name": "mlp", "hidden": [16, 16]},
            "batch_size": 16,
            "optimizer": {"name": "sgd", "lr": 0.1},
        },
        "pipeline": {"stages": 3},
        "algorithms": [{"name": "pipeline", "microbatches": 3}],
        "stop": {"steps": 1000, "time": "1 h"},
        "faults": {"churn": [{"kind": "crash", "node": "n1", "at": "0.1 s"}]},
    }
    (aborted,) = run(Scenario.model_validate(mapping), tmp_path)
    assert aborted.manifest.status == "aborted"
    assert "went down" in aborted.manifest.reason
