"""`simnet transfers`, on runs and on flow cases."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from simnet.results import read_run

CASES = Path(__file__).parents[1] / "network" / "simgrid-cases.json"


def simnet(*arguments):
    command = [sys.executable, "-m", "simnet", *map(str, arguments)]
    env = {"COLUMNS": "200", "PATH": "", "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.fixture(scope="module")
def run_folder(small, tmp_path_factory):
    folder = tmp_path_factory.mktemp("transfers")
    mapping = small({"network.model": {"window": "20 kB", "slow_start": "per_flow"}, "workers": None})
    mapping["workers"] = [{"count": 3, "device": "cpu"}, {"count": 1, "device": "cpu", "uplink": "1 Mbps"}]
    (folder / "mine.yaml").write_text(yaml.safe_dump(mapping, sort_keys=False))
    done = simnet("run", folder / "mine.yaml", "--results", folder / "results", "--json")
    assert done.returncode == 0, done.stderr
    (summary,) = json.loads(done.stdout)
    assert read_run(Path(summary["run"])).bottleneck() == "n3->hub"
    return Path(summary["run"])


def test_the_slowest_transfers_and_why(run_folder):
    done = simnet("transfers", run_folder, "--slowest", 2)
    assert done.returncode == 0, done.stderr
    assert "the 2 slowest of" in done.stdout
    assert "n3->hub" in done.stdout
    assert "bottleneck of the run: n3->hub" in done.stdout


def test_a_run_goes_to_simgrid(run_folder, tmp_path):
    done = simnet("transfers", run_folder, "--export-simgrid", tmp_path / "sg")
    assert done.returncode == 0, done.stderr
    assert '<link id="n3-&gt;hub" bandwidth="125000.0Bps"' in (tmp_path / "sg" / "platform.xml").read_text()
    assert (tmp_path / "sg" / "flows.txt").read_text().count("\n") > 10


def test_cases_are_run_under_a_model(tmp_path):
    out = tmp_path / "out.json"
    done = simnet("transfers", CASES, "--model", "ideal", "--out", out)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    results = {result["id"]: result for result in json.loads(out.read_text())}
    for case in json.loads(CASES.read_text())["cases"]:
        expected = case["expected"]["maxmin_latency_last"]
        found = results[case["id"]]
        assert set(found) == {"id", "finish", "start", "makespan"}
        assert found["finish"] == pytest.approx(expected["finish"], rel=1e-9)
        assert len(found["start"]) == len(case["flows"])


def test_cases_go_to_standard_output_and_to_simgrid(tmp_path):
    printed = simnet("transfers", CASES)
    assert len(json.loads(printed.stdout)) == 13
    done = simnet("transfers", CASES, "--export-simgrid", tmp_path / "sg")
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "sg").iterdir())) == 13


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((CASES, "--model", "idael"), "ideal"),
        (("absent.json",), "cannot be read"),
        (("absent",), "does not exist"),
        ((CASES, "--out", "/absent/out.json"), "cannot be written"),
        (("absent", "--model", "ideal"), "flow cases"),
    ],
)
def test_mistakes_end_in_one_message(arguments, message):
    done = simnet("transfers", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
