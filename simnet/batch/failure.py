"""Records of runs that failed: a small JSON file in ``.failed`` beside the run folders."""

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from simnet.batch.runs import BatchRun
from simnet.results import ResultsError

FAILED = ".failed"


@dataclass(frozen=True)
class Failure:
    """Why a run failed."""

    run: str
    """The run in a line."""
    digest: str
    message: str
    """What is told to people."""
    traceback: str
    """Where in the code, if it was code that failed."""


def failure_file(run: BatchRun) -> Path:
    """Where the record of a run is, if it failed."""
    return run.folder.parent / FAILED / f"{run.folder.name}.json"


def read_failure(run: BatchRun) -> Failure | None:
    """Why ``run`` failed when it was last tried; None if it did not, or if the record says nothing."""
    try:
        stated = json.loads(failure_file(run).read_text(encoding="utf-8"))
        return Failure(**{key: str(stated[key]) for key in Failure.__dataclass_fields__})
    except (OSError, ValueError, KeyError, TypeError):
        return None


def record_failure(run: BatchRun, message: str, traceback: str = "") -> None:
    """Write the record, whole or not at all. Raises `ResultsError` where it cannot be written."""
    file = failure_file(run)
    failure = Failure(run.title, run.digest, message, traceback)
    partial = file.with_name(f".{file.name}-{os.getpid()}")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("w", encoding="utf-8") as text:
                json.dump(asdict(failure), text, indent=2)
                text.flush()
                os.fsync(text.fileno())
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ResultsError(f"cannot record a failure in {file.parent}: {error.strerror}") from error


def forget_failure(run: BatchRun) -> None:
    """Remove the record: the run has finished, or is tried again."""
    file = failure_file(run)
    file.unlink(missing_ok=True)
    with suppress(OSError):  # other records are there, or none ever was
        file.parent.rmdir()


def when_recorded(run: BatchRun) -> int | None:
    """A number that changes whenever the run fails again; None without a record."""
    try:
        return failure_file(run).stat().st_mtime_ns
    except OSError:
        return None
