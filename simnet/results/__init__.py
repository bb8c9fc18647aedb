"""Results: the recorder, run folders (written whole or not at all) and reading runs back as data frames.

>>> recorder = Recorder()
>>> recorder.metric(time=0.0, node="", step=0, name="loss", value=2.5)
>>> recorder.tables()["metrics"].num_rows
1
"""

from simnet.results.columns import frame
from simnet.results.errors import ResultsError
from simnet.results.filters import is_filter, parse_filter, select
from simnet.results.folder import check_writable, run_files, run_folder, write_files, write_run
from simnet.results.manifest import Manifest
from simnet.results.query import query
from simnet.results.reading import preload, read_run, read_runs
from simnet.results.recorder import Recorder
from simnet.results.remove import remove_run
from simnet.results.run import Run, higher_is_better

__all__ = [
    "Manifest",
    "Recorder",
    "ResultsError",
    "Run",
    "check_writable",
    "frame",
    "higher_is_better",
    "is_filter",
    "parse_filter",
    "preload",
    "query",
    "read_run",
    "read_runs",
    "remove_run",
    "run_files",
    "run_folder",
    "select",
    "write_files",
    "write_run",
]
