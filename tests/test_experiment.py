"""`import simnet`: loading, running and checking scenarios from Python."""

import hashlib
import json
import textwrap

import pytest
import yaml

import simnet
from simnet.experiment import AlgorithmError, check
from simnet.plan import plans
from simnet.results import ResultsError, read_runs
from simnet.scenario import load_file, load_text

METHODS = ["allreduce", {"name": "diloco", "local_steps": 2}]


def document(mapping, overrides=(), folder=None):
    return load_text(json.dumps(mapping), overrides, folder=folder)


def test_run_gives_runs_with_metrics(small, tmp_path):
    runs = simnet.run(document(small({"algorithms": METHODS})), tmp_path)
    assert [run.label for run in runs] == ["allreduce", "diloco"]
    metrics = runs[0].metrics
    assert list(metrics.columns) == ["time", "node", "step", "name", "value"]
    assert {"loss", "accuracy", "local_loss", "consensus_distance", "steps", "bytes"} <= set(metrics.name)
    assert runs[1].manifest.bytes_sent == pytest.approx(runs[0].manifest.bytes_sent / 2)
    assert {run.folder for run in read_runs(tmp_path)} == {run.folder for run in runs}


def test_the_same_scenario_gives_the_same_bytes(small, tmp_path):
    def digests(place):
        runs = simnet.run(document(small({"algorithms": METHODS})), tmp_path / place)
        return [hashlib.sha256((run.folder / "metrics.parquet").read_bytes()).hexdigest() for run in runs]

    assert digests("once") == digests("again")


def test_the_resolved_scenario_in_a_run_folder_makes_the_same_run(small, tmp_path):
    (run, _) = simnet.run(
        document(small({"algorithms": METHODS, "expect": ["time(diloco) < 1 h"]})), tmp_path
    )
    again = load_file(run.folder / "scenario.yaml")
    (rerun,) = simnet.run(again, tmp_path / "again")
    assert rerun.folder.name == run.folder.name
    assert (rerun.folder / "metrics.parquet").read_bytes() == (run.folder / "metrics.parquet").read_bytes()


def test_a_sweep_runs_one_after_another(small, tmp_path):
    mapping = small({"sweep": {"network.link.bandwidth": ["10 Mbps", "100 Mbps"], "seed": [0, 1]}})
    runs = simnet.run(document(mapping), tmp_path)
    assert len({run.folder for run in runs}) == 4
    assert runs[0].manifest.virtual_seconds > runs[2].manifest.virtual_seconds


def test_hyperparameters_are_part_of_a_run_s_identity_and_prose_is_not(small):
    def digest(changes):
        (plan,) = plans(document(small(changes)).scenarios[0].scenario)
        return plan.digest

    base = digest({})
    assert base == digest({"description": "other words", "name": "other"})
    assert base != digest({"seed": 1})
    assert base != digest({"network.link.latency": "6 ms"})


def test_threads_and_torch_state_are_as_before(small, tmp_path):
    import torch

    threads, state = torch.get_num_threads(), torch.get_rng_state()
    simnet.run(document(small({"threads": 2})), tmp_path)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.get_rng_state(), state)


def test_check_measures_both_sides(small, tmp_path):
    mapping = small(
        {
            "algorithms": METHODS,
            "expect": ["bytes(allreduce) == 2 * bytes(diloco)", "time(diloco) > time(allreduce)"],
        }
    )
    first, second = check(document(mapping), tmp_path)
    assert first.held
    assert not second.held
    assert str(second).startswith("FAIL small: time(diloco) > time(allreduce)")


def test_check_without_expectations_is_an_error(small, tmp_path):
    with pytest.raises(simnet.ScenarioError, match="nothing to check"):
        check(document(small()), tmp_path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"algorithms": ["dilocco"]}, ["algorithms.0.name", "dilocco", "did you mean `diloco`"]),
        (
            {"algorithms": [{"name": "diloco", "local_stepz": 3}]},
            ["local_stepz", "did you mean `local_steps`"],
        ),
        ({"algorithms": [{"name": "diloco", "local_steps": 0}]}, ["algorithms.0.local_steps", "0"]),
        ({"task.optimizer": {"name": "sdg", "lr": 0.1}}, ["task.optimizer", "sgd"]),
        ({"task.optimizer": {"name": "sgd", "lr": -1}}, ["task.optimizer.lr", "-1"]),
        ({"workers": [{"device": "rtx309"}]}, ["workers.0.device", "did you mean `rtx3090`"]),
        ({"task.dataset": "digitz"}, ["task.dataset", "did you mean `digits`"]),
        ({"task.model": {"name": "mlp", "hiden": [3]}}, ["task.model.hiden", "did you mean `hidden`"]),
        ({"network.topology": {"kind": "stra"}}, ["network.topology", "did you mean `star`"]),
        ({"workers": [{"count": 3, "device": "cpu"}]}, ["3", "4"]),
        ({"algorithms": [{"name": "nowhere:Thing"}]}, ["algorithms.0.name", "nowhere"]),
        ({"device": "cuda:99"}, ["device", "cuda:99"]),
        ({"network.topology": {"kind": "ring", "nodes": 4}, "algorithms": ["fedavg"]}, ["server", "node"]),
    ],
)
def test_mistakes_are_told_with_key_and_remedy(small, changes, words, tmp_path):
    with pytest.raises(simnet.ScenarioError) as caught:
        simnet.run(document(small(changes)), tmp_path)
    for word in words:
        assert word in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_error_names_file_and_line(small, tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        yaml.safe_dump(small({"algorithms": [{"name": "diloco", "local_stepz": 3}]}), sort_keys=False)
    )
    line = next(i for i, text in enumerate(path.read_text().splitlines(), 1) if "local_stepz" in text)
    with pytest.raises(simnet.ScenarioError, match=rf"mine\.yaml:{line}: algorithms\.0\.local_stepz"):
        simnet.run(path, tmp_path / "results")


def test_a_failing_method_is_blamed_by_file_and_line(small, tmp_path):
    (tmp_path / "broken.py").write_text(
        textwrap.dedent(
            """
            from simnet import Algorithm

            class Broken(Algorithm):
                async def worker(self, node):
                    await node.train(1)
                    raise KeyError("oops")
            """
        )
    )
    with pytest.raises(AlgorithmError, match=r"broken failed at .*broken\.py:7: raise KeyError"):
        simnet.run(document(small({"algorithms": ["broken:Broken"]}), folder=tmp_path), tmp_path / "results")
    assert not (tmp_path / "results").exists()


def test_a_results_folder_that_cannot_be_written_is_found_before_the_run(small, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match="file"):
        simnet.run(document(small()), tmp_path / "file")
