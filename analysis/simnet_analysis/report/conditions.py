"""Runs sorted into conditions: what is the same for all methods that are compared with each other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simnet.results import Run
from simnet.results.columns import leaves, si
from simnet_analysis.groups import Group, group_runs

_NOT_OF_A_CONDITION = ("algorithms", "seed", "description", "expect", "sweep")


@dataclass(frozen=True)
class Condition:
    """Methods under one network, task and set of faults; only within it are methods compared."""

    title: str
    """The keys in which it differs from the other conditions; "" where there is only one."""
    groups: tuple[Group, ...]
    """The methods in the order of their first runs; the runs of each in the order of their seeds."""

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs."""
        return tuple(run for group in self.groups for run in group.runs)

    @property
    def seeds(self) -> tuple[int, ...]:
        """All seeds, ascending."""
        return tuple(sorted({run.manifest.seed for run in self.runs}))


def conditions(runs: Iterable[Run]) -> list[Condition]:
    """Sort runs by everything in their scenario but the method and the seed.

    Conditions are in the order of the values in which they differ (10 Mbps before 1 Gbps).

    Raises:
        ResultsError: There is no run, or a scenario cannot be read.
    """
    found: dict[str, list[Run]] = {}
    for run in runs:
        own = {key: value for key, value in run.scenario.items() if key not in _NOT_OF_A_CONDITION}
        found.setdefault(json.dumps(own, sort_keys=True, default=str), []).append(run)
    flat = [dict(leaves(json.loads(key))) for key in found]
    keys = list(dict.fromkeys(key for own in flat for key in own))
    differing = [key for key in keys if len({repr(own.get(key)) for own in flat}) > 1]
    sorted_out = [
        Condition(title, _by_seed(same))
        for title, same in zip(_titles(flat, differing), found.values(), strict=True)
    ]
    place = {
        one.title: [_place(own.get(key)) for key in differing]
        for one, own in zip(sorted_out, flat, strict=True)
    }
    return sorted(sorted_out, key=lambda one: place[one.title])


def _place(value: Any) -> tuple[int, float, str]:
    """Numbers and quantities by their size, before all text."""
    number = si(value)
    if isinstance(number, int | float) and not isinstance(number, bool):
        return 0, float(number), ""
    return 1, 0.0, str(value)


def _by_seed(runs: Sequence[Run]) -> tuple[Group, ...]:
    """The methods, the runs of each in the order of their seeds."""
    return tuple(
        Group(group.name, tuple(sorted(group.runs, key=lambda run: run.manifest.seed)))
        for group in group_runs(runs)
    )


def _titles(flat: Sequence[Mapping[str, Any]], differing: Sequence[str]) -> list[str]:
    """What is special about each condition, no two the same."""
    if len(flat) < 2:
        return [""] * len(flat)
    last = [key.rpartition(".")[2] for key in differing]
    said = {key: end if last.count(end) == 1 else key for key, end in zip(differing, last, strict=True)}
    titles = []
    for number, own in enumerate(flat, start=1):
        parts = [
            str(own[key]) if key == "name" else f"{said[key]} = {own[key]}" for key in differing if key in own
        ]
        titles.append(", ".join(parts[:4]) or f"condition {number}")
    if len(set(titles)) < len(titles):  # more differences than a title holds
        titles = [f"{title} ({number})" for number, title in enumerate(titles, start=1)]
    return titles
