"""Sweeps: one scenario that stands for many."""

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

from simnet.scenario.errors import Path, Problem, ScenarioError
from simnet.scenario.overrides import with_value


class Point(NamedTuple):
    """One combination of a sweep's values: by key, the scenario with them, and which path came from where."""

    point: dict[str, Any]
    resolved: dict[str, Any]
    origins: dict[Path, Path]


def expand(mapping: Mapping[str, Any]) -> list[Point]:
    """The cartesian product over the ``sweep`` of a scenario, the last key varying fastest.

    Without a sweep there is one point, with nothing set. Raises `ScenarioError` for a sweep that is not a
    mapping of dotted keys to lists with something in them, and for keys that lead nowhere in this scenario.
    """
    base = {key: value for key, value in mapping.items() if key != "sweep"}
    sweep = mapping.get("sweep")
    if sweep is None or sweep == {}:
        return [Point({}, base, {})]
    _check(sweep, base)
    points = []
    for indices in itertools.product(*(range(len(values)) for values in sweep.values())):
        chosen = {key: sweep[key][i] for key, i in zip(sweep, indices, strict=True)}
        resolved = base
        origins: dict[Path, Path] = {}
        for (key, value), i in zip(chosen.items(), indices, strict=True):
            resolved, path = with_value(resolved, key, value)
            origins[path] = ("sweep", key, i)
        points.append(Point(chosen, resolved, origins))
    return points


def _check(sweep: object, base: dict[str, Any]) -> None:
    expected = "dotted keys with lists of values, such as `seed: [0, 1, 2]`"
    if not isinstance(sweep, dict):
        raise ScenarioError.at(("sweep",), "not a mapping", given=sweep, expected=expected)
    problems: list[Problem] = []
    for key, values in sweep.items():
        path = ("sweep", key)
        if not isinstance(values, list):
            problems.append(Problem(path, "not a list", values, "a list of values"))
        elif not values:
            problems.append(Problem(path, "an empty list", values, "a list of values"))
        if key.split(".")[0] in ("sweep", "expect", "name"):
            problems.append(Problem(path, f"`{key.split('.')[0]}` cannot be swept", expected="another key"))
            continue
        try:
            with_value(base, key, None)
        except ScenarioError as error:
            problem = error.problems[0]
            where = ".".join(map(str, problem.path))
            message = f"names nothing: {where}: {problem.message}" if where else problem.message
            problems.append(Problem(path, message, expected=problem.expected, suggestion=problem.suggestion))
    if problems:
        raise ScenarioError(problems)
