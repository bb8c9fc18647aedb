"""Traces keep to the format: slices that do not overlap in a lane, arrows that begin and end in one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.results import Manifest, Recorder, ResultsError, Run, read_run, write_run
from simnet.results.trace import _lanes, trace_events, write_trace

Event = dict[str, Any]


@pytest.fixture
def run(tmp_path: Path, fields: dict[str, Any]) -> Run:
    recorder = Recorder()
    recorder.metric(0.0, "", 0, "loss", 4.0)
    recorder.metric(2.0, "", 1, "loss", float("nan"))
    recorder.span("n10", "compute", "train", 0.0, 1.0)
    recorder.span("n2", "compute", "train", 0.5, 2.0)
    recorder.span("n2", "collective", "all_reduce", 1.0, 3.0)
    recorder.transfer(
        7, "update", "n2", "n10", 4.0, 400.0, 1.0, 2.0, 2.5, "delivered", 400.0, {"n2->hub": 1.0}
    )
    recorder.transfer(8, "", "n2", "n10", 4.0, 400.0, 1.5, 2.5, 3.0, "delivered")
    recorder.transfer(9, "", "n10", "n2", 4.0, 400.0, 2.0, None, None, "cancelled")
    return read_run(write_run(tmp_path / "run", recorder, "name: made\n", Manifest(**fields)))


def slices(events: list[Event], pid: int, tid: int) -> list[Event]:
    return [one for one in events if one["ph"] == "X" and (one["pid"], one["tid"]) == (pid, tid)]


def check(events: list[Event]) -> None:
    """What the format asks of any trace."""
    timed = [one for one in events if one["ph"] != "M"]
    assert [one["ts"] for one in timed] == sorted(one["ts"] for one in timed)
    lanes: dict[tuple[int, int], float] = {}
    for one in timed:
        if one["ph"] == "X":
            assert one["dur"] >= 0
            assert one["ts"] >= lanes.get((one["pid"], one["tid"]), 0.0) - 1e-6, "slices of a lane overlap"
            lanes[one["pid"], one["tid"]] = one["ts"] + one["dur"]
    named = {(one["pid"], one["tid"]) for one in events if one["name"] == "thread_name"}
    assert set(lanes) <= named
    arrows: dict[int, list[Event]] = {}
    for one in timed:
        if one["ph"] in "sf":
            arrows.setdefault(one["id"], []).append(one)
            inside = slices(events, one["pid"], one["tid"])
            assert any(s["ts"] <= one["ts"] <= s["ts"] + s["dur"] for s in inside), "an arrow in the air"
    for ends in arrows.values():
        assert [end["ph"] for end in ends] == ["s", "f"]
        assert ends[0]["pid"] != ends[1]["pid"]


def test_a_trace_keeps_to_the_format_and_says_what_was(run: Run) -> None:
    events = trace_events(run)
    check(events)
    names = {one["pid"]: one["args"]["name"] for one in events if one["name"] == "process_name"}
    assert names == {0: "whole system", 1: "n2", 2: "n10"}
    threads = [(one["pid"], one["args"]["name"]) for one in events if one["name"] == "thread_name"]
    assert threads == [
        (1, "computation"), (1, "collectives and waits"), (1, "sends"), (1, "sends 2"),
        (2, "computation"), (2, "sends"), (2, "receives"), (2, "receives 2"),
    ]  # fmt: skip
    train = next(one for one in events if one["ph"] == "X" and one["pid"] == 2 and one["name"] == "train")
    assert (train["ts"], train["dur"]) == (0.0, 1e6)  # a second is a million microseconds
    sent = next(one for one in events if one["name"] == "update to n10")
    assert sent["args"] == {
        "id": 7, "bytes": 400.0, "raw_bytes": 4.0, "status": "delivered",
        "mean_rate_bytes_per_second": 400.0, "bound_by": "n2->hub",
    }  # fmt: skip
    got = next(one for one in events if one["name"] == "update from n2")
    assert (got["ts"], got["dur"]) == (1.5e6, 1e6)
    lost = next(one for one in events if one.get("args", {}).get("status") == "cancelled")
    assert lost["ts"] + lost["dur"] == run.manifest.virtual_seconds * 1e6
    assert sum(one["ph"] == "s" for one in events) == 2
    assert [one["args"] for one in events if one["ph"] == "C"] == [{"loss": 4.0}]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 10)), max_size=40))
def test_lanes_are_as_many_as_overlap_at_once(raw: list[tuple[int, int]]) -> None:
    times = sorted((float(start), float(start + length)) for start, length in raw)
    lanes = _lanes(times)
    for i, (start, end) in enumerate(times):
        for j in range(i):
            if lanes[i] == lanes[j]:
                assert times[j][1] <= start or times[j] == (start, start), (times[i], times[j], end)
    deepest = max((sum(a <= t < b for a, b in times) for t, _ in times), default=0)
    empty = sum(a == b for a, b in times)
    assert len(set(lanes)) <= deepest + (1 if empty else 0)


@pytest.mark.parametrize("algorithm", ["allreduce", "fedbuff", "d-psgd"])
def test_traces_of_real_runs_keep_to_the_format(algorithm: str, small: Any, tmp_path: Path) -> None:
    import simnet
    from simnet.scenario import Scenario

    entry = {"name": algorithm, **({"local_steps": 2} if algorithm == "fedbuff" else {})}
    (run,) = simnet.run(Scenario.model_validate(small({"algorithms": [entry]})), tmp_path)
    events = trace_events(run)
    check(events)
    delivered = (run.transfers["status"] == "delivered").sum()
    assert sum(one["ph"] == "s" for one in events) == delivered > 0
    spans = [one for one in events if one["ph"] == "X" and one["cat"] != "transfer"]
    assert len(spans) == len(run.spans)


def test_files_are_json_whole_and_may_be_packed(run: Run, tmp_path: Path) -> None:
    count = write_trace(run, tmp_path / "deep" / "trace.json")
    data = json.loads((tmp_path / "deep" / "trace.json").read_text(), parse_constant=pytest.fail)
    assert len(data["traceEvents"]) == count
    write_trace(run, tmp_path / "trace.json.gz")
    assert json.loads(gzip.decompress((tmp_path / "trace.json.gz").read_bytes())) == data
    with pytest.raises(ResultsError, match=r"neither a \.json"):
        write_trace(run, tmp_path / "trace.txt")
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot write"):
        write_trace(run, tmp_path / "file" / "trace.json")
