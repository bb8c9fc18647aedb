"""The columns of the tables of a run, and their bytes on disk.

Equal data give equal bytes: the schema is fixed, compression and its level are fixed, and the only metadata
is the version of the schema (key ``simnet_schema``). Nothing tells when, where or by which user a file was
written. (Parquet itself names the version of the library that wrote it.)
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from simnet.results.errors import ResultsError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA_VERSION = 2
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

    Raises:
        ResultsError: The file is missing or damaged, or is not a table of a schema that this simnet knows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        data = pq.ParquetFile(path).read()
    except FileNotFoundError:
        raise ResultsError(f"{path} is missing: the run folder is not complete") from None
    except (pa.ArrowException, OSError) as error:
        raise ResultsError(f"{path} cannot be read as Parquet: {error}") from error
    version = (data.schema.metadata or {}).get(SCHEMA_KEY, b"(none)").decode(errors="replace")
    if version != str(SCHEMA_VERSION):
        raise ResultsError(f"{path} has schema version {version}; this simnet reads version {SCHEMA_VERSION}")
    if not data.schema.equals(schema(table)):
        raise ResultsError(f"{path} does not have the columns {', '.join(TABLES[table])}")
    return data.to_pandas()
