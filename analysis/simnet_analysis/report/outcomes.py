"""What methods came to under one condition, seed by seed, and which differences are significant."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, isfinite
from statistics import fmean

from simnet.results import ResultsError, Run, higher_is_better
from simnet_analysis.measures import Goal, say
from simnet_analysis.report.conditions import Condition
from simnet_analysis.statistics import Comparison, Interval, compare, mean_interval
from simnet_analysis.table import default_target

PRICED = ("dollars", "kwh")
_WORDS = {"time": "time", "bytes": "bytes", "dollars": "dollars", "kwh": "energy"}


@dataclass(frozen=True)
class Quantity:
    """One number per method and seed."""

    spent: str
    """time, bytes, dollars, kwh or final."""
    title: str
    larger_is_better: bool
    values: Mapping[str, Mapping[int, float]]
    """Method -> seed -> value; infinite where the target was never reached."""
    comparisons: tuple[Comparison, ...]

    def interval(self, name: str) -> Interval | None:
        """Mean and interval of a method over its seeds; None unless all its values are finite."""
        values = list(self.values[name].values())
        return mean_interval(values) if all(map(isfinite, values)) else None

    def order(self, name: str) -> float:
        """By this a method is ranked: smaller is better, infinite where it has no mean."""
        found = self.interval(name)
        return inf if found is None else -found.mean if self.larger_is_better else found.mean

    def say(self, value: float) -> str:
        """A value with its unit."""
        return f"{value:.4g}" if self.spent == "final" else say(self.spent, value)

    def between(self, first: str, second: str) -> Comparison:
        """The comparison of two methods, as ``first`` minus ``second``."""
        for one in self.comparisons:
            if (one.first, one.second) == (first, second):
                return one
            if (one.second, one.first) == (first, second):
                return _turned(one)
        raise KeyError((first, second))


@dataclass(frozen=True)
class Outcome:
    """A condition with its quantities; the methods in the order of their rank."""

    condition: Condition
    metric: str | None
    target: float | None
    quantities: tuple[Quantity, ...]
    ranked: tuple[str, ...]

    @property
    def first(self) -> Quantity:
        """The quantity by which methods are ranked: the time."""
        return self.quantities[0]


def outcome(condition: Condition, metric: str | None, target: float | None = None) -> Outcome:
    """Every quantity of every method, ranked by the time to the target, then by the final metric.

    Args:
        condition: With one method or more.
        metric: None for timing-only runs: then quantities are of whole runs.
        target: What every method reaches, if not given (see `default_target`).

    Raises:
        ResultsError: A run recorded no such metric.
    """
    if metric is not None and target is None:
        target = default_target(condition.runs, metric)
    whole = metric is None or target is None
    found = []
    for spent, word in _WORDS.items():
        goal = Goal(spent, metric or "loss", None if whole else target)
        values = _values(condition, goal)
        if values is not None:
            title = f"{word} of the run" if whole else f"{word} to {metric} {target:g}"
            found.append(Quantity(spent, title, False, values, tuple(compare(values))))
    if metric is not None:
        values = _values(condition, Goal("final", metric))
        assert values is not None, "a missing metric has been raised by now"
        better = higher_is_better(metric)
        found.append(Quantity("final", f"final {metric}", better, values, tuple(compare(values))))
    names = [group.name for group in condition.groups]
    ranked = sorted(names, key=lambda name: (found[0].order(name), found[-1].order(name)))
    if metric is not None and whole:  # nobody learned: what is left is the final value
        ranked = sorted(names, key=lambda name: (found[-1].order(name), found[0].order(name)))
    return Outcome(condition, metric, target, tuple(found), tuple(ranked))


def _values(condition: Condition, goal: Goal) -> dict[str, dict[int, float]] | None:
    """Method -> seed -> value; None for what has no price.

    A seed that was run twice counts once: its mean.
    """
    found: dict[str, dict[int, float]] = {}
    for group in condition.groups:
        by_seed: dict[int, list[float]] = {}
        for run in group.runs:
            try:
                by_seed.setdefault(run.manifest.seed, []).append(goal.of(run))
            except ResultsError:
                if goal.spent in PRICED:
                    return None
                raise
        found[group.name] = {seed: fmean(values) for seed, values in sorted(by_seed.items())}
    return found


def repeated(condition: Condition) -> dict[str, list[int]]:
    """The seeds that a method has more than one run of."""
    found: dict[str, list[int]] = {}
    for group in condition.groups:
        seeds = [run.manifest.seed for run in group.runs]
        twice = sorted({seed for seed in seeds if seeds.count(seed) > 1})
        if twice:
            found[group.name] = twice
    return found


def metric_of(runs: tuple[Run, ...], asked: str | None) -> str | None:
    """The metric of a report: the one asked for, else the loss, else the first one; None for runs without."""
    names = [name for run in runs[:1] for name in run.manifest.final]
    if asked is not None or not names:
        return asked
    return "loss" if "loss" in names else names[0]


def _turned(one: Comparison) -> Comparison:
    given = one.difference
    turned = None if given is None else Interval(-given.mean, -given.high, -given.low, given.count)
    return Comparison(one.second, one.first, one.seeds, turned, one.p, one.p_adjusted, one.untested)
