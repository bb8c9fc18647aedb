"""Which method for a network and a deadline: a ranking by successive halving over short runs.

Each round runs all candidates that are left for a number of steps, ranks them by the loss that they have at
the round's deadline, and keeps the best part; the next round is longer by the same factor (Jamieson and
Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016). A round of
a share of the whole training's steps has that share of its deadline: it is the question in miniature.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, fsum, inf, isnan
from pathlib import Path
from statistics import median_low

from simnet.answers.candidates import candidates
from simnet.answers.search import Asked, Cost, Search, SearchError
from simnet.batch.local import cores
from simnet.results import Run
from simnet.scenario import Document, ScenarioError, SweepPoint, load_file
from simnet.scenario.schema import AlgorithmEntry

FACTOR = 3
ROUNDS = 3
LAST = 3
"""So many candidates at least are in the last round."""
EVALUATIONS = 20


@dataclass(frozen=True)
class Standing:
    """How a candidate did in the last round that it was in."""

    entry: AlgorithmEntry
    round: int
    """Counted from 0."""
    steps: int
    """Steps per worker of its runs there."""
    losses: tuple[float, ...]
    """Held-out loss at the round's deadline, by seed; infinite where it failed or was not a number."""
    seconds_per_step: float
    """Virtual seconds per step of a worker, mean over the seeds."""
    bytes_per_step: float
    """Bytes sent by all per step of a worker, mean over the seeds."""
    failure: str = ""

    @property
    def label(self) -> str:
        """What it is called."""
        label: str = self.entry.label
        return label

    @property
    def loss(self) -> float:
        """Mean over the seeds."""
        return fsum(self.losses) / len(self.losses)

    def beaten_by(self, other: "Standing") -> int:
        """In how many seeds ``other`` has the lower loss; both must be of one round."""
        return sum(theirs < own for own, theirs in zip(self.losses, other.losses, strict=True))


@dataclass(frozen=True)
class Round:
    """One round of the search."""

    steps: int
    deadline_seconds: float
    """At which the losses of this round are read."""
    seeds: int
    candidates: int


@dataclass(frozen=True)
class Recommendation:
    """The ranking and how it came about."""

    steps: int
    """Of the whole training that is asked about."""
    deadline_seconds: float
    deadline_given: bool
    """Else it is the time that the candidate in the middle takes for all steps."""
    rounds: tuple[Round, ...]
    ranking: tuple[Standing, ...]
    """The best first; those of later rounds before those of earlier ones."""
    excluded: dict[str, str]
    """By label: why it was not tried."""
    cost: Cost


def recommend(
    scenario: str | Path,
    search: Search,
    *,
    overrides: Sequence[str] = (),
    deadline_seconds: float | None = None,
    budget: int | None = None,
    seeds: int = 3,
    methods: Sequence[str] = (),
) -> Recommendation:
    """Rank all methods that can run in ``scenario`` by their loss at the deadline.

    The training asked about has the scenario's `stop.steps` steps (``budget`` if it has none), and the
    deadline is ``deadline_seconds``, or `stop.time`. ``budget`` is the number of steps of the longest runs of
    the search: at most that of the training, which it is if not given. The last round has ``seeds`` seeds,
    the others one.

    Raises `ScenarioError` for what cannot be run, :class:`SearchError` where no candidate is left.
    """
    stop = load_file(scenario, [*overrides, "sweep={}"]).scenarios[0].scenario.stop
    steps = stop.steps or budget
    if steps is None:
        raise ScenarioError.at(("stop", "steps"), "missing key", expected="steps per worker, or --budget")
    longest = min(budget or steps, steps)
    lengths = [max(1, longest // FACTOR ** (ROUNDS - 1 - number)) for number in range(ROUNDS)]
    lengths = list(dict.fromkeys(lengths))
    given = stop.time if deadline_seconds is None else deadline_seconds
    trial = [*overrides, "sweep={}"]
    found = candidates(scenario, trial, lengths[0], search.jobs or cores(), methods)
    left = list(found.entries)
    if not left:
        raise SearchError("no method can run in this scenario:\n" + _listed(found.excluded))
    deadline = given
    rounds: list[Round] = []
    out: list[list[Standing]] = []
    for number, length in enumerate(lengths):
        count = seeds if number == len(lengths) - 1 else 1
        asked = _runs(scenario, trial, left, length, count, search)
        if deadline is None:
            deadline = _middle(asked) * steps
        until = deadline * length / steps
        standings = [_standing(entry, number, length, asked[entry.label], until) for entry in left]
        standings.sort(key=lambda one: (one.loss, one.seconds_per_step, one.label))
        rounds.append(Round(length, until, count, len(left)))
        last = number == len(lengths) - 1
        keep = len(left) if last else max(min(LAST, len(left)), ceil(len(left) / FACTOR))
        kept = [one for one in standings[:keep] if one.loss < inf]
        out.append(standings if last or not kept else [one for one in standings if one not in kept])
        if not kept:
            break
        left = [one.entry for one in kept]
    ranking = tuple(one for standings in reversed(out) for one in standings)
    return Recommendation(
        steps, deadline or 0.0, given is not None, tuple(rounds), ranking, found.excluded, search.cost
    )


def _runs(
    scenario: str | Path,
    overrides: Sequence[str],
    entries: Sequence[AlgorithmEntry],
    steps: int,
    seeds: int,
    search: Search,
) -> dict[str, list[Asked]]:
    """By label, the runs of a round in the order of their seeds."""
    changes = [
        f"stop={{steps: {steps}}}",
        f"evaluate.every={max(1, steps // EVALUATIONS)} steps",
        f"sweep={{seeds: {seeds}}}",
    ]
    document = load_file(scenario, [*overrides, *changes])
    points = tuple(_with(point, entries) for point in document.scenarios)
    by_label: dict[str, list[Asked]] = {}
    for asked in search.runs([Document(document.source, document.mapping, points)])[0]:
        by_label.setdefault(asked.label, []).append(asked)
    return by_label


def _with(point: SweepPoint, entries: Sequence[AlgorithmEntry]) -> SweepPoint:
    scenario = point.scenario.model_copy(update={"algorithms": tuple(entries)})
    return replace(point, scenario=scenario)


def _middle(asked: dict[str, list[Asked]]) -> float:
    """Virtual seconds per step of the candidate in the middle."""
    paces = [
        each.run.manifest.virtual_seconds / each.run.manifest.steps
        for runs in asked.values()
        for each in runs
        if each.run is not None and each.run.manifest.steps > 0
    ]
    if not paces:
        failures = {each.title: each.failure for runs in asked.values() for each in runs}
        raise SearchError("all runs failed:\n" + _listed(failures))
    return median_low(paces)


def _standing(
    entry: AlgorithmEntry, number: int, steps: int, asked: Sequence[Asked], until: float
) -> Standing:
    runs = [each.run for each in asked if each.run is not None]
    failure = next((each.failure for each in asked if each.run is None), "")
    losses = tuple(inf if each.run is None else _loss_at(each.run, until) for each in asked)
    taken = [run.manifest for run in runs if run.manifest.steps > 0]
    if not failure and any(run.manifest.status == "aborted" for run in runs):
        failure = next(run.manifest.reason for run in runs if run.manifest.status == "aborted")
        losses = tuple(inf for _ in losses)
    if not failure and any(loss == inf for loss in losses):
        failure = "its loss is not a number"
    count = len(taken) or 1
    return Standing(
        entry,
        number,
        steps,
        losses,
        fsum(one.virtual_seconds / one.steps for one in taken) / count,
        fsum(one.bytes_sent / one.steps for one in taken) / count,
        failure,
    )


def _loss_at(run: Run, until: float) -> float:
    """The last loss that was evaluated by ``until``; infinite if it is not a number.

    Before the first evaluation it is the first: nothing better is known of the untrained model.
    """
    times, _, losses = run.arrays("loss")
    row = max(0, int((times <= until * (1 + 1e-12)).sum()) - 1)
    loss = float(losses[row])
    return inf if isnan(loss) else loss


def _listed(lines: dict[str, str]) -> str:
    return "\n".join(f"    {label}: {why}" for label, why in lines.items())
