"""Folders that older versions of simnet wrote stay readable. Those in `old/` are real ones."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from simnet.results import ResultsError, frame, query, read_run, read_runs, select
from simnet.results.migrations import MIGRATIONS, migrated
from simnet.results.parquet import SCHEMA_VERSION, TABLES

OLD = Path(__file__).parent / "old"
FOLDERS = sorted(folder.name for folder in OLD.iterdir())


def test_there_is_a_way_from_every_schema_to_the_newest() -> None:
    assert sorted(MIGRATIONS) == list(range(1, SCHEMA_VERSION))
    written = {json.loads((OLD / name / "manifest.json").read_text())["schema"] for name in FOLDERS}
    assert written == set(MIGRATIONS)


@pytest.mark.parametrize("name", FOLDERS)
def test_an_old_run_is_read_whole(name: str) -> None:
    run = read_run(OLD / name)
    assert run.manifest.schema == SCHEMA_VERSION
    assert (run.label, run.manifest.steps) == ("allreduce", 2.0)
    assert run.scenario["network"]["link"]["latency"] == "10 ms"
    assert len(run.against("loss", "bytes")) == 3
    for table, columns in TABLES.items():
        assert list(getattr(run, table).columns) == list(columns)
    assert len(run.transfers) > 0
    assert run.transfers["bytes"].sum() == run.manifest.bytes_sent
    had_links = name != "schema-1"
    assert bool(len(run.links)) is had_links
    assert bool(run.bottleneck()) is had_links


def test_what_an_old_run_did_not_write_down_is_missing_not_made_up() -> None:
    run = read_run(OLD / "schema-1")
    assert run.transfers["mean_rate"].isna().all()
    assert set(run.transfers["bound_by"]) == {""}
    assert run.manifest.engine_settings == {}
    assert read_run(OLD / "schema-2").manifest.engine_settings["mode"] == "stacked"


def test_old_and_new_runs_are_one_data_set() -> None:
    runs = read_runs(OLD)
    assert len(runs) == len(FOLDERS)
    assert len(select(runs, ["network.link.bandwidth=100Mbps"])) == len(runs)
    assert set(frame(runs)["task.optimizer.lr"]) == {0.1}
    sent = query(runs, "SELECT run, sum(bytes) AS total, count(bound_by) AS told FROM transfers GROUP BY 1")
    assert len(sent) == len(runs)
    assert sent["total"].nunique() == 1
    assert len(query(runs, "SELECT DISTINCT run FROM links")) == len(runs) - 1


def test_a_newer_schema_is_said_to_be_one(tmp_path: Path) -> None:
    shutil.copytree(OLD / "schema-2", tmp_path / "run")
    manifest = tmp_path / "run" / "manifest.json"
    text = manifest.read_text().replace('"schema": 2', f'"schema": {SCHEMA_VERSION + 1}')
    manifest.write_text(text)
    with pytest.raises(ResultsError, match=f"reads 1 to {SCHEMA_VERSION}: a newer simnet wrote it"):
        read_run(tmp_path / "run")


@pytest.mark.parametrize("schema", ["2", 0, True, None, 1.0])
def test_a_schema_that_never_was_is_refused(schema: object) -> None:
    with pytest.raises(ResultsError, match="schema"):
        migrated({"schema": schema})


def test_a_new_run_without_its_links_is_not_complete(tmp_path: Path) -> None:
    shutil.copytree(OLD / "schema-2", tmp_path / "run")
    (tmp_path / "run" / "links.parquet").unlink()
    with pytest.raises(ResultsError, match=r"lacks links\.parquet"):
        read_run(tmp_path / "run")
