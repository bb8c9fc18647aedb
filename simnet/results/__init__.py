"""Results: the recorder, run folders (written whole or not at all) and reading runs back as data frames.

>>> recorder = Recorder()
>>> recorder.metric(time=0.0, node="", step=0, name="loss", value=2.5)
>>> recorder.tables()["metrics"].num_rows
1
"""

from simnet.results.errors import ResultsError
from simnet.results.folder import check_writable, run_files, run_folder, write_files, write_run
from simnet.results.manifest import Manifest
from simnet.results.recorder import Recorder
from simnet.results.run import Run, higher_is_better, read_run, read_runs

__all__ = [
    "Manifest",
    "Recorder",
    "ResultsError",
    "Run",
    "check_writable",
    "higher_is_better",
    "read_run",
    "read_runs",
    "run_files",
    "run_folder",
    "write_files",
    "write_run",
]
