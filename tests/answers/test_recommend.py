"""Rankings where the winner is clear by construction, and what is said of the others."""

import json
from collections.abc import Callable, Sequence
from math import inf
from pathlib import Path
from typing import Any

import pytest
import yaml

from simnet.algorithms import algorithm_names
from simnet.answers import Recommendation, Search, SearchError, recommend
from simnet.answers.candidates import GRIDS, candidates
from simnet.answers.recommend import FACTOR
from simnet.cli.main import main
from simnet.cli.recommend import _how_sure
from simnet.scenario import ScenarioError

MAKE = Callable[..., Path]


@pytest.fixture
def learning(small: Callable[..., dict[str, Any]], tmp_path: Path) -> MAKE:
    """Writes a scenario in which a model of 10M parameters is charged for, at one second a step."""

    def make(bandwidth: str = "100 Mbps", **changes: Any) -> Path:
        base = {
            "network.link": {"bandwidth": bandwidth, "latency": "0 s"},
            "task.charge_as": {"parameters": "10M", "step_seconds": "1 s"},
            "task.partition": {"name": "by-class", "classes_per_worker": 3},
            "stop.steps": 90,
            "algorithms": ["allreduce"],
        }
        file = tmp_path / "learning.yaml"
        file.write_text(yaml.safe_dump(small(base | changes), sort_keys=False), encoding="utf-8")
        return file

    return make


def asked(file: Path, methods: Sequence[str] = (), **options: Any) -> Recommendation:
    return recommend(file, Search(file.parent / "results", jobs=2), methods=methods, **options)


PAIR = ("allreduce", "local-sgd")


def test_local_steps_where_the_network_is_slow(learning):
    """An all-reduce of 40 MB takes 480 s at 1 Mbit/s: by the deadline of 10 minutes there is one of it."""
    answer = asked(learning("1 Mbps"), PAIR, deadline_seconds=600.0, seeds=2)
    assert answer.ranking[0].entry.name == "local-sgd"
    (allreduce,) = (one for one in answer.ranking if one.label == "allreduce")
    assert allreduce.seconds_per_step == pytest.approx(1 + 1.5 * 40e6 / 125e3)


def test_allreduce_where_the_network_is_fast(learning):
    """Everybody takes one second a step, and long ways with two classes alone lead apart."""
    rare = {"name": "local-sgd", "local_steps": 45, "label": "rare"}
    changes = {
        "network.topology.nodes": 5,
        "task.partition.classes_per_worker": 2,
        "stop.steps": 810,
        "algorithms": ["allreduce", rare],
    }
    file = learning("10 Tbps", **changes)
    answer = asked(file, ("allreduce", "rare"), deadline_seconds=900.0, seeds=2)
    best, *others = answer.ranking
    assert best.label == "allreduce"
    assert best.seconds_per_step == pytest.approx(1, rel=1e-3)
    rivals = [one for one in others if one.round == best.round]
    assert rivals
    assert all(one.beaten_by(best) == 2 for one in rivals)
    assert "in each of 2 seeds" in _how_sure(answer)


def test_rounds_are_the_question_in_miniature(learning):
    answer = asked(learning(), deadline_seconds=900.0, seeds=2)
    first, second, last = answer.rounds
    assert [first.steps, second.steps, last.steps] == [10, 30, 90]
    assert [each.deadline_seconds for each in answer.rounds] == pytest.approx([100.0, 300.0, 900.0])
    assert [each.seeds for each in answer.rounds] == [1, 1, 2]
    assert second.candidates <= -(-first.candidates // FACTOR) + 2
    runs = first.candidates + second.candidates + 2 * last.candidates
    assert answer.cost.runs == runs
    ranks = [one.round for one in answer.ranking]
    assert ranks == sorted(ranks, reverse=True)
    for number in range(3):
        losses = [one.loss for one in answer.ranking if one.round == number]
        assert losses == sorted(losses)
    tried = {one.label for one in answer.ranking}
    assert len(tried) == len(answer.ranking)
    assert not tried & set(answer.excluded)
    seen = {one.entry.name for one in answer.ranking} | {
        label.split("-local_")[0] for label in answer.excluded
    }
    assert set(algorithm_names()) <= seen


def test_the_same_again_for_nothing(learning):
    file = learning()
    first = asked(file, PAIR, seeds=1)
    again = asked(file, PAIR, seeds=1)
    assert again.ranking == first.ranking
    assert (again.cost.runs, again.cost.reused) == (0, first.cost.runs)
    elsewhere = recommend(file, Search(file.parent / "other", jobs=1), methods=PAIR, seeds=1)
    assert elsewhere.ranking == first.ranking
    sooner = asked(file, PAIR, seeds=1, deadline_seconds=first.deadline_seconds / 10)
    assert sooner.deadline_given
    assert not first.deadline_given
    assert sooner.cost.reused >= sooner.rounds[0].candidates  # the first round is the same


def test_what_is_not_tried_says_why(learning):
    found = candidates(learning(), (), shortest=10, jobs=2)
    assert "pipeline" in found.excluded["pipedream"]
    assert "attacks" in found.excluded["robust-allreduce"]
    assert "rounds of local steps" in found.excluded["diloco"]
    labels = [entry.label for entry in found.entries]
    assert labels[0] == "allreduce"  # as the scenario has it, once
    assert labels.count("allreduce") == 1
    assert "local-sgd-local_steps-5" in labels
    longer = candidates(learning(), (), shortest=100, jobs=2)
    assert "diloco" in {entry.label for entry in longer.entries}


def test_methods_with_a_server_need_a_place_for_it(learning):
    file = learning(**{"network.topology": {"kind": "full-mesh", "nodes": 4}})
    found = candidates(file, (), shortest=100, jobs=2, methods=("fedavg", "allreduce"))
    names = {entry.name for entry in found.entries}
    assert "allreduce" in names
    assert ("fedavg" in names) != any(label.startswith("fedavg") for label in found.excluded)


def test_grids_name_options_that_are_there():
    from simnet.algorithms import algorithm_class

    for name, grid in GRIDS.items():
        default = algorithm_class(name)().model_dump()
        for options in grid:
            given = algorithm_class(name)(**options).model_dump()
            assert given != default
            assert set(options) <= set(default)


def test_a_method_that_fails_is_ranked_last_and_told(learning, tmp_path):
    (tmp_path / "broken.py").write_text(
        "from simnet import Algorithm\n\n\nclass Broken(Algorithm):\n"
        "    async def worker(self, node):\n        raise RuntimeError('it gives up')\n",
        encoding="utf-8",
    )
    file = learning(algorithms=["allreduce", {"name": "broken:Broken"}])
    answer = asked(file, ("allreduce", "broken"), seeds=1)
    assert [one.label for one in answer.ranking] == ["allreduce", "broken"]
    assert answer.ranking[-1].loss == inf
    assert "it gives up" in answer.ranking[-1].failure


def test_what_cannot_be_asked(learning):
    synthetic = {"name": "synthetic", "parameters": "10M", "step_seconds": "1 s"}
    with pytest.raises(ScenarioError, match="cannot be ranked"):
        asked(learning(task=synthetic))
    with pytest.raises(ScenarioError, match="steps per worker"):
        asked(learning(stop={"time": "10 min"}))
    with pytest.raises(SearchError, match="no method is called nobody"):
        asked(learning(), ("nobody",))
    with pytest.raises(SearchError, match="no method can run"):
        asked(learning(), ("pipedream",))


def test_from_the_command_line(learning, monkeypatch, capsys, tmp_path):
    words = ["simnet", "recommend", str(learning()), "--deadline", "5min", "--seeds", "1", "--budget", "30"]
    words += ["--results", str(tmp_path / "r"), "--method", "allreduce", "--method", "gossip"]
    monkeypatch.setattr("sys.argv", words)
    assert exit_code_of_main() == 0
    out = capsys.readouterr().out
    assert out.startswith("lowest loss at 5 min (the deadline), 90 steps at most")
    assert "One seed: nothing is known of luck" in out
    assert "runs of 30 of 90 steps: longer training may turn it round" in out
    assert "fewer than 2 rounds" in out
    assert "0 there before" in out
    monkeypatch.setattr("sys.argv", [*words, "--json"])
    assert exit_code_of_main() == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["cost"]["runs"] == 0
    assert {one["algorithm"] for one in answer["ranking"]} == {"allreduce", "gossip"}


def exit_code_of_main() -> int:
    try:
        main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0
