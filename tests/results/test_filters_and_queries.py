"""Runs as a table: what the columns are, which runs a filter finds, what SQL says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from simnet.results import (
    Manifest,
    Recorder,
    ResultsError,
    Run,
    frame,
    is_filter,
    preload,
    query,
    read_run,
    read_runs,
    remove_run,
    select,
    write_run,
)
from simnet.results.columns import differing, leaves, rows
from simnet.results.export import write_table

BANDWIDTHS = ("10 Mbit/s", "100 Mbit/s", "1 Gbit/s")


@pytest.fixture
def runs(tmp_path: Path, fields: dict[str, Any]) -> list[Run]:
    """Two methods at three bandwidths under two seeds: losses are 1, 2, ... in the order of the folders."""
    settings = [(m, b, seed) for m in ("allreduce", "diloco") for b in BANDWIDTHS for seed in (0, 1)]
    for index, (method, bandwidth, seed) in enumerate(settings):
        recorder = Recorder()
        for step in range(3):
            recorder.metric(10.0 * step, "", step, "loss", index + 1 + (2 - step))
            recorder.metric(10.0 * step, "", step, "bytes", 100.0 * step)
            recorder.metric(10.0 * step, "n0", step, "loss", 99.0)
        recorder.transfer(0, "x", "n0", "n1", 1.0, 50.0, 0.0, 1.0, 2.0, "delivered")
        recorder.transfer(1, "x", "n1", "n0", 1.0, 50.0, 0.0, 1.0, 2.0, "delivered")
        options = {"local_steps": 5} if method == "diloco" else {}
        scenario = {
            "name": "made",
            "seed": seed,
            "network": {"link": {"bandwidth": bandwidth, "latency": "10 ms"}},
            "task": {"charge_as": {"parameters": "1.3B"}},
            "workers": [{"count": 4, "device": "cpu"}],
            "algorithms": [{"name": method, "label": method, **options}],
        }
        own = {"label": method, "algorithm": method, "seed": seed, "final": {"loss": index + 1.0}}
        own = {**fields, **own, "scenario": scenario}
        write_run(tmp_path / "made" / f"{index:02d}", recorder, "name: made\n", Manifest(**own))
    return read_runs(tmp_path)


def names(found: list[Run]) -> list[int]:
    return [int(run.folder.name) for run in found]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["algorithm=diloco"], [6, 7, 8, 9, 10, 11]),
        (["algorithm!=diloco"], [0, 1, 2, 3, 4, 5]),
        (["algorithm=d*", "seed=1"], [7, 9, 11]),
        (["network.link.bandwidth<100Mbps"], [0, 1, 6, 7]),
        (["network.link.bandwidth<=12.5 MB/s", "seed==0"], [0, 2, 6, 8]),
        (["network.link.bandwidth=0.1Gbps"], [2, 3, 8, 9]),
        (["network.link.latency=0.01s", "final.loss > 10.5"], [10, 11]),
        (["task.charge_as.parameters>=1.3B", "final.loss<2"], [0]),
        (["algorithm.local_steps=5"], [6, 7, 8, 9, 10, 11]),
        (["algorithm.local_steps!=5"], [0, 1, 2, 3, 4, 5]),
        (["algorithm.local_steps>=1", "seed!=0", "final.loss<=8"], [7]),
        (["workers.0.device=cpu", "workers=8", "final.loss=3"], [2]),
    ],
)
def test_filters_find_what_they_say(runs: list[Run], filters: list[str], expected: list[int]) -> None:
    assert names(select(runs, filters)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("network.link.bandwith<1Mbps", "did you mean `network.link.bandwidth`"),
        ("bandwidth=1Mbps", "did you mean `network.link.bandwidth`"),
        ("zzz=1", "no run has the key `zzz`$"),
        ("algorithm<3", "cannot be compared"),
        ("seed<three", "cannot be compared"),
        ("seed=7", "none of 12 runs has seed=7 .seed is one of 0, 1."),
        ("seed=", "not a filter"),
        ("nonsense", "not a filter"),
    ],
)
def test_filters_that_cannot_be_meant_are_errors(runs: list[Run], text: str, message: str) -> None:
    with pytest.raises(ResultsError, match=message):
        select(runs, [text])


def test_a_path_is_no_filter() -> None:
    assert is_filter("seed>=1")
    assert not is_filter("results/small")
    assert not is_filter("../a=b/c")


def test_columns_are_keys_with_si_values(runs: list[Run]) -> None:
    table = frame(runs)
    assert list(table["network.link.bandwidth"].unique()) == [1.25e6, 12.5e6, 125e6]
    assert set(table["task.charge_as.parameters"]) == {1.3e9}
    assert set(table["network.link.latency"]) == {0.01}
    assert table["algorithm.local_steps"].isna().sum() == 6
    assert list(frame(runs, ["run", "final.loss"]).columns) == ["run", "final.loss"]
    assert differing(rows(runs)) == ["network.link.bandwidth", "algorithm.local_steps"]
    with pytest.raises(ResultsError, match=r"did you mean `final\.loss`"):
        frame(runs, ["loss"])


def test_leaves_name_every_value_once() -> None:
    nested = {"a": {"b": 1, "c": []}, "d": [{"e": 2}, {"e": 3}], "f": [1, 2], "g": {}}
    assert dict(leaves(nested)) == {"a.b": 1, "a.c": [], "d.0.e": 2, "d.1.e": 3, "f": [1, 2], "g": {}}


def test_sql_joins_runs_and_their_tables(runs: list[Run]) -> None:
    answer = query(
        runs,
        'SELECT algorithm, "network.link.bandwidth" AS rate, avg(value) AS loss, count(*) AS n FROM metrics '
        "JOIN runs USING (run) WHERE node = '' AND name = 'loss' AND step = 2 GROUP BY 1, 2 ORDER BY 1, 2",
    )
    assert answer["loss"].tolist() == [1.5, 3.5, 5.5, 7.5, 9.5, 11.5]
    assert set(answer["n"]) == {2}
    total = query(runs, "SELECT sum(bytes) FROM transfers").iloc[0, 0]
    assert total == 12 * 100
    assert query(runs, "SELECT count(*) FROM links").iloc[0, 0] == 0


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT network.link.bandwidth FROM runs", "in quotes"),
        ("SELECT nothing FROM runs", "nothing"),
        ("SELEC 1", "failed"),
    ],
)
def test_sql_that_fails_is_told(runs: list[Run], sql: str, message: str) -> None:
    with pytest.raises(ResultsError, match=message):
        query(runs, sql)


def test_names_with_quotes_and_blanks_are_no_trouble(runs: list[Run], tmp_path: Path) -> None:
    odd = tmp_path / "made" / "it's = odd"
    runs[0].folder.rename(odd)
    assert query(read_runs(tmp_path), "SELECT count(DISTINCT run) FROM metrics").iloc[0, 0] == 12


def test_reading_at_once_is_reading_one_by_one(runs: list[Run], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simnet.results.reading._MANY", 1)
    preload(runs, ["loss", "bytes", "time", "none of these"])
    for run in runs:
        assert set(run.loaded) == {"loss", "bytes"}
        pd.testing.assert_frame_equal(run.series("loss"), read_run(run.folder).series("loss"))
        pd.testing.assert_frame_equal(
            run.against("loss", "bytes"), read_run(run.folder).against("loss", "bytes")
        )


def test_tables_go_to_files_and_back(runs: list[Run], tmp_path: Path) -> None:
    assert write_table(runs, "runs", tmp_path / "out" / "runs.csv") == 12
    pd.testing.assert_series_equal(
        pd.read_csv(tmp_path / "out" / "runs.csv")["final.loss"], frame(runs)["final.loss"]
    )
    assert write_table(runs, "metrics", tmp_path / "m.parquet") == 12 * 9
    assert pd.read_parquet(tmp_path / "m.parquet")["run"].nunique() == 12
    with pytest.raises(ResultsError, match=r"neither a .csv nor a .parquet"):
        write_table(runs, "runs", tmp_path / "runs.xlsx")
    with pytest.raises(ResultsError, match="no table 'flows'"):
        write_table(runs, "flows", tmp_path / "runs.csv")


def test_removing_takes_run_folders_and_nothing_else(runs: list[Run], tmp_path: Path) -> None:
    (tmp_path / "made" / "figures").mkdir()
    (tmp_path / "link").symlink_to(runs[1].folder)
    remove_run(runs[0].folder)
    assert names(read_runs(tmp_path / "made")) == list(range(1, 12))
    for folder in (tmp_path / "made" / "figures", tmp_path / "made", tmp_path / "link", tmp_path / "gone"):
        with pytest.raises(ResultsError):
            remove_run(folder)
    assert (tmp_path / "made" / "figures").is_dir()
    assert not list((tmp_path / "made").glob(".*"))


def test_export_to_a_tool_that_is_not_there(
    runs: list[Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from simnet.results.export import EXPORTS

    for module in ("torch.utils.tensorboard", "mlflow.entities"):
        monkeypatch.setitem(sys.modules, module, None)
    for tool, export in EXPORTS.items():
        with pytest.raises(ResultsError, match=rf"simnet\[{tool}\]"):
            export(runs, tmp_path / tool)


def test_tensorboard_reads_what_was_exported(runs: list[Run], tmp_path: Path) -> None:
    accumulator: Callable[..., Any] = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator"
    ).EventAccumulator
    from simnet.results.export import to_tensorboard

    to_tensorboard(runs[:1], tmp_path / "board")
    events = accumulator(str(tmp_path / "board" / runs[0].folder.name))
    events.Reload()
    assert [(one.step, one.wall_time, one.value) for one in events.Scalars("loss")] == [
        (0, 0.0, 3.0), (1, 10.0, 2.0), (2, 20.0, 1.0),
    ]  # fmt: skip
    assert set(events.Tags()["scalars"]) == {"loss", "bytes", "n0/loss"}
