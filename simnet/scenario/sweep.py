"""Sweeps: one scenario that stands for many."""

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

from simnet.scenario.axes import SEEDS, WHEN, Axis, read_axes
from simnet.scenario.conditions import Condition, parse_condition
from simnet.scenario.errors import Path, Problem, ScenarioError
from simnet.scenario.overrides import with_value


class Point(NamedTuple):
    """One combination of a sweep's values: by key, the scenario with them, and which path came from where."""

    point: dict[str, Any]
    resolved: dict[str, Any]
    origins: dict[Path, Path]


def expand(mapping: Mapping[str, Any]) -> list[Point]:
    """The cartesian product over the axes of a scenario's ``sweep``, the last varying fastest.

    An axis is a dotted key with a list or a range of values, a group of keys under ``zip`` that change
    together, or ``seeds``. Points for which a comparison under ``when`` is false are left out. Without a
    sweep there is one point, with nothing set. Raises `ScenarioError` for axes and conditions that cannot be
    read, for keys that lead nowhere in this scenario, and where no point is left.
    """
    base = {key: value for key, value in mapping.items() if key != "sweep"}
    sweep = mapping.get("sweep")
    if sweep is None or sweep == {}:
        return [Point({}, base, {})]
    axes, conditions = _read(sweep, base)
    points = []
    for places in itertools.product(*(axis.places for axis in axes)):
        settings = [setting for place in places for setting in place]
        chosen = {setting.key: setting.value for setting in settings}
        if not all(condition.holds(chosen) for condition in conditions):
            continue
        resolved = base
        origins: dict[Path, Path] = {}
        for key, value, origin in settings:
            resolved, path = with_value(resolved, key, value)
            origins[path] = origin
        points.append(Point(chosen, resolved, origins))
    if not points:
        raise ScenarioError.at(
            ("sweep", WHEN), "leaves no point of the sweep", given=sweep[WHEN], expected="a weaker condition"
        )
    return points


def _read(sweep: object, base: dict[str, Any]) -> tuple[list[Axis], list[Condition]]:
    expected = "dotted keys with lists of values, such as `seed: [0, 1, 2]`"
    if not isinstance(sweep, dict):
        raise ScenarioError.at(("sweep",), "not a mapping", given=sweep, expected=expected)
    seed = base.get("seed", 0)
    axes, problems = read_axes(sweep, seed if isinstance(seed, int) else 0)
    for axis in axes:
        for key, _, origin in axis.places[0]:
            path = origin[:2] if origin[1] in (SEEDS, key) else origin[: origin.index(key) + 1]
            problems += _unreachable(base, key, path)
    keys = [key for axis in axes for key in axis.keys]
    conditions = []
    stated = sweep.get(WHEN, [])
    for index, text in enumerate(stated if isinstance(stated, list) else [stated]):
        path = ("sweep", WHEN, index) if isinstance(stated, list) else ("sweep", WHEN)
        try:
            conditions.append(parse_condition(text, keys, path))
        except ScenarioError as error:
            problems += error.problems
    if not axes and not problems:
        problems.append(Problem(("sweep",), "nothing is swept", sweep, expected))
    if problems:
        raise ScenarioError(problems)
    return axes, conditions


def _unreachable(base: dict[str, Any], key: str, path: Path) -> list[Problem]:
    try:
        with_value(base, key, None)
    except ScenarioError as error:
        problem = error.problems[0]
        where = ".".join(map(str, problem.path))
        message = f"names nothing: {where}: {problem.message}" if where else problem.message
        return [Problem(path, message, expected=problem.expected, suggestion=problem.suggestion)]
    return []
