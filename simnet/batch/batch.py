"""A batch from its documents to its report."""

from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import get_ident
from typing import Protocol

from simnet.batch.claim import LOCKS, claimed
from simnet.batch.engine import Engine, Standing, Task
from simnet.batch.failure import forget_failure, read_failure, when_recorded
from simnet.batch.runs import BatchRun, batch_runs
from simnet.batch.work import Ended
from simnet.results import ResultsError, check_writable
from simnet.scenario import Document


@dataclass(frozen=True)
class Batch:
    """The runs of some documents, and what is known of each before anything is run."""

    runs: tuple[BatchRun, ...]
    finished: tuple[BatchRun, ...]
    """Their folders are there."""
    failed: Mapping[Path, str]
    """By folder: why the run failed when it was last tried, for those that are not to be tried again."""
    to_do: tuple[BatchRun, ...]


@dataclass
class Report:
    """What became of a batch."""

    batch: Batch
    done: list[BatchRun] = field(default_factory=list)
    """Run, by this batch or meanwhile by another one."""
    failed: dict[Path, str] = field(default_factory=dict)
    """By folder: why, also of those that had failed before."""
    seconds: dict[Path, float] = field(default_factory=dict)
    """By folder: real time of each run that this batch did."""
    simulation_seconds: dict[Path, float] = field(default_factory=dict)
    """The part of it that was the simulation itself."""
    warnings: list[str] = field(default_factory=list)

    @property
    def all_fine(self) -> bool:
        """Whether every run of the batch is there."""
        return len(self.batch.finished) + len(self.done) == len(self.batch.runs)


class Watcher(Protocol):
    """Who is told what happens."""

    def began(self, run: BatchRun) -> None:
        """The run is taken up."""

    def stands(self, run: BatchRun, standing: Standing) -> None:
        """The run is that far."""

    def ended(self, run: BatchRun, ended: Ended) -> None:
        """The run is done, or has failed."""


def survey(documents: Sequence[Document], results: Path, retry: bool = False) -> Batch:
    """What there is to do for ``documents``: all that is not finished, and what failed only with ``retry``.

    Raises `ScenarioError` where a file that a scenario names cannot be read.
    """
    runs = batch_runs(documents, results)
    finished: list[BatchRun] = []
    to_do: list[BatchRun] = []
    failed: dict[Path, str] = {}
    for run in runs:
        failure = None if retry else read_failure(run)
        if run.finished:
            finished.append(run)
        elif failure is not None:
            failed[run.folder] = failure.message
        else:
            to_do.append(run)
    return Batch(tuple(runs), tuple(finished), failed, tuple(to_do))


def carry_out_batch(batch: Batch, engine: Engine, report: Report, watcher: Watcher) -> None:
    """Do what is to do of ``batch``; ``report``, which begins empty, grows with what becomes of it.

    A run that fails stops nothing. Raises `ResultsError` where results cannot be written: then everything
    stops, since all other runs would end like that too.
    """
    report.failed.update(batch.failed)
    for folder in dict.fromkeys(run.folder.parent for run in batch.to_do):
        check_writable(folder / f"probe-{get_ident()}")
    tasks = [Task(run, when_recorded(run)) for run in batch.to_do]
    with closing(engine.carry_out(tasks)) as events:
        for task, event in events:
            match event:
                case None:
                    watcher.began(task.run)
                case Standing():
                    watcher.stands(task.run, event)
                case Ended():
                    if event.status == "unwritable":
                        raise ResultsError(event.message)
                    _note(report, task.run, event)
                    watcher.ended(task.run, event)
    _tidy([*batch.finished, *report.done])


def _tidy(finished: Sequence[BatchRun]) -> None:
    """Remove locks and records of runs that are there: they are left where a batch is killed just then."""
    with suppress(OSError):  # it is no matter
        for run in finished:
            if when_recorded(run) is not None:
                forget_failure(run)
            if (run.folder.parent / LOCKS / run.folder.name).exists():
                with claimed(run.folder):
                    pass


def _note(report: Report, run: BatchRun, ended: Ended) -> None:
    report.warnings += [text for text in ended.warnings if text not in report.warnings]
    if ended.status == "failed":
        report.failed[run.folder] = ended.message
        return
    report.done.append(run)
    if ended.status == "done":
        report.seconds[run.folder] = ended.seconds
        report.simulation_seconds[run.folder] = ended.simulation_seconds
