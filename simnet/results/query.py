"""SQL over run folders: DuckDB on their Parquet files, and a table of the runs themselves."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simnet.results import parquet
from simnet.results.columns import frame, run_names
from simnet.results.errors import ResultsError

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

    from simnet.results.run import Run


def query(runs: Sequence[Run], sql: str) -> pd.DataFrame:
    """What ``sql`` gives of the view ``runs`` (a row per run, see ``columns.frame``) and those of the tables.

    ``metrics``, ``transfers``, ``spans`` and ``links`` have the columns of their files, and ``run``: the same
    as in ``runs``.

    Raises:
        ResultsError: DuckDB cannot do it; its message says why.
    """
    import duckdb

    with connect(runs, sql) as connection:
        try:
            return connection.sql(sql).df()
        except duckdb.Error as error:
            raise ResultsError(f"the query failed: {error}{_hint(str(error))}") from None
        except AttributeError:  # a statement that gives no rows has no relation
            raise ResultsError("the query gives no rows: expected SELECT ...") from None


def connect(runs: Sequence[Run], sql: str | None = None) -> duckdb.DuckDBPyConnection:
    """A DuckDB connection with the views; with ``sql``, those that it names alone. The caller closes it."""
    import duckdb
    import pandas as pd

    connection = duckdb.connect()
    words = None if sql is None else {word.lower() for word in re.findall(r"\w+", sql)}
    if words is None or "runs" in words:
        connection.register("runs", frame(runs))
    tables = [name for name in parquet.TABLES if words is None or name in words]
    if not tables:
        return connection
    files = pd.DataFrame({"run": run_names(runs), "folder": [os.fspath(run.folder) for run in runs]})
    for table in tables:
        held = [f"{folder}/{table}.parquet" for folder in files["folder"]]
        if table not in parquet.ALWAYS:
            held = [file for file in held if os.path.isfile(file)]  # noqa: PTH113
        if not held:
            connection.register(table, parquet.schema(table).empty_table().to_pandas().assign(run=""))
            continue
        connection.register(f"_{table}_files", files.assign(file=files["folder"] + f"/{table}.parquet"))
        listed = ", ".join("'" + file.replace("'", "''") + "'" for file in held)
        older = any(table == name for name, _ in parquet.ADDED_COLUMNS)
        read = f"read_parquet([{listed}], filename=true{', union_by_name=true' if older else ''})"
        connection.execute(
            f"CREATE VIEW {table} AS SELECT f.run, t.* EXCLUDE (filename) "
            f"FROM {read} t JOIN _{table}_files f ON t.filename = f.file"
        )
    return connection


def _hint(message: str) -> str:
    """Dotted columns want quotes, which DuckDB does not say."""
    if "Referenced table" in message or "not found in FROM clause" in message:
        return '\ncolumns with dots are written in quotes: "network.link.bandwidth"'
    return ""
