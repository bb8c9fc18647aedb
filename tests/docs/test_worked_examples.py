"""The worked examples of the documentation, end to end: own code in, results out."""

from pathlib import Path

import pytest
from markdown_pages import ROOT

import simnet


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[simnet.Run]:
    document = simnet.load(ROOT / "docs" / "examples" / "own.yaml", ["threads=1"])
    return simnet.run(document, tmp_path_factory.mktemp("results"))


def test_both_methods_are_there(runs: list[simnet.Run]) -> None:
    assert [run.label for run in runs] == ["local-sgd", "lazy-gossip"]
    assert runs[1].manifest.algorithm == "my_method:LazyGossip"


def test_loss_falls(runs: list[simnet.Run]) -> None:
    for run in runs:
        losses = run.series("loss")["value"]
        assert losses.iloc[-1] < 0.5 * losses.iloc[0]


def test_own_model_and_dataset_are_used(runs: list[simnet.Run]) -> None:
    scenario = runs[0].scenario["task"]
    assert scenario["dataset"]["name"] == "my_model:two_moons"
    assert scenario["model"] == {"name": "my_model:TwoLayers", "width": 24}
    parameters = (2 * 24 + 24) + (24 * 2 + 2)
    first = runs[1].transfers.iloc[0]
    assert first["kind"] == "pair"
    assert first["bytes"] == 4 * parameters


def test_pairs_are_cheaper_than_a_ring(runs: list[simnet.Run]) -> None:
    ring, pairs = runs
    assert ring.manifest.steps == pairs.manifest.steps == 100
    assert pairs.manifest.virtual_seconds < ring.manifest.virtual_seconds
    assert pairs.manifest.bytes_sent < ring.manifest.bytes_sent


def test_odd_number_of_workers_leaves_one_out(tmp_path: Path) -> None:
    overrides = [
        "threads=1",
        "network.topology.nodes=3",
        "stop.steps=10",
        "algorithms=[{name: my_method:LazyGossip}]",
    ]
    [run] = simnet.run(simnet.load(ROOT / "docs" / "examples" / "own.yaml", overrides), tmp_path)
    assert len(run.transfers) == 2 * 2  # two turns, one pair in each
