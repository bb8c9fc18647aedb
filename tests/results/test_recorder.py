from __future__ import annotations

import io
import math
import subprocess
import sys
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.results import Recorder


def row(**changes: Any) -> dict[str, Any]:
    values = {"id": 7, "kind": "push", "source": "a", "target": "b", "raw_bytes": 1, "bytes": 2}
    return values | {"start": 1, "left": 2, "delivered": 3, "status": "delivered"} | changes


def test_rows_come_back_in_the_order_of_recording(recorder: Recorder) -> None:
    metrics = recorder.tables()["metrics"].to_pylist()
    assert metrics[:2] == [
        {"time": 0.0, "node": "", "step": 0, "name": "loss", "value": 4.0},
        {"time": 0.0, "node": "", "step": 0, "name": "accuracy", "value": 0.0},
    ]
    assert [(m["node"], m["value"]) for m in metrics if m["name"] == "loss"][-2:] == [("", 2.5), ("w0", 3.5)]
    transfers = recorder.tables()["transfers"].to_pylist()
    assert (transfers[0]["left"], transfers[0]["delivered"]) == (1.0, 1.5)
    assert (transfers[1]["left"], transfers[1]["delivered"]) == (None, None)
    assert recorder.tables()["spans"].to_pylist() == [
        {"node": "w0", "kind": "compute", "name": "train", "start": 0.0, "end": 8.0}
    ]


def test_what_bound_transfers_comes_back() -> None:
    recorder = Recorder()
    recorder.transfer(**row(), mean_rate=2.0, bound={"a->b": 0.75, "latency": 1.0, "c->d": 0.25})
    recorder.transfer(**row(id=8, left=None, delivered=None, status="cancelled"))
    first, second = recorder.tables()["transfers"].to_pylist()
    assert (first["mean_rate"], first["bound_by"]) == (2.0, "latency")
    assert first["bound"] == [("a->b", 0.75), ("latency", 1.0), ("c->d", 0.25)]
    assert (second["mean_rate"], second["bound_by"], second["bound"]) == (None, "", [])
    with pytest.raises(ValueError, match="zero or more seconds"):
        recorder.transfer(**row(), bound={"a->b": -1.0})


def test_link_use_comes_back() -> None:
    recorder = Recorder()
    recorder.links(["a->b", "c->d"], [0.0, 1.0], [1.0, 2.0], [10.0, 20.0], [100.0, math.inf])
    assert recorder.tables()["links"].to_pylist() == [
        {"resource": "a->b", "start": 0.0, "end": 1.0, "bytes": 10.0, "capacity": 100.0},
        {"resource": "c->d", "start": 1.0, "end": 2.0, "bytes": 20.0, "capacity": math.inf},
    ]
    with pytest.raises(ValueError, match="different lengths"):
        recorder.links(["a->b"], [], [], [], [])


@given(
    st.lists(
        st.tuples(
            st.floats(0, 1e12), st.sampled_from(["", "w0", "w1"]), st.sampled_from(["a", "b"]), st.floats()
        )
    )
)
def test_metrics_survive_the_file(rows: list[tuple[float, str, str, float]]) -> None:
    rows.sort(key=lambda row: row[0])
    recorder = Recorder()
    for step, (time, node, name, value) in enumerate(rows):
        recorder.metric(time, node, step, name, value)
    back = pq.read_table(io.BytesIO(recorder.files()["metrics.parquet"])).to_pylist()
    assert [(r["time"], r["node"], r["name"]) for r in back] == [row[:3] for row in rows]
    assert [r["step"] for r in back] == list(range(len(rows)))
    for r, (*_, value) in zip(back, rows, strict=True):
        assert r["value"] == value or (math.isnan(r["value"]) and math.isnan(value))


def test_equal_rows_give_equal_bytes_in_another_process(recorder: Recorder) -> None:
    code = """
import sys
from simnet.results import Recorder
r = Recorder()
for i in range(1000):
    r.metric(i / 7, f"w{i % 5}", i, "train_loss", 1 / (i + 1))
    r.transfer(i, "push", "a", "b", i, 2 * i, i, i + 1, None if i % 3 else i + 2, "sent")
    r.span(f"w{i % 5}", "compute", "train", i, i + 1)
sys.stdout.buffer.write(b"".join(r.files().values()))
"""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "TZ": zone, "USER": user},
        ).stdout
        for seed, zone, user in (("1", "UTC", "one"), ("2", "Asia/Tokyo", "two"))
    ]
    assert outputs[0] == outputs[1]
    assert len(outputs[0]) > 1000


def test_files_say_their_schema_and_nothing_of_their_surroundings(recorder: Recorder) -> None:
    for content in recorder.files().values():
        metadata = pq.read_metadata(io.BytesIO(content))
        assert set(metadata.metadata) <= {b"simnet_schema", b"ARROW:schema"}
        assert metadata.metadata[b"simnet_schema"] == b"3"


def test_an_empty_recorder_gives_empty_tables_with_all_columns() -> None:
    tables = Recorder().tables()
    assert [tables[name].num_rows for name in ("metrics", "transfers", "spans")] == [0, 0, 0]
    assert tables["metrics"].column_names == ["time", "node", "step", "name", "value"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((math.nan, "", 0, "loss", 1.0), "finite"),
        ((math.inf, "", 0, "loss", 1.0), "finite"),
        ((29.0, "", 0, "loss", 1.0), "backwards"),
        ((30.0, "", -1, "loss", 1.0), "step"),
        ((30.0, "", 0, "", 1.0), "empty"),
    ],
)
def test_impossible_metrics_are_refused_and_leave_no_trace(
    recorder: Recorder, arguments: tuple[Any, ...], message: str
) -> None:
    before = recorder.files()
    with pytest.raises(ValueError, match=message):
        recorder.metric(*arguments)
    assert recorder.files() == before


def test_time_is_monotone_per_series_only() -> None:
    recorder = Recorder()
    recorder.metric(5.0, "w0", 1, "train_loss", 1.0)
    recorder.metric(4.0, "w1", 1, "train_loss", 1.0)
    recorder.metric(5.0, "w0", 2, "train_loss", math.nan)
    assert recorder.tables()["metrics"].num_rows == 3


@pytest.mark.parametrize("bad", [{"step": 1.5}, {"node": None}, {"name": 3}, {"value": "high"}])
def test_metrics_of_the_wrong_kind_are_refused(bad: dict[str, Any]) -> None:
    recorder = Recorder()
    good: dict[str, Any] = {"time": 0.0, "node": "new", "step": 0, "name": "loss", "value": 1.0}
    with pytest.raises((TypeError, ValueError)):
        recorder.metric(**(good | bad))
    recorder.metric(**good)
    assert recorder.tables()["metrics"].num_rows == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"bytes": -1},
        {"bytes": math.inf},
        {"raw_bytes": math.nan},
        {"start": math.nan},
        {"left": 0.5},
        {"left": None, "delivered": 0.5},
        {"delivered": math.inf},
        {"source": ""},
        {"target": ""},
        {"status": ""},
    ],
)
def test_impossible_transfers_are_refused_and_leave_no_trace(bad: dict[str, Any]) -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match="transfer"):
        recorder.transfer(**row(**bad))
    recorder.transfer(**row(left=math.nan, delivered=None, kind=""))
    assert recorder.tables()["transfers"].num_rows == 1


@pytest.mark.parametrize(
    "bad",
    [("", "compute", "a", 0, 1), ("w", "", "a", 0, 1), ("w", "wait", "", 0, 1), ("w", "wait", "a", 2, 1)],
)
def test_impossible_spans_are_refused(bad: tuple[Any, ...]) -> None:
    recorder = Recorder()
    with pytest.raises(ValueError, match="span"):
        recorder.span(*bad)
    assert recorder.tables()["spans"].num_rows == 0
