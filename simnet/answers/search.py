"""The runs that a search asks for, done as a batch, and what they cost."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from simnet.batch import (
    Batch,
    BatchRun,
    LocalEngine,
    Report,
    Watcher,
    batch_runs,
    carry_out_batch,
    survey,
)
from simnet.batch.check import check_documents
from simnet.results import Run, read_run
from simnet.scenario import Document

Watch = Callable[[Batch], AbstractContextManager[Watcher]]
"""Gives something to watch a batch with."""


class SearchError(Exception):
    """A search that cannot go on; the message says why."""


@dataclass(frozen=True)
class Cost:
    """What a search has cost."""

    runs: int
    """Runs that it did."""
    reused: int
    """Runs that were there already."""
    simulated_seconds: float
    """Virtual time of all of them together."""
    run_seconds: float
    """Real time of the runs that it did, summed over them."""
    wall_seconds: float
    """Real time from the beginning of the search."""


@dataclass(frozen=True)
class Asked:
    """A run that was asked for."""

    label: str
    """What the scenario calls the method."""
    title: str
    run: Run | None
    """None where it failed."""
    failure: str
    """Why it failed; else empty."""


@dataclass
class Search:
    """Carries out runs for a search and keeps count of them."""

    results: Path
    jobs: int | None = None
    watch: Watch | None = None
    _seen: dict[Path, float] = field(default_factory=dict)
    _done: dict[Path, float] = field(default_factory=dict)
    _began: float = field(default_factory=time.perf_counter)

    def runs(self, documents: Sequence[Document]) -> list[list[Asked]]:
        """What became of the runs of each document, in their order; two documents may share a run.

        What failed before is tried again. Raises `ScenarioError` before anything runs, `ResultsError` where
        results cannot be written.
        """
        batch = survey(documents, self.results, retry=True)
        engine = LocalEngine(self.jobs)
        if batch.to_do:
            wanted = {run.document for run in batch.to_do}
            to_do = [document for number, document in enumerate(documents) if number in wanted]
            check_documents(to_do, engine.jobs, build=False)
        report = Report(batch)
        if self.watch is None:
            carry_out_batch(batch, engine, report, _Nobody())
        else:
            with self.watch(batch) as watcher:
                carry_out_batch(batch, engine, report, watcher)
        self._done |= report.seconds
        found = {run.folder: read_run(run.folder) for run in batch.runs if run.folder not in report.failed}
        self._seen |= {folder: run.manifest.virtual_seconds for folder, run in found.items()}
        return [
            [
                Asked(run.label, run.title, found.get(run.folder), report.failed.get(run.folder, ""))
                for run in batch_runs([document], self.results)
            ]
            for document in documents
        ]

    @property
    def cost(self) -> Cost:
        """What the search has cost so far."""
        return Cost(
            runs=len(self._done),
            reused=len(self._seen.keys() - self._done.keys()),
            simulated_seconds=sum(self._seen.values()),
            run_seconds=sum(self._done.values()),
            wall_seconds=time.perf_counter() - self._began,
        )


class _Nobody:
    """Watches nothing."""

    def began(self, run: BatchRun) -> None:
        """Nothing is said."""

    def stands(self, run: BatchRun, standing: object) -> None:
        """Nothing is said."""

    def ended(self, run: BatchRun, ended: object) -> None:
        """Nothing is said."""
