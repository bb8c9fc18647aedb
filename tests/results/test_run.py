from __future__ import annotations

import json
import logging
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from simnet.results import Manifest, Recorder, ResultsError, Run, read_run, read_runs, write_run

YAML = "name: made\nseed: 3\nnetwork: {link: {bandwidth: 100 Mbps}}\n"


@pytest.fixture
def run(tmp_path: Path, recorder: Recorder, manifest: Manifest) -> Run:
    return read_run(write_run(tmp_path / "run", recorder, YAML, manifest))


def made(tmp_path: Path, manifest: Manifest, name: str, values: list[float]) -> Run:
    recorder = Recorder()
    for number, value in enumerate(values):
        recorder.metric(10.0 * number, "", number, name, value)
    return read_run(write_run(tmp_path / "made", recorder, YAML, manifest))


def test_what_was_written_is_read(run: Run, manifest: Manifest) -> None:
    assert run.manifest == manifest
    assert run.label == "diloco"
    assert run.scenario == {"name": "made", "seed": 3, "network": {"link": {"bandwidth": "100 Mbps"}}}
    assert list(run.metrics.columns) == ["time", "node", "step", "name", "value"]
    assert len(run.metrics) == 16
    assert run.transfers["bytes"].tolist() == [400.0, 400.0]
    assert math.isnan(run.transfers["delivered"].iloc[1])
    assert run.spans[["start", "end"]].to_numpy().tolist() == [[0.0, 8.0]]
    assert run.metrics is run.metrics


def test_nodes_are_kept_apart(run: Run) -> None:
    assert run.series("loss")["value"].tolist() == [4.0, 3.0, 2.5, 2.5]
    assert run.series("loss", "w0")["value"].tolist() == [5.0, 4.0, 3.5, 3.5]
    assert run.series("loss")["time"].tolist() == [0.0, 10.0, 20.0, 30.0]
    assert run.final("loss") == 2.5


@pytest.mark.parametrize(
    ("metric", "value", "seconds"),
    [
        ("loss", 5.0, 0.0),
        ("loss", 4.0, 0.0),  # exactly reached
        ("loss", 3.5, 10.0),  # between evaluations: no interpolation
        ("loss", 2.5, 20.0),  # the first of two
        ("loss", 2.4, math.inf),
        ("accuracy", 0.0, 0.0),
        ("accuracy", 0.125, 10.0),
        ("accuracy", 0.2, 20.0),
        ("accuracy", 0.9, math.inf),
        ("bytes", -math.inf, math.inf),
    ],
)
def test_time_to(run: Run, metric: str, value: float, seconds: float) -> None:
    assert run.time_to(metric, value) == seconds


def test_bytes_to(run: Run) -> None:
    assert run.bytes_to("loss", 3.5) == 100.0
    assert run.bytes_to("loss", 1.0) == math.inf


def test_a_value_that_was_reached_counts_although_it_was_lost_again(
    tmp_path: Path, manifest: Manifest
) -> None:
    values = [4.0, math.nan, 2.0, math.inf, math.nan]
    run = made(tmp_path, manifest, "loss", values)
    assert run.time_to("loss", 2.0) == 20.0
    assert run.time_to("loss", 1.0) == math.inf
    assert math.isnan(run.final("loss"))
    up = made(tmp_path, manifest, "local_accuracy", [0.1, math.nan, 0.5])
    assert up.time_to("local_accuracy", 0.5) == 20.0
    with pytest.raises(ValueError, match="NaN"):
        up.time_to("local_accuracy", math.nan)


def test_against_takes_the_last_value_known_at_each_evaluation(tmp_path: Path, manifest: Manifest) -> None:
    recorder = Recorder()
    for time, name, value in (
        (0.0, "loss", 3.0),
        (1.0, "bytes", 50.0),
        (2.0, "loss", 2.0),
        (2.0, "bytes", 80.0),
        (3.0, "loss", 1.0),
    ):
        recorder.metric(time, "", 0, name, value)
    run = read_run(write_run(tmp_path / "run", recorder, YAML, manifest))
    frame = run.against("loss", "bytes")
    assert math.isnan(frame["x"].iloc[0])
    assert frame["x"].tolist()[1:] == [80.0, 80.0]
    assert frame["y"].tolist() == [3.0, 2.0, 1.0]
    assert run.against("loss")["x"].tolist() == [0.0, 2.0, 3.0]


def test_a_metric_that_is_not_there_is_told_with_the_nearest(run: Run) -> None:
    with pytest.raises(
        ResultsError, match=r"no metric 'acuracy'; did you mean 'accuracy'\? .*accuracy, bytes, loss"
    ):
        run.final("acuracy")
    with pytest.raises(ResultsError, match="at node 'w9'"):
        run.series("loss", "w9")


def test_the_bottleneck_is_the_link_that_bound_messages_longest(tmp_path: Path, manifest: Manifest) -> None:
    recorder = Recorder()
    ways = [{"a->hub": 1.0, "latency": 50.0}, {"hub->b": 0.5, "window": 9.0}, {"hub->b": 1.0}]
    for number, bound in enumerate(ways):
        recorder.transfer(number, "", "a", "b", 1, 1, 0.0, 1.0, 1.0, "delivered", 1.0, bound)
    recorder.links(["a->hub", "hub->b"], [0.0, 0.0], [1.0, 1.0], [1.0, 3.0], [9.0, 9.0])
    run = read_run(write_run(tmp_path / "r", recorder, "name: x\n", manifest))
    assert run.bound_seconds() == {"latency": 50.0, "window": 9.0, "hub->b": 1.5, "a->hub": 1.0}
    assert run.bottleneck() == "hub->b"
    assert run.links["bytes"].tolist() == [1.0, 3.0]


def test_summary_has_exactly_the_promised_keys(run: Run) -> None:
    assert run.summary() == {
        "algorithm": "diloco",
        "run": str(run.folder),
        "virtual_seconds": 60.0,
        "steps": 20,
        "bytes_sent": 8_000_000_000,
        "utilization": 0.75,
        "goodput": 160 / 60.0,
        "wasted_seconds": 0.0,
        "final": {"loss": 2.5, "accuracy": 0.5},
        "wall_seconds": 12.5,
    }


def test_a_diverged_run_has_a_summary_in_valid_json(
    tmp_path: Path, recorder: Recorder, fields: dict[str, Any]
) -> None:
    fields |= {"final": {"loss": math.nan, "accuracy": 0.1}, "label": "diloco H=5"}
    run = read_run(write_run(tmp_path / "run", recorder, YAML, fields))
    summary = json.loads(json.dumps(run.summary(), allow_nan=False))
    assert summary["final"] == {"loss": None, "accuracy": 0.1}
    assert summary["algorithm"] == "diloco H=5"


def test_runs_are_found_by_folder_scenario_and_root(
    tmp_path: Path, recorder: Recorder, manifest: Manifest
) -> None:
    root = tmp_path / "results"
    folders = [root / "b" / "one", root / "a" / "two", root / "a" / "one"]
    for folder in folders:
        write_run(folder, recorder, YAML, manifest)
    shutil.copytree(folders[0], root / "a" / ".partial-host-1-x")
    found = lambda *paths: [run.folder for run in read_runs(paths)]  # noqa: E731
    assert found(folders[0]) == [folders[0]]
    assert found(root / "a") == [folders[2], folders[1]]
    assert found(root) == [folders[2], folders[1], folders[0]]
    assert found(folders[0], root) == [folders[0], folders[2], folders[1]]
    assert [run.folder for run in read_runs(str(root / "b"))] == [folders[0]]


def test_what_is_no_run_is_left_out_of_a_search_but_refused_by_name(
    tmp_path: Path, recorder: Recorder, manifest: Manifest, caplog: pytest.LogCaptureFixture
) -> None:
    root = tmp_path / "results"
    for name in ("good", "torn"):
        write_run(root / name, recorder, YAML, manifest)
    (root / "torn" / "spans.parquet").unlink()
    (root / "foreign").mkdir()
    (root / "foreign" / "manifest.json").write_text('{"short_name": "a web page"}')
    with caplog.at_level(logging.WARNING):
        assert [run.folder.name for run in read_runs(root)] == ["good"]
    assert "lacks spans.parquet" in caplog.text
    with pytest.raises(ResultsError, match=r"lacks spans\.parquet"):
        read_runs(root / "torn")
    with pytest.raises(ResultsError, match="schema"):
        read_runs(root / "foreign")
    shutil.rmtree(root / "good")
    with pytest.raises(ResultsError, match=r"no runs in .*looked for manifest.json.*left out"):
        read_runs(root)


def test_nothing_to_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultsError, match=r"no runs in .*empty.*manifest.json"):
        read_runs(tmp_path / "empty")
    for read in (read_runs, read_run):
        with pytest.raises(ResultsError, match="does not exist"):
            read(tmp_path / "nowhere")
    with pytest.raises(ResultsError, match="not a run folder"):
        read_run(tmp_path / "empty")
    with pytest.raises(ResultsError, match="no results were named"):
        read_runs([])


def test_damaged_tables_are_told(run: Run) -> None:
    (run.folder / "metrics.parquet").write_bytes(b"PAR1 nonsense")
    with pytest.raises(ResultsError, match=r"metrics\.parquet cannot be read"):
        _ = run.metrics
    shutil.copy(run.folder / "spans.parquet", run.folder / "transfers.parquet")
    with pytest.raises(ResultsError, match="does not have the columns id, kind"):
        _ = run.transfers
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"node": ["a"]}), run.folder / "spans.parquet")
    with pytest.raises(ResultsError, match=r"schema version \(none\)"):
        _ = run.spans
