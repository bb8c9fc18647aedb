"""What `recommend` tries: all methods with their default options, and a small grid of each."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simnet.algorithms import algorithm_names
from simnet.answers.search import SearchError
from simnet.batch.pool import Call, Died, Pool, Raised, Returned
from simnet.scenario import Document, Scenario, ScenarioError, load_file
from simnet.scenario.schema import AlgorithmEntry
from simnet.scenario.task import SYNTHETIC

Options = Mapping[str, Any]

GRIDS: dict[str, tuple[Options, ...]] = {
    "local-sgd": ({"local_steps": 5}, {"local_steps": 50}),
    "diloco": ({"local_steps": 10}, {"local_steps": 20}),
    "gossip": ({"local_steps": 5}, {"local_steps": 20}),
    "d-psgd": ({"graph": "ring"}, {"graph": "exponential"}),
    "fedavg": ({"local_steps": 5}, {"local_steps": 50}),
    "fedbuff": ({"local_steps": 5},),
}
"""Options that are tried beside the defaults, by method."""

ROUNDS = 2
"""A method must get so many rounds of local steps in the shortest runs, or they say nothing about it."""

_AGAINST_ATTACKS = "it is made for attacks, and the scenario has none (faults.byzantine)"


@dataclass(frozen=True)
class Candidates:
    """What is tried, and what is not."""

    entries: tuple[AlgorithmEntry, ...]
    excluded: dict[str, str]
    """By label: why it is not tried."""


def candidates(
    scenario: str | Path, overrides: Sequence[str], shortest: int, jobs: int, methods: Sequence[str] = ()
) -> Candidates:
    """All methods that can run in ``scenario``, in the order of the scenario and then of `simnet list`.

    ``shortest`` is the number of steps of the shortest runs; ``methods`` are the names to look at, all if
    empty. Raises `ScenarioError` for a scenario that does not load, or where losses are not learned.
    """
    document = load_file(scenario, overrides)
    base = document.scenarios[0].scenario
    if base.task.name == SYNTHETIC:
        raise ScenarioError.at(
            ("task", "name"),
            "nothing is learned, so methods cannot be ranked by their losses",
            given=SYNTHETIC,
            expected="another task; `simnet crossover --metric time` compares times alone",
        )
    unknown = [name for name in methods if name not in (*algorithm_names(), *_names(base))]
    if unknown:
        raise SearchError(f"no method is called {unknown[0]}: `simnet list algorithms` shows all")
    entries, excluded = [], {}
    for entry in _all(base):
        if methods and entry.name not in methods and entry.label not in methods:
            continue
        rounds = entry.options.get("local_steps", _default_local_steps(entry))
        if entry.name.startswith("robust-") and not base.faults.byzantine:
            excluded[entry.label] = _AGAINST_ATTACKS
        elif rounds is not None and rounds * ROUNDS > shortest:
            excluded[entry.label] = (
                f"fewer than {ROUNDS} rounds of local steps in the shortest runs, which have {shortest} steps"
            )
        else:
            entries.append(entry)
    why = _why_not(document, entries, jobs)
    runnable = tuple(entry for entry in entries if entry.label not in why)
    return Candidates(runnable, {**excluded, **why})


def _names(base: Scenario) -> list[str]:
    return [text for entry in base.algorithms for text in (entry.name, entry.label)]


def _all(base: Scenario) -> list[AlgorithmEntry]:
    """The scenario's own algorithms, then every method by default and over its grid; nothing twice."""
    entries = list(base.algorithms)
    known = [(entry.name, _full_options(entry)) for entry in entries]
    labels = {entry.label for entry in entries}
    for name in algorithm_names():
        for options in ({}, *GRIDS.get(name, ())):
            label = "-".join([name, *(f"{key}-{value}" for key, value in options.items())])
            entry = AlgorithmEntry.model_validate({"name": name, "label": label, **options})
            same = (name, _full_options(entry))
            if same in known:
                continue
            if label in labels:
                entry = entry.model_copy(update={"label": f"{label}-default"})
            known.append(same)
            labels.add(entry.label)
            entries.append(entry)
    return entries


def _full_options(entry: AlgorithmEntry) -> Any:
    """All options of an entry with defaults; what is given where they cannot be read."""
    from simnet.algorithms import algorithm_class

    try:
        return algorithm_class(entry.name)(**entry.options).model_dump(mode="json")
    except (KeyError, ValueError):  # a method beside the scenario, or options that planning will refuse
        return entry.options


def _default_local_steps(entry: AlgorithmEntry) -> int | None:
    found = _full_options(entry)
    return found.get("local_steps") if isinstance(found, Mapping) else None


def _why_not(document: Document, entries: Sequence[AlgorithmEntry], jobs: int) -> dict[str, str]:
    """By label, why a run of an entry cannot be built."""
    base = document.scenarios[0].scenario.model_copy(update={"expect": (), "sweep": {}})
    calls = [Call(entry.label, _objection, (_alone(base, entry),)) for entry in entries]
    why: dict[str, str] = {}
    with Pool(min(jobs, max(1, len(calls)))) as pool:
        for call, happened in pool.each(calls):
            match happened:
                case Returned(str() as objection) if objection:
                    why[call.key] = objection
                case Raised(error):
                    raise error
                case Died(reason):
                    why[call.key] = reason
    return why


def _alone(base: Scenario, entry: AlgorithmEntry) -> Scenario:
    return base.model_copy(update={"algorithms": (entry,)})


def _objection(scenario: Scenario, tell: Callable[[Any], None]) -> str:
    """Why the runs of a scenario cannot be built; "" if they can."""
    from simnet.plan import plans

    try:
        plans(scenario)
    except ScenarioError as error:
        problem = error.problems[0]
        where = ".".join(map(str, problem.path))
        expected = f" (expected: {problem.expected})" if problem.expected else ""
        return f"{where}: {problem.message}{expected}" if where else f"{problem.message}{expected}"
    return ""
