"""A claim is held by one process at a time, and by no dead one."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

from simnet.batch.claim import claimed

fork = multiprocessing.get_context("fork")


def count(folder: Path, times: int) -> None:
    for _ in range(times):
        with claimed(folder, patience_seconds=60) as mine:
            assert mine
            counter = folder.parent.parent / "counter"
            value = int(counter.read_text()) if counter.exists() else 0
            time.sleep(0.001)
            counter.write_text(str(value + 1))


def hold(folder: Path, held) -> None:
    with claimed(folder) as mine:
        assert mine
        held.set()
        time.sleep(60)


def test_no_two_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr("simnet.batch.claim.PAUSE_SECONDS", 0.0005)
    folder = tmp_path / "scenario" / "run"
    processes = [fork.Process(target=count, args=(folder, 25)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "counter").read_text() == "100"
    assert list((tmp_path / "scenario").iterdir()) == []


def test_the_dead_hold_nothing(tmp_path):
    folder, held = tmp_path / "run", fork.Event()
    process = fork.Process(target=hold, args=(folder, held))
    process.start()
    held.wait()
    with claimed(folder) as mine:
        assert not mine
    with claimed(tmp_path / "other") as mine:
        assert mine
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    with claimed(folder) as mine:
        assert mine
        with claimed(folder) as again:
            assert not again
    assert list(tmp_path.iterdir()) == []
