"""Batches on processes of this machine: the same results as one by one, and nothing lost when things fail."""

import errno
import json
import os
import subprocess
import threading
from pathlib import Path

import pytest
from small_batches import carried_out

import simnet
from simnet.batch import LocalEngine, Report, carry_out_batch, survey
from simnet.batch.engine import Task
from simnet.batch.failure import failure_file, read_failure, record_failure
from simnet.batch.work import attempt
from simnet.results import ResultsError, folder
from simnet.scenario import load_file


def contents(results: Path) -> dict[str, bytes]:
    """Every file of every run, but for the real time in the manifests."""
    found = {}
    for file in sorted(results.rglob("*")):
        if file.is_file():
            data = file.read_bytes()
            if file.name == "manifest.json":
                stated = json.loads(data)
                del stated["wall_seconds"]
                data = json.dumps(stated).encode()
            found[str(file.relative_to(results))] = data
    return found


def test_results_are_the_same_bytes_for_any_number_of_jobs_and_as_of_simnet_run(scenario_file, tmp_path):
    methods = ["allreduce", {"name": "local-sgd", "local_steps": 2}, {"name": "fedbuff", "local_steps": 2}]
    file = scenario_file({"algorithms": methods}, sweep={"seeds": 2})
    for jobs in (1, 3):
        _, report, notes = carried_out(file, tmp_path / f"jobs-{jobs}", jobs)
        assert report.all_fine
        assert len(notes.begun) == len(notes.outcomes) == 6
    simnet.run(file, tmp_path / "run")
    one = contents(tmp_path / "jobs-1")
    assert len(one) == 6 * 6
    assert contents(tmp_path / "jobs-3") == one
    assert contents(tmp_path / "run") == one


def test_what_is_finished_is_skipped_and_a_hyperparameter_reruns_what_it_touches(scenario_file, tmp_path):
    methods = ["allreduce", {"name": "local-sgd", "local_steps": 2}]
    results = tmp_path / "results"
    carried_out(scenario_file({"algorithms": methods}, sweep={"seeds": 2}), results)
    before = contents(results)
    stamps = {file: file.stat().st_mtime_ns for file in results.rglob("*.parquet")}
    methods[1]["local_steps"] = 3
    batch, _, notes = carried_out(scenario_file({"algorithms": methods}, sweep={"seeds": 2}), results)
    assert len(batch.finished) == 2
    assert notes.begun == ["small/local-sgd [seed=0]", "small/local-sgd [seed=1]"]
    assert before.items() <= contents(results).items()
    assert all(file.stat().st_mtime_ns == stamp for file, stamp in stamps.items())
    sweep = {"algorithms.local-sgd.local_steps": [2, 3], "seeds": 3}
    batch, _, notes = carried_out(scenario_file({"algorithms": methods}, sweep=sweep), results)
    assert len(batch.runs) == 9  # allreduce does not have the swept key: three seeds of it
    assert len(batch.finished) == 6
    assert sorted(notes.begun) == [
        "small/allreduce [seed=2]",
        "small/local-sgd [algorithms.local-sgd.local_steps=2, seed=2]",
        "small/local-sgd [algorithms.local-sgd.local_steps=3, seed=2]",
    ]


def test_a_failure_stops_nothing_and_is_tried_again_only_when_asked(scenario_file, tmp_path):
    results = tmp_path / "results"
    sweep = {"algorithms.mine.then": ["", "fail", "die"], "seeds": 2}
    file = scenario_file({"algorithms": [{"name": "mine:Mine"}]}, sweep=sweep)
    batch, report, _ = carried_out(file, results)
    assert len(report.done) == 2
    assert len(report.failed) == 4
    assert not report.all_fine
    messages = sorted(report.failed.values())
    assert sum("the method gives up" in message and "mine.py" in message for message in messages) == 2
    assert sum("SIGKILL" in message for message in messages) == 2
    for run in batch.runs:
        failure = read_failure(run)
        assert run.finished == (failure is None)
        if failure is not None:
            assert failure.message == report.failed[run.folder]
            assert failure.digest == run.digest
            assert ("RuntimeError" in failure.traceback) == ("gives up" in failure.message)

    again, report, notes = carried_out(file, results)
    assert (len(again.finished), len(again.failed), notes.begun) == (2, 4, [])
    assert not report.all_fine
    _, report, notes = carried_out(file, results, retry=True)
    assert len(notes.begun) == 4
    assert len(report.failed) == 4

    run = next(run for run in batch.runs if not run.finished)
    mended = (tmp_path / "mine.py").read_text().replace('"fail"', '"sail"').replace('"die"', '"dye"')
    (tmp_path / "mine.py").write_text(mended)
    batch, report, _ = carried_out(file, results)  # other code is another run, which has not failed
    assert report.all_fine
    assert run.folder not in {run.folder for run in batch.runs}


def test_a_run_that_succeeds_at_last_leaves_no_record(scenario_file, tmp_path):
    gate = tmp_path / "gate"
    file = scenario_file({"algorithms": [{"name": "mine:Mine"}]})
    source = (tmp_path / "mine.py").read_text()
    (tmp_path / "mine.py").write_text(
        source.replace('self.then == "fail"', f"not os.path.exists({str(gate)!r})")
    )
    batch, report, _ = carried_out(file, tmp_path / "results")
    assert report.failed
    assert failure_file(batch.runs[0]).exists()
    gate.touch()
    _, report, _ = carried_out(file, tmp_path / "results", retry=True)
    assert report.all_fine
    assert {path.name for path in (tmp_path / "results" / "small").iterdir()} == {batch.runs[0].folder.name}


def test_what_a_kill_just_before_the_end_leaves_is_removed(scenario_file, tmp_path):
    file = scenario_file()
    batch, _, _ = carried_out(file, tmp_path / "results")
    (run,) = batch.runs
    record_failure(run, "before it worked")
    lock = run.folder.parent / ".locks" / run.folder.name
    lock.parent.mkdir()
    lock.touch()
    _, report, notes = carried_out(file, tmp_path / "results")
    assert report.all_fine
    assert not notes.begun
    assert list(run.folder.parent.iterdir()) == [run.folder]


def test_two_batches_at_once_share_the_runs(scenario_file, tmp_path):
    log = tmp_path / "log"
    mine = {"name": "mine:Mine", "pause": 0.02, "log": str(log)}
    file = scenario_file({"algorithms": [mine]}, sweep={"seeds": 6})
    reports: list[Report] = []

    def one() -> None:
        reports.append(carried_out(file, tmp_path / "results", jobs=2)[1])

    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [report.all_fine for report in reports] == [True, True]
    assert log.read_text().split() == ["ran"] * 6
    assert sum(len(report.seconds) for report in reports) == 6
    assert not [path for path in (tmp_path / "results" / "small").iterdir() if path.name.startswith(".")]


def test_a_run_that_another_batch_failed_meanwhile_is_not_run_again(scenario_file, tmp_path):
    log = tmp_path / "log"
    mine = {"name": "mine:Mine", "then": "fail", "log": str(log)}
    (run,) = survey([load_file(scenario_file({"algorithms": [mine]}))], tmp_path / "results").to_do
    first = attempt(run, None, 0.0, lambda standing: None)
    second = attempt(run, None, 0.0, lambda standing: None)
    assert first.status == second.status == "failed"
    assert first.message == second.message
    assert log.read_text().split() == ["ran"]


def test_warnings_of_runs_are_collected(scenario_file, tmp_path):
    file = scenario_file({"algorithms": [{"name": "mine:Mine"}]}, sweep={"seeds": 2})
    text = (tmp_path / "mine.py").read_text()
    warn = "        import warnings\n        from simnet.network import NetworkWarning\n"
    warn += "        warnings.warn('mind the gap', NetworkWarning)\n"
    (tmp_path / "mine.py").write_text(text.replace("        while node", warn + "        while node", 1))
    _, report, _ = carried_out(file, tmp_path / "results")
    assert report.warnings == ["mind the gap"]


def mounted(place: Path, options: str) -> bool:
    place.mkdir()
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def test_a_full_disk_stops_the_batch_with_one_message(scenario_file, tmp_path, monkeypatch):
    file = scenario_file(sweep={"seeds": 12})
    place = tmp_path / "disk"
    if mounted(place, "size=128k"):
        try:
            documents = [load_file(file)]
            batch = survey(documents, place)
            report = Report(batch)
            with pytest.raises(ResultsError, match=r"No space left.*bytes needed.*free"):
                carry_out_batch(batch, LocalEngine(2), report, Silent())
            whole = [path for path in (place / "small").iterdir() if not path.name.startswith(".")]
            assert 0 < len(whole) == len(survey(documents, place).finished) < 12
        finally:
            subprocess.run(["umount", str(place)], check=True)
    else:
        (run, *_) = survey([load_file(file)], place).to_do

        def full(path: Path, content: bytes) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(folder, "_write_file", full)
        ended = attempt(run, None, 0.0, lambda standing: None)
        assert ended.status == "unwritable"
        assert "No space left" in ended.message
        assert not run.folder.exists()


def test_a_read_only_folder_is_found_before_anything_runs(scenario_file, tmp_path, monkeypatch):
    batch = survey([load_file(scenario_file(sweep={"seeds": 2}))], tmp_path / "disk")
    if not mounted(tmp_path / "disk", "ro,size=64k"):

        def read_only(path: Path, content: bytes) -> None:
            raise OSError(errno.EROFS, "Read-only file system")

        monkeypatch.setattr(folder, "_write_file", read_only)
    try:
        with pytest.raises(ResultsError, match=r"Read-only file system .choose a results folder"):
            carry_out_batch(batch, NeverUsed(), Report(batch), Silent())
    finally:
        subprocess.run(["umount", str(tmp_path / "disk")], check=False, capture_output=True)


class Silent:
    def began(self, run: object) -> None: ...
    def stands(self, run: object, standing: object) -> None: ...
    def ended(self, run: object, ended: object) -> None: ...


class NeverUsed:
    def carry_out(self, tasks: list[Task]):
        raise AssertionError("nothing is to run")
        yield
