"""Which runs are repetitions of one thing (they differ in the seed alone) and which are to be told apart."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from simnet.results import ResultsError, Run


@dataclass(frozen=True)
class Group:
    """Runs of one method under one scenario, under one or several seeds."""

    name: str
    runs: tuple[Run, ...]

    @property
    def method(self) -> str:
        """The label of the method, without what it was set to."""
        return self.runs[0].label

    def diverged(self, metric: str) -> int:
        """How many of the runs ended with a value of ``metric`` that is not finite."""
        return sum(not isfinite(run.final(metric)) for run in self.runs)


def group_runs(runs: Iterable[Run]) -> list[Group]:
    """Runs that differ in the seed alone, together; in the order of their first run.

    A group is named by its label. Where one label was run under several scenarios (a sweep), the name says
    the keys in which they differ: "diloco, bandwidth=10 Mbps".

    Raises:
        ResultsError: There is no run, or a scenario that is needed to tell runs apart cannot be read.
    """
    by_setting: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        by_setting.setdefault((run.label, _setting(run)), []).append(run)
    if not by_setting:
        raise ResultsError("no runs to compare")
    by_label: dict[str, list[list[Run]]] = {}
    for (label, _), same in by_setting.items():
        by_label.setdefault(label, []).append(same)
    names = {
        id(same): name
        for label, settings in by_label.items()
        for same, name in zip(settings, _names(label, [same[0] for same in settings]), strict=True)
    }
    return [Group(names[id(same)], tuple(same)) for same in by_setting.values()]


def _setting(run: Run) -> str:
    """The scenario without its seed; of older runs, as text."""
    if run.manifest.scenario:
        return repr({key: value for key, value in run.scenario.items() if key != "seed"})
    return re.sub(r"(?m)^seed:.*$", "", run.scenario_yaml)


def _names(label: str, runs: Sequence[Run]) -> list[str]:
    if len(runs) == 1:
        return [label]
    scenarios = [dict(leaves(run.scenario)) for run in runs]
    keys = sorted({key for own in scenarios for key in own if key != ("seed",)})
    differing = [key for key in keys if len({repr(own.get(key)) for own in scenarios}) > 1]
    names = []
    for number, own in enumerate(scenarios, start=1):
        parts = [f"{key[-1]}={own[key]}" for key in differing[:3] if key in own]
        names.append(", ".join([label, *(parts or [f"variant {number}"])]))
    if len(set(names)) < len(names):  # too many differences to say, or in comments alone
        names = [f"{name} ({number})" for number, name in enumerate(names, start=1)]
    return names


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every value of a tree of mappings and lists, with its keys from the top down."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, (*path, str(number)))
    else:
        yield path, value
