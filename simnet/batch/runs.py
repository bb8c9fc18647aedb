"""The runs of a batch: what each one is, where its folder will be, and whether it is there already."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from simnet.identity import identity
from simnet.network.kept_files import kept_files
from simnet.results import ResultsError, read_run, run_folder
from simnet.scenario import Document, Problem, Scenario, ScenarioError
from simnet.scenario.errors import shown

THREADS = 1
"""Torch threads of a run in a batch whose scenario does not say how many: the cores are for other runs."""


@dataclass(frozen=True)
class BatchRun:
    """One run of a batch."""

    scenario: Scenario
    """Of this run alone: one algorithm, no sweep, and its number of threads."""
    document: int
    """Which of the batch's documents it belongs to, counted from 0."""
    point: Mapping[str, Any]
    """The values of the sweep that make it; of a run at several points, those that they share."""
    digest: str
    """What it is: see :func:`simnet.identity.identity`."""
    folder: Path
    """Where its results are, or will be."""

    @property
    def label(self) -> str:
        """What the scenario calls the method."""
        label: str = self.scenario.algorithms[0].label
        return label

    @property
    def title(self) -> str:
        """The run in a line: scenario, method, and the point of the sweep."""
        where = ", ".join(f"{key}={shown(value, width=40)}" for key, value in self.point.items())
        return f"{self.scenario.name}/{self.label}{f' [{where}]' if where else ''}"

    @property
    def finished(self) -> bool:
        """Whether its folder is there, whole, and of a layout that this simnet reads."""
        try:
            return read_run(self.folder).manifest.status == "complete"
        except ResultsError:
            return False


def batch_runs(documents: Iterable[Document], results: Path) -> list[BatchRun]:
    """Every run that the documents stand for, in their order, each once.

    Two points of a sweep are one run for a method that the sweep does not touch. Raises `ScenarioError`
    where a file that a scenario names cannot be read.
    """
    runs: dict[Path, BatchRun] = {}
    for number, document in enumerate(documents):
        for scenario, point in ((each.scenario, each.point) for each in document.scenarios):
            try:
                files = kept_files(scenario)
                for entry in scenario.algorithms:
                    alone = scenario.model_copy(
                        update={
                            "algorithms": (entry,),
                            "sweep": {},
                            "expect": (),
                            "threads": scenario.threads or THREADS,
                        }
                    )
                    digest = identity(alone, files)
                    folder = run_folder(results, scenario.name, entry.label, digest)
                    known = runs.get(folder)
                    if known is not None:
                        shared = {key: value for key, value in known.point.items() if point.get(key) == value}
                        runs[folder] = replace(known, point=shared)
                    else:
                        runs[folder] = BatchRun(alone, number, point, digest, folder)
            except OSError as error:
                message = f"{error.filename} cannot be read: {(error.strerror or str(error)).lower()}"
                raise ScenarioError([Problem((), message)], scenario.source) from None
    return list(runs.values())
