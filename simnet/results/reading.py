"""Finding runs in folders and reading them back, one by one or many at once."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from simnet.results import parquet
from simnet.results.costs import QUANTITIES
from simnet.results.errors import ResultsError
from simnet.results.folder import FILES
from simnet.results.manifest import Manifest
from simnet.results.run import Run

_MANY = 50  # runs: fewer are read one by one as fast

_log = logging.getLogger(__name__)


def read_run(folder: Path | str) -> Run:
    """The run in ``folder``; only its manifest is read now.

    Raises:
        ResultsError: ``folder`` does not exist, is not a run folder, is not complete, or was written by a
            simnet with another layout.
    """
    folder = Path(folder)
    try:
        text = (folder / "manifest.json").read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        what = "is not a run folder: it has no manifest.json" if folder.exists() else "does not exist"
        raise ResultsError(f"{folder} {what}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ResultsError(f"{folder / 'manifest.json'} cannot be read: {error}") from error
    try:
        manifest, version = Manifest.from_json_of(text)
    except ResultsError as error:
        raise ResultsError(f"{folder / 'manifest.json'}: {error}") from None
    held = set(os.listdir(folder))  # noqa: PTH208  # a tenth of the time of six questions, for 2,000 runs
    since = {f"{table}.parquet": version for table, version in parquet.ADDED_TABLES.items()}
    missing = [name for name in FILES if name not in held and since.get(name, 1) <= version]
    if missing:
        raise ResultsError(f"{folder} is not a complete run folder: it lacks {', '.join(missing)}")
    return Run(folder, manifest)


def read_runs(paths: Path | str | Iterable[Path | str]) -> list[Run]:
    """The runs in ``paths``: run folders, or folders with run folders anywhere below.

    Runs come in the order of ``paths``, below each sorted by path, each folder once. Hidden folders are not
    searched. A folder below that is damaged, foreign or of another layout is left out, with a warning in
    the log.

    Raises:
        ResultsError: A path does not exist, is itself a run folder that cannot be read, or holds no run.
    """
    runs: dict[Path, Run] = {}
    for path in [paths] if isinstance(paths, Path | str) else paths:
        root = Path(path)
        for run in [read_run(root)] if (root / "manifest.json").is_file() else _search(root):
            runs.setdefault(run.folder.resolve(), run)
    if not runs:
        raise ResultsError("no results were named")
    return list(runs.values())


def preload(runs: Sequence[Run], metrics: Iterable[str]) -> None:
    """Read some metrics of the whole system of many runs at once, which takes a fraction of the time.

    What a run does not have, or cannot be read, is left to those who ask for it.
    """
    import duckdb
    import numpy as np

    wanted = sorted(set(metrics) - {"time", *QUANTITIES})
    files = {
        os.fspath(run.folder / "metrics.parquet"): run for run in runs if not run.loaded.keys() >= set(wanted)
    }
    if len(files) < _MANY or not wanted:
        return
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in wanted)
    try:
        with duckdb.connect() as connection:
            columns: dict[str, Any] = connection.execute(
                "SELECT filename, name, time, step, value "
                f"FROM read_parquet([{listed}], filename=true, file_row_number=true) "
                f"WHERE node = '' AND name IN ({names}) ORDER BY filename, name, file_row_number"
            ).fetchnumpy()
    except duckdb.Error:
        return
    file, name = np.asarray(columns["filename"]), np.asarray(columns["name"])
    time, step, value = columns["time"], columns["step"], columns["value"]
    if not len(file):
        return
    cuts = np.flatnonzero((file[1:] != file[:-1]) | (name[1:] != name[:-1])) + 1
    starts, ends = [0, *cuts.tolist()], [*cuts.tolist(), len(file)]
    for start, end in zip(starts, ends, strict=True):
        run = files[file[start]]
        run.loaded[str(name[start])] = (time[start:end], step[start:end], value[start:end])


def _search(root: Path) -> Iterator[Run]:
    if not root.is_dir():
        raise ResultsError(f"{root} {'is not a folder' if root.exists() else 'does not exist'}")
    found, skipped = 0, []
    for folder, below, files in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if "manifest.json" not in files:
            continue
        below.clear()
        try:
            run = read_run(folder)
        except ResultsError as error:
            _log.warning("left out: %s", error)
            skipped.append(str(error))
            continue
        found += 1
        yield run
    if not found:
        why = f"; left out: {skipped[0]}" if skipped else ""
        raise ResultsError(f"no runs in {root}: looked for manifest.json in it and in all folders below{why}")
