"""A batch that is killed, again and again, is complete in the end: every run once, whole."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from simnet.results import read_run, read_runs

RUNS = 24


def command(file: Path, results: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "simnet", "batch", str(file), "--results", str(results), *more]


def started(file: Path, results: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(file, results, *more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that starts tests in the background has them ignore SIGINT, and so their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def processes_that_know(text: str) -> list[int]:
    """Processes of a batch: those with `text` in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if text.encode() in (process / "environ").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def wait_until_gone(text: str) -> None:
    until = time.monotonic() + 20
    while alive := processes_that_know(text):
        assert time.monotonic() < until, f"left behind: {alive}"
        time.sleep(0.05)


def killed_and_completed(file: Path, results: Path, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mark = f"SIMNET_TEST_{random.getrandbits(64):x}"
    monkeypatch.setenv(mark, "1")
    chance = random.Random(7)
    inodes: dict[Path, int] = {}
    kills = 0
    while kills < times:
        batch = started(file, results)
        begun = results / "small"
        deadline = time.monotonic() + 60
        before = len(list(begun.glob("[!.]*"))) if begun.exists() else 0
        if chance.random() < 0.8:  # most kills come when runs are going on, some while it starts
            while batch.poll() is None and time.monotonic() < deadline:
                if begun.exists() and len(list(begun.glob("[!.]*"))) > before:
                    break
                time.sleep(0.02)
        time.sleep(chance.uniform(0, 0.5))
        if batch.poll() is not None:
            break  # everything was done before the last kill
        batch.send_signal(signal.SIGKILL)
        batch.communicate()
        kills += 1
        wait_until_gone(f"{mark}=1")
        for manifest in results.glob("small/[!.]*/manifest.json"):
            assert len(read_run(manifest.parent).metrics) > 0
            inode = manifest.stat().st_ino
            assert inodes.setdefault(manifest, inode) == inode, "a finished run was run again"
    assert kills >= min(times, 3)
    last = subprocess.run(command(file, results), capture_output=True, text=True, check=False)
    assert last.returncode == 0, last.stderr
    runs = read_runs(results)
    assert len(runs) == RUNS
    assert sorted(run.manifest.seed for run in runs) == list(range(RUNS))
    for manifest, inode in inodes.items():
        assert manifest.stat().st_ino == inode
    for run in runs:
        assert len(run.metrics) > 0
        assert len(run.spans) > 0
        assert len(run.transfers) == len(run.links) == 0  # readable; this method sends nothing
    left = [path.name for path in (results / "small").iterdir() if path.name.startswith(".")]
    assert not left
    wait_until_gone(f"{mark}=1")


@pytest.fixture
def file(scenario_file):
    mine = {"name": "mine:Mine", "pause": 0.03}
    return scenario_file({"algorithms": [mine]}, sweep={"seeds": RUNS})


def test_killed_four_times(file, tmp_path, monkeypatch):
    killed_and_completed(file, tmp_path / "results", 4, monkeypatch)


@pytest.mark.claims
def test_killed_twenty_times(scenario_file, tmp_path, monkeypatch):
    mine = {"name": "mine:Mine", "pause": 0.1}
    slow = scenario_file({"algorithms": [mine]}, sweep={"seeds": RUNS})
    killed_and_completed(slow, tmp_path / "results", 20, monkeypatch)


def test_ctrl_c_ends_it_cleanly(file, tmp_path, monkeypatch):
    mark = f"SIMNET_TEST_{random.getrandbits(64):x}"
    monkeypatch.setenv(mark, "1")
    results = tmp_path / "results"
    batch = started(file, results)
    while not list(results.glob("small/[!.]*/manifest.json")):
        assert batch.poll() is None, batch.communicate()
        time.sleep(0.05)
    batch.send_signal(signal.SIGINT)
    out, err = batch.communicate(timeout=20)
    assert batch.returncode == 130, err
    assert "interrupted" in err
    assert "Traceback" not in err
    assert "not run" in out
    wait_until_gone(f"{mark}=1")
    assert read_runs(results)


def test_a_killed_worker_fails_its_run_alone(file, tmp_path, monkeypatch):
    mark = f"SIMNET_TEST_{random.getrandbits(64):x}"
    monkeypatch.setenv(mark, "1")
    results = tmp_path / "results"
    batch = started(file, results, "--jobs", "1", "--json")
    while not (locks := list(results.glob("small/.locks/*"))):
        assert batch.poll() is None, batch.communicate()
        time.sleep(0.01)
    holder = next(
        int(line.split()[4])
        for line in Path("/proc/locks").read_text().splitlines()
        if "FLOCK" in line and line.split()[5].endswith(f":{locks[0].stat().st_ino}")
    )
    os.kill(holder, signal.SIGKILL)
    out, err = batch.communicate(timeout=60)
    assert batch.returncode == 1, err
    assert "SIGKILL" in out
    assert out.count('"status": "failed"') == 1
    assert out.count('"status": "done"') == RUNS - 1
