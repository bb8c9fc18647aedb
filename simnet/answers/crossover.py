"""Where two methods swap places along one axis of a scenario, found by bisection.

First the axis is looked at from end to end, at a few evenly spaced points. Wherever the winner changes
between two neighbours, the bracket is halved until it is narrow enough. So what happens twice between two
neighbours is not seen, and the answer says at how many points it looked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import fsum, inf, isfinite, nan
from pathlib import Path
from typing import Any

from simnet.algorithms import algorithm_names
from simnet.answers.measure import Measure
from simnet.answers.search import Cost, Search, SearchError
from simnet.answers.span import Span
from simnet.results import Run, higher_is_better
from simnet.scenario import Document, ScenarioError, SweepPoint, load_file, nearest, one_of
from simnet.scenario.schema import AlgorithmEntry

PRECISION = 0.05
POINTS = 5
MOST_HALVINGS = 60


@dataclass(frozen=True)
class Evaluated:
    """The two methods at one point of the axis."""

    number: float
    """Where, in the unit of the axis."""
    value: Any
    """The same as it stands in YAML."""
    figures: tuple[tuple[float, ...], tuple[float, ...]]
    """What was measured, by method and seed; infinite for a target that was not reached."""
    lower_wins: bool

    @property
    def means(self) -> tuple[float, float]:
        """Mean over the seeds of each method; infinite if one seed never got there."""
        first, second = (fsum(values) / len(values) for values in self.figures)
        return first, second

    @property
    def winner(self) -> int | None:
        """Which method is the better one on average, 0 or 1; None for a tie."""
        return self._better(*self.means)

    @property
    def agreeing(self) -> int:
        """In how many seeds the winner is the better one."""
        return sum(self._better(*pair) == self.winner for pair in zip(*self.figures, strict=True))

    def _better(self, first: float, second: float) -> int | None:
        if first == second:
            return None
        return int((second < first) == self.lower_wins)


@dataclass(frozen=True)
class Swap:
    """A stretch of the axis in which the winner changes; nothing in it was evaluated."""

    below: Evaluated
    above: Evaluated


@dataclass(frozen=True)
class Crossover:
    """The answer: the methods, what was evaluated, and where they swap."""

    labels: tuple[str, str]
    span: Span
    measure: Measure
    seeds: int
    points: tuple[Evaluated, ...]
    """In order along the axis."""
    swaps: tuple[Swap, ...]
    """In the same order; none where one method wins at every point."""
    cost: Cost

    def width(self, swap: Swap) -> float:
        """How wide a bracket is; see `Span.width`."""
        return self.span.width(swap.below.number, swap.above.number)


def find_crossover(
    scenario: str | Path,
    span: Span,
    between: tuple[str, str],
    measure: Measure,
    search: Search,
    *,
    overrides: Sequence[str] = (),
    seeds: int = 1,
    precision: float = PRECISION,
    points: int = POINTS,
) -> Crossover:
    """Find every swap that shows between ``points`` evenly spaced points, each to ``precision``
    (of whole numbers, to neighbours).

    ``between`` are labels of the scenario's algorithms, or names of methods, which then have their default
    options. The scenario's sweep is left out; ``seeds`` seeds are run from its own on. A target that is not
    given is the best value that both methods reach at both ends, in all seeds.

    Raises `ScenarioError` for what cannot be run, :class:`SearchError` where a run fails or where neither
    method reaches the target.
    """
    question = _Question(scenario, span, between, measure, search, tuple(overrides), seeds)
    numbers = span.points(points)
    if measure.needs_target and measure.target is None:
        target = _common_target(measure.metric, question.runs([numbers[0], numbers[-1]]))
        question = replace(question, measure=replace(measure, target=target))
    known = {point.number: point for point in question.evaluate(numbers)}
    for _ in range(MOST_HALVINGS):
        middles = [
            span.middle(swap.below.number, swap.above.number)
            for swap in _swaps(known)
            if span.whole or span.width(swap.below.number, swap.above.number) > precision
        ]
        wanted = [number for number in middles if number is not None]
        if not wanted:
            break
        known |= {point.number: point for point in question.evaluate(wanted)}
    ordered = tuple(known[number] for number in sorted(known))
    return Crossover(between, span, question.measure, seeds, ordered, tuple(_swaps(known)), search.cost)


def _swaps(known: Mapping[float, Evaluated]) -> list[Swap]:
    ordered = [known[number] for number in sorted(known)]
    return [Swap(below, above) for below, above in pairwise(ordered) if below.winner != above.winner]


@dataclass(frozen=True)
class _Question:
    """What is asked at every point."""

    scenario: str | Path
    span: Span
    between: tuple[str, str]
    measure: Measure
    search: Search
    overrides: tuple[str, ...]
    seeds: int

    def evaluate(self, numbers: Sequence[float]) -> list[Evaluated]:
        """The methods at some points of the axis, whose runs are one batch."""
        evaluated = []
        for number, runs in zip(numbers, self.runs(numbers), strict=True):
            first, second = (tuple(map(self.measure.of, runs[label])) for label in self.between)
            value = self.span.value(number)
            if not any(map(isfinite, (*first, *second))):
                raise SearchError(
                    f"neither {self.between[0]} nor {self.between[1]} comes to an end at "
                    f"{self.span.key}={value} ({self.measure}): ask for another --target, or let runs "
                    "be longer"
                )
            evaluated.append(Evaluated(number, value, (first, second), self.measure.lower_wins))
        return evaluated

    def runs(self, numbers: Sequence[float]) -> list[dict[str, list[Run]]]:
        """By point and label, the runs in the order of their seeds."""
        documents = [self._document(number) for number in numbers]
        by_point: list[dict[str, list[Run]]] = []
        for asked in self.search.runs(documents):
            by_label: dict[str, list[Run]] = {label: [] for label in self.between}
            for each in asked:
                if each.run is None:
                    raise SearchError(f"a run failed: {each.title}\n    {each.failure}")
                by_label[each.label].append(each.run)
            by_point.append(by_label)
        return by_point

    def _document(self, number: float) -> Document:
        sweep = f"sweep={{seeds: {self.seeds}}}"
        setting = f"{self.span.key}={self.span.value(number)}"
        document = load_file(self.scenario, [*self.overrides, setting, sweep])
        points = []
        for point in document.scenarios:
            entries = tuple(chosen(point.scenario.algorithms, label) for label in self.between)
            one = point.scenario.model_copy(update={"algorithms": entries})
            points.append(SweepPoint(one, {self.span.key: self.span.value(number), **point.point}))
        return replace(document, scenarios=tuple(points))


def chosen(entries: Sequence[AlgorithmEntry], label: str) -> AlgorithmEntry:
    """The entry that is called ``label``, else the method of that name with its default options.

    Raises `ScenarioError` where there is neither.
    """
    for entry in entries:
        if entry.label == label:
            return entry
    if label in algorithm_names():
        return AlgorithmEntry(name=label, label=label)
    names = list(dict.fromkeys([*(entry.label for entry in entries), *algorithm_names()]))
    raise ScenarioError.at(
        ("algorithms",),
        "no such algorithm in the scenario, nor a method of that name",
        given=label,
        expected=one_of(names),
        suggestion=nearest(label, names),
    )


def _common_target(metric: str, ends: Sequence[Mapping[str, Sequence[Run]]]) -> float:
    """The best value of ``metric`` that every run reaches."""
    best = max if higher_is_better(metric) else min
    worst = min if higher_is_better(metric) else max
    reached = [
        best((float(value) for value in run.arrays(metric)[2] if isfinite(value)), default=nan)
        for end in ends
        for runs in end.values()
        for run in runs
    ]
    if not all(map(isfinite, reached)):
        raise SearchError(f"a run has no finite {metric}: give a --target")
    return worst(reached, default=inf)
