"""The command line, as a person or a script meets it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

SIMNET = [sys.executable, "-m", "simnet"]


@pytest.fixture
def scenario(small, tmp_path):
    path = tmp_path / "mine.yaml"
    methods = ["allreduce", {"name": "local-sgd", "local_steps": 2}]
    path.write_text(yaml.safe_dump(small({"algorithms": methods}), sort_keys=False))
    return path


def simnet(*arguments, cwd=None, **options):
    command = [*SIMNET, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, **options)


def test_run_json_is_a_list_with_one_object_per_run(scenario, tmp_path):
    done = simnet("run", scenario, "--results", tmp_path / "results", "--json")
    assert done.returncode == 0, done.stderr
    runs = json.loads(done.stdout)
    assert [run["algorithm"] for run in runs] == ["allreduce", "local-sgd"]
    for run in runs:
        assert set(run) == {
            "algorithm", "run", "virtual_seconds", "steps", "bytes_sent", "utilization",
            "goodput", "wasted_seconds", "final", "wall_seconds",
        }  # fmt: skip
        assert run["steps"] == 6
        assert run["virtual_seconds"] > 0
        assert run["final"]["loss"] > 0
        assert (Path(run["run"]) / "metrics.parquet").exists()


def test_run_prints_a_table_and_plot_draws(scenario, tmp_path):
    done = simnet("run", scenario, "--results", tmp_path / "results", "--plot")
    assert done.returncode == 0, done.stderr
    assert "local-sgd" in done.stdout
    figures = sorted((tmp_path / "results" / "small" / "figures").iterdir())
    assert [figure.suffix for figure in figures] == [".pdf", ".png"]
    again = simnet("plot", tmp_path / "results", "-o", tmp_path / "elsewhere", "--target", "2.2")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "elsewhere" / "loss.png").stat().st_size > 10_000
    drawn = simnet("plot", tmp_path / "results", "-o", tmp_path / "lines", "--timeline", "--until", "1s")
    assert drawn.returncode == 0, drawn.stderr
    assert len(list((tmp_path / "lines").glob("timeline-*.png"))) == 2


def test_set_overrides_any_key(scenario, tmp_path):
    done = simnet(
        "run", scenario, "--results", tmp_path / "r", "--json",
        "--set", "stop.steps=4", "--set", "algorithms.local-sgd.local_steps=4",
    )  # fmt: skip
    runs = json.loads(done.stdout)
    assert [run["steps"] for run in runs] == [4, 4]


@pytest.mark.parametrize(
    ("line", "replacement", "words"),
    [
        ("bandwidth: 100 Mbps", "bandwidth: 100", ["bandwidth", "100"]),
        ("bandwidth: 100 Mbps", "bandwidth: -5 Mbps", ["bandwidth", "-5"]),
        ("bandwidth: 100 Mbps", "bandwidth: 25 ms", ["bandwidth", "25 ms"]),
        ("bandwidth: 100 Mbps", "bandwith: 100 Mbps", ["bandwith", "did you mean `bandwidth`"]),
        ("dataset: digits", "dataset: {name: text-file, path: gone.txt}", ["task.dataset"]),
        ("dataset: digits", "dataset: {name: torchvision, dataset: MNIST}", ["simnet[hub]"]),
        ("seed: 0", "seed: [", ["mine.yaml"]),
    ],
)
def test_bad_input_is_one_message_exit_2_and_no_folder(scenario, tmp_path, line, replacement, words):
    text = scenario.read_text()
    assert line in text
    scenario.write_text(text.replace(line, replacement))
    done = simnet("run", scenario, "--results", tmp_path / "results")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    for word in [*words, "mine.yaml"]:
        assert word in done.stderr
    assert not (tmp_path / "results").exists()


def test_a_missing_file_and_an_unknown_name(tmp_path):
    for name in ("nowhere.yaml", "quikstart"):
        done = simnet("run", name, "--results", tmp_path / "results")
        assert done.returncode == 2
        assert name in done.stderr
        assert not (tmp_path / "results").exists()


def test_a_disk_that_takes_no_more_is_one_message(scenario, tmp_path):
    """Stood in for by a limit on the size of files: the run is done, its folder cannot be written."""
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512)); "
        "from simnet.cli.main import main; sys.argv[1:] = %r; main()"
    )
    arguments = ["run", str(scenario), "--results", str(tmp_path / "results")]
    done = subprocess.run(
        [sys.executable, "-c", code % arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert "cannot write" in done.stderr
    assert not list((tmp_path / "results").rglob("*.parquet"))


def heeding_ctrl_c() -> None:
    """A shell that starts tests in the background has them ignore SIGINT, and so their children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def test_ctrl_c_leaves_no_half_run(scenario, tmp_path):
    arguments = ["run", str(scenario), "--results", str(tmp_path / "results"), "--set", "stop.steps=1000000"]
    process = subprocess.Popen(
        [*SIMNET, *arguments], stderr=subprocess.PIPE, text=True, preexec_fn=heeding_ctrl_c
    )
    assert process.stderr is not None
    assert "started" in process.stderr.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "interrupted: the unfinished run was not written" in errors
    assert "Traceback" not in errors
    assert not list((tmp_path / "results").rglob("manifest.json"))
    assert not list((tmp_path / "results").rglob(".*"))


def test_validate_tells_every_problem(scenario, tmp_path):
    good = simnet("validate", scenario, "quickstart")
    assert good.returncode == 0, good.stderr
    assert "valid, 2 runs" in good.stdout
    bad = tmp_path / "bad.yaml"
    bad.write_text(scenario.read_text().replace("seed: 0", "sead: 0").replace("steps: 6", "steps: -6"))
    done = simnet("validate", scenario, bad)
    assert done.returncode == 2
    assert "sead" in done.stderr
    assert "stop.steps" in done.stderr


def test_check_says_what_held(scenario, tmp_path):
    scenario.write_text(scenario.read_text() + "expect:\n- bytes(allreduce) == 2 * bytes(local-sgd)\n")
    assert simnet("check", scenario).returncode == 0
    scenario.write_text(scenario.read_text() + "- time(allreduce) < time(local-sgd)\n")
    done = simnet("check", scenario, cwd=tmp_path)
    assert done.returncode == 1
    assert "FAIL small: time(allreduce) < time(local-sgd)" in done.stdout
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("algorithms", ["allreduce", "fedbuff", "local_steps (50)"]),
        ("topologies", ["star", "full-mesh", "ring", "explicit", "networkx"]),
        ("devices", ["t4", "l4", "rtx3090", "rtx4090", "a100", "h100", "h200", "cpu", "phone"]),
        ("datasets", ["digits", "python-docs", "python-sources", "torchvision"]),
        ("models", ["mlp", "cnn", "gpt", "positions"]),
        ("optimizers", ["sgd", "nesterov", "adamw", "lr (required)"]),
    ],
)
def test_list_shows_everything_that_can_be_named(kind, names):
    done = simnet("list", kind, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    for name in names:
        assert name in done.stdout


def test_init_writes_a_scenario_that_is_valid(tmp_path):
    assert simnet("init", cwd=tmp_path).returncode == 0
    assert simnet("validate", tmp_path / "scenario.yaml").returncode == 0
    again = simnet("init", cwd=tmp_path)
    assert again.returncode == 2
    assert "--force" in again.stderr


def test_schema_accepts_the_library_and_refuses_typos(scenario):
    done = simnet("schema")
    schema = json.loads(done.stdout)
    assert "diloco" in done.stdout
    assert schema["$schema"].endswith("2020-12/schema")


def test_help_teaches():
    done = simnet("--help")
    for command in ("run", "check", "validate", "plot", "list", "init", "schema"):
        assert command in done.stdout
    assert "quickstart" in done.stdout
    assert simnet("run", "--help").returncode == 0
    assert simnet("--version").stdout.startswith("simnet ")
    assert simnet("rum").returncode == 2
