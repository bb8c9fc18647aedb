"""What a host has recorded is read back as it was, also when its process was killed."""

import os
import signal
import time
from math import inf, isnan, nan
from pathlib import Path

import pytest

from simnet.emulation.rows import Rows, read_rows


def test_rows_come_back_as_they_were_recorded(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows")
    rows.metric(0.1, "n0", 3, "loss", inf)
    rows.metric(1 / 3, "n0", 4, "loss", nan)
    rows.transfer("ring \n", "n1", "n0", 17, 1e9 / 7, 0.25, 0.5)
    rows.span("n0", "compute", "ü", 0.0, 0.1)
    rows.close()
    found = read_rows([tmp_path / "rows"])
    assert found["metric"][0] == [0.1, "n0", 3, "loss", inf]
    assert found["metric"][1][:4] == [1 / 3, "n0", 4, "loss"]
    assert isnan(found["metric"][1][4])
    assert found["transfer"] == [["ring \n", "n1", "n0", 17.0, 1e9 / 7, 0.25, 0.5]]
    assert found["span"] == [["n0", "compute", "ü", 0.0, 0.1]]


def test_an_impossible_row_is_refused_where_it_is_recorded(tmp_path: Path) -> None:
    rows = Rows(tmp_path / "rows")
    with pytest.raises(ValueError, match="before its start at 2"):
        rows.span("n0", "compute", "train", 2.0, 1.0)
    rows.metric(2.0, "n0", 0, "loss", 1.0)
    with pytest.raises(ValueError, match="time runs backwards"):
        rows.metric(1.0, "n0", 0, "loss", 1.0)
    rows.close()
    assert len(read_rows([tmp_path / "rows"])["metric"]) == 1


def test_a_killed_process_leaves_its_rows(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        rows = Rows(tmp_path / "rows")
        rows.metric(1.0, "n0", 1, "loss", 0.5)
        rows.flush({"bytes_sent": 1.0})
        rows.flush({"bytes_sent": 7.0})
        rows.metric(2.0, "n0", 2, "loss", 0.4)  # is lost
        (tmp_path / "flushed").touch()
        time.sleep(30)
        os._exit(0)
    while not (tmp_path / "flushed").exists():
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found = read_rows([tmp_path / "rows"])
    assert found["metric"] == [[1.0, "n0", 1, "loss", 0.5]]
    assert found["totals"] == [[{"bytes_sent": 7.0}]]


def test_half_a_line_is_no_row(tmp_path: Path) -> None:
    (tmp_path / "rows").write_text('["span", "n0", "compute", "train", 0.0, 1.0]\n["span", "n0", "comp')
    assert read_rows([tmp_path / "rows"])["span"] == [["n0", "compute", "train", 0.0, 1.0]]
