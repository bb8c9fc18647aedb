"""`simnet batch` as a person or a script meets it, what it predicts, and what it shows."""

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from small_batches import carried_out

from simnet.batch import Ended, Standing, survey
from simnet.batch.predict import Cost, predict, probe, total
from simnet.cli.batch_screen import _Lines, _Screen
from simnet.cli.main import main
from simnet.scenario import load_file


@pytest.fixture
def simnet(monkeypatch, capsys):
    """Runs a command in this process; gives exit code, standard output and standard error."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["simnet", *map(str, words)])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        return (code, *capsys.readouterr())

    return run


def test_from_a_dry_run_to_a_table_and_back(simnet, scenario_file, tmp_path):
    file = scenario_file({"algorithms": ["allreduce", {"name": "mine:Mine"}]}, sweep={"seeds": 2})
    results = tmp_path / "results"
    command = ("batch", file, "--results", results, "--jobs", 2)
    code, out, _ = simnet(*command, "--dry-run")
    assert code == 0
    assert "4 of 4 runs to do" in out
    assert out.count("would run") == 4
    assert not results.exists()
    code, out, err = simnet(*command)
    assert code == 0
    assert out.splitlines()[2].split()[:7] == ["small", "allreduce", "2", "2", "0", "0", "0"]
    assert err.splitlines()[0] == "4 runs to do"
    assert err.splitlines()[-1].startswith("[4/4] done: small/")
    code, out, _ = simnet(*command, "--json")
    assert code == 0
    assert {run["status"] for run in json.loads(out)} == {"finished before"}
    code, out, _ = simnet(*command, "--dry-run", "--json", "--set", "sweep.seeds=3")
    statuses = [run["status"] for run in json.loads(out)]
    assert sorted(statuses) == ["finished"] * 4 + ["would run"] * 2
    predicted = [run["predicted"] for run in json.loads(out) if run["status"] == "would run"]
    assert all(cost["seconds"] > 0 and cost["memory_bytes"] > 1e7 for cost in predicted)


def test_a_failed_run_is_exit_code_1_until_it_is_mended(simnet, scenario_file, tmp_path):
    file = scenario_file({"algorithms": ["allreduce", {"name": "mine:Mine", "then": "fail"}]})
    command = ("batch", file, "--results", tmp_path / "results", "--jobs", 1)
    code, out, _ = simnet(*command)
    assert code == 1
    assert "failed: small/mine" in out
    assert "the method gives up" in out
    code, out, err = simnet(*command)
    assert code == 1
    assert "failed (before; --retry tries again): small/mine" in out
    assert "to do" not in err
    code, _, err = simnet(*command, "--retry")
    assert code == 1
    assert "1 run to do" in err
    code, out, _ = simnet(*command, "--dry-run", "--retry")
    assert (code, "would fail" in out, "the method gives up" in out) == (0, True, True)


def test_mistakes_are_exit_code_2_before_anything_runs(simnet, scenario_file, tmp_path):
    methods = ["allreduce", {"name": "local-sgd", "local_steps": 2}]
    sweep = {"algorithms.local-sgd.local_steps": [2, -1]}
    file = scenario_file({"algorithms": methods}, sweep=sweep)
    results = tmp_path / "results"
    code, _, err = simnet("batch", file, "--results", results)
    assert code == 2  # at the second point: found without building it
    assert "local_steps" in err
    assert "given:    local_steps: -1" in err
    assert not results.exists()
    assert simnet("batch", file, "--results", results, "--set", "sweep.seed=3")[0] == 2
    assert simnet("batch", "no-such-file.yaml")[0] == 2
    good = ("--set", "sweep={}")
    assert simnet("batch", file, *good, "--results", results, "--address", "auto")[0] == 2
    assert simnet("batch", file, *good, "--results", results, "--slurm", "partition=x")[0] == 2
    code, _, err = simnet("batch", file, *good, "--results", results, "--engine", "slurm", "--slurm", "x")
    assert (code, "not KEY=VALUE" in err) == (2, True)
    place = tmp_path / "file"
    place.write_text("")
    code, _, err = simnet("batch", file, *good, "--results", place)
    assert code == 2
    assert err.count("error:") == 1


def test_a_probe_of_a_short_run_is_the_run_itself(scenario_file, tmp_path):
    file = scenario_file(sweep={"seeds": 2})
    batch, _, _ = carried_out(file, tmp_path / "results", jobs=1)
    costs = dict(zip(("first", "second"), [cost for _, cost in predict(batch.runs, 1)], strict=True))
    first, second = costs["first"], costs["second"]
    assert isinstance(first, Cost)
    assert isinstance(second, Cost)
    assert (first.how, second.how) == ("whole run", "other seed")
    size = sum(file.stat().st_size for file in batch.runs[0].folder.iterdir())
    assert first.disk_bytes == pytest.approx(size, abs=40)  # but for the digits of the real time
    assert second.disk_bytes == first.disk_bytes


def test_a_probe_of_a_long_run_goes_on_in_proportion(scenario_file, tmp_path):
    file = scenario_file({"stop.steps": 3000, "evaluate.every": "10 steps"})
    (run,) = survey([load_file(file)], tmp_path / "results").to_do
    cost = probe(run.scenario, seconds=0.0)
    assert cost.how == "probe"
    carried_out(file, tmp_path / "results", jobs=1)
    size = sum(file.stat().st_size for file in run.folder.glob("*.parquet"))
    assert size / 4 < cost.disk_bytes  # the first steps' tables compress worse than long ones
    longer = probe(run.scenario, seconds=0.3)
    assert size / 2 < longer.disk_bytes < 2 * size


@given(st.lists(st.floats(0, 100)), st.integers(1, 5))
def test_the_total_lies_between_the_bounds_of_any_schedule(seconds, jobs):
    costs = {Path(str(i)): Cost(value, 0.0, 2.0, "probe") for i, value in enumerate(seconds)}
    time, disk = total(costs, jobs)
    assert disk == 2 * len(seconds)
    longest = max(seconds, default=0.0)
    assert max(sum(seconds) / jobs, longest) <= time + 1e-9
    assert time <= sum(seconds) / jobs + longest + 1e-9
    if jobs == 1:
        assert time == pytest.approx(sum(seconds))


def test_one_screen_shows_all_that_goes_on(scenario_file, tmp_path):
    batch = survey([load_file(scenario_file(sweep={"seeds": 3}))], tmp_path)
    console = Console(file=io.StringIO(), force_terminal=True, width=120, color_system=None)
    screen = _Screen(console, batch)

    def shown() -> str:
        with console.capture() as captured:
            console.print(screen.live.renderable)
        return captured.get()

    one, two, three = batch.runs
    screen.began(one)
    screen.began(two)
    screen.stands(two, Standing(0.5, 3.0, 2.25, 1234.0))
    text = shown()
    assert "0/3" in text
    assert "small/allreduce [seed=0]" in text
    assert "loss 2.2500" in text
    assert "1,234 steps/s" in text
    screen.ended(two, Ended("done", seconds=1.0))
    screen.ended(one, Ended("failed", "it broke [here]"))
    text = shown()
    assert "2/3" in text
    assert "1 failed" in text
    assert "[seed=0]" not in text
    screen.began(three)
    screen.ended(three, Ended("elsewhere"))
    assert "3/3" in shown()
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert "failed: small/allreduce [seed=0]: it broke [here]" in output


def test_lines_where_there_is_no_terminal(scenario_file, tmp_path):
    batch = survey([load_file(scenario_file(sweep={"seeds": 2}))], tmp_path)
    console = Console(file=io.StringIO(), width=40)
    lines = _Lines(console, batch)
    lines.ended(batch.runs[0], Ended("done", seconds=2.0))
    lines.ended(batch.runs[1], Ended("failed", "because"))
    assert console.file.getvalue().splitlines() == [  # type: ignore[attr-defined]
        "2 runs to do",
        "[1/2] done: small/allreduce [seed=0] (2.00 s)",
        "[2/2] failed: small/allreduce [seed=1]: because",
    ]
