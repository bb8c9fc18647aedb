"""The columns of the tables of a run, and their bytes on disk.

Equal data give equal bytes: the schema is fixed, compression and its level are fixed, and the only metadata
is the version of the schema (key ``simnet_schema``). Nothing tells when, where or by which user a file was
written. (Parquet itself names the version of the library that wrote it.)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from simnet.results.errors import ResultsError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA_VERSION = 3
SCHEMA_KEY = b"simnet_schema"

TABLES: dict[str, dict[str, str]] = {
    "metrics": {"time": "f64", "node": "str", "step": "i64", "name": "str", "value": "f64"},
    "transfers": {
        "id": "i64",
        "kind": "str",
        "source": "str",
        "target": "str",
        "raw_bytes": "f64",
        "bytes": "f64",
        "start": "f64",
        "left": "f64?",
        "delivered": "f64?",
        "status": "str",
        "mean_rate": "f64?",
        "bound_by": "str",
        "bound": "seconds",
    },
    "spans": {"node": "str", "kind": "str", "name": "str", "start": "f64", "end": "f64"},
    "links": {"resource": "str", "start": "f64", "end": "f64", "bytes": "f64", "capacity": "f64"},
    "faults": {"time": "f64", "node": "str", "event": "str", "cause": "str"},
}
"""Table -> column -> type, in the order of the file; a question mark: may be null (it never happened)."""

ALWAYS = ("metrics", "transfers", "spans")
"""The tables that every run has, of any schema and whatever happened in it."""
ADDED_TABLES = {"links": 2}
"""The schema with which a table came; the others are of the first. Older runs have it without rows."""
ADDED_COLUMNS: dict[tuple[str, str], tuple[int, Any]] = {
    ("transfers", "mean_rate"): (2, None),
    ("transfers", "bound_by"): (2, ""),
    ("transfers", "bound"): (2, []),
}
"""The schema with which a column came, and what it says of older runs."""


def schema(table: str) -> pa.Schema:
    """The Arrow schema of ``table`` (a key of ``TABLES``), with the version as metadata."""
    import pyarrow as pa

    types = {"f64": pa.float64(), "i64": pa.int64(), "str": pa.string()}
    types["seconds"] = pa.map_(pa.string(), pa.float64())
    fields = [
        pa.field(name, types[kind.rstrip("?")], nullable=kind.endswith("?"))
        for name, kind in TABLES[table].items()
    ]
    return pa.schema(fields, metadata={SCHEMA_KEY: str(SCHEMA_VERSION)})


def encode(table: pa.Table) -> bytes:
    """``table`` as one Parquet file. Deterministic: equal tables give equal bytes with one pyarrow."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        version="2.6",
        data_page_version="1.0",
        compression="zstd",
        compression_level=3,
        row_group_size=1 << 20,
    )
    return bytes(sink.getvalue().to_pybytes())


def read(path: Path, table: str) -> pd.DataFrame:
    """The Parquet file at ``path`` as a frame with exactly the columns of ``table``.

    What a file of an older schema lacks is filled as ``ADDED_COLUMNS`` says.

    Raises:
        ResultsError: The file is missing or damaged, or is not a table of a schema that this simnet knows.
    """
    return read_arrow(path, table).to_pandas()


def read_arrow(path: Path, table: str) -> pa.Table:
    """The same as an Arrow table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = pq.ParquetFile(path).read()
    except FileNotFoundError:
        raise ResultsError(f"{path} is missing: the run folder is not complete") from None
    except (pa.ArrowException, OSError) as error:
        raise ResultsError(f"{path} cannot be read as Parquet: {error}") from error
    text = (data.schema.metadata or {}).get(SCHEMA_KEY, b"(none)").decode(errors="replace")
    if not text.isdigit() or not 1 <= int(text) <= SCHEMA_VERSION:
        raise ResultsError(
            f"{path} has schema version {text}; this simnet reads versions 1 to {SCHEMA_VERSION}"
        )
    for number, column in enumerate(TABLES[table]):
        since, filling = ADDED_COLUMNS.get((table, column), (1, None))
        if int(text) < since and column not in data.schema.names:
            values = pa.array([filling] * data.num_rows, schema(table).field(number).type)
            data = data.add_column(number, schema(table).field(number), values)
    if not data.schema.equals(schema(table)):
        raise ResultsError(f"{path} does not have the columns {', '.join(TABLES[table])}")
    return data
