"""The axes of a sweep: lists, ranges, seeds, and keys that change together."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, exp, log
from typing import Any, NamedTuple

from simnet.scenario.errors import MISSING, Path, Problem, ScenarioError, nearest
from simnet.units import UnitError, bytes_, bytes_per_second, flops_per_second, quantity, seconds

ZIP, WHEN, SEEDS = "zip", "when", "seeds"
"""Keys of a sweep that are not keys of the scenario."""

MOST_VALUES = 10_000
"""Values of one range at most; more are a slip of the pen."""

EXPECTED = (
    "a list of values, {logspace: [1 Mbps, 1 Gbps], points: 4}, {linspace: [0, 1], points: 5} "
    "or {range: [0, 10, 2]}"
)


class Setting(NamedTuple):
    """One value for one key, and where in the scenario it is written."""

    key: str
    value: Any
    origin: Path


@dataclass(frozen=True)
class Axis:
    """What changes together: one tuple of settings for each place on the axis, all with the same keys."""

    places: tuple[tuple[Setting, ...], ...]

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that it sets."""
        return tuple(setting.key for setting in self.places[0])


def read_axes(sweep: Mapping[str, Any], first_seed: int) -> tuple[list[Axis], list[Problem]]:
    """The axes of a sweep in the order of the file, and what is wrong with those that are left out."""
    axes: list[Axis] = []
    problems: list[Problem] = []
    for key, value in sweep.items():
        if key == WHEN:
            continue
        try:
            axes += _axes(key, value, first_seed)
        except ScenarioError as error:
            problems += error.problems
    seen: set[str] = set()
    for axis in axes:
        for setting in axis.places[0]:
            if setting.key in seen:
                problems.append(
                    Problem(("sweep", setting.key), "swept twice", expected="one axis for each key")
                )
            seen.add(setting.key)
    return axes, problems


def swept_keys(sweep: Mapping[str, Any]) -> list[str]:
    """The scenario's keys that a sweep means to set, also where it cannot be read."""
    keys: list[str] = []
    for key, value in sweep.items():
        if key == ZIP:
            groups = value if isinstance(value, list) else [value]
            keys += [name for group in groups if isinstance(group, Mapping) for name in group]
        elif key != WHEN:
            keys.append("seed" if key == SEEDS else key)
    return keys


def _axes(key: str, value: Any, first_seed: int) -> Iterator[Axis]:
    path: Path = ("sweep", key)
    if key == ZIP:
        listed = isinstance(value, list)
        for index, group in enumerate(value if listed else [value]):
            yield _zipped(group, (*path, index) if listed else path)
    elif key == SEEDS:
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_VALUES:
            raise ScenarioError.at(path, "not a number of seeds", given=value, expected="a number such as 5")
        yield Axis(tuple((Setting("seed", first_seed + i, path),) for i in range(value)))
    else:
        yield Axis(tuple((setting,) for setting in _settings(key, value, path)))


def _zipped(group: Any, path: Path) -> Axis:
    if not isinstance(group, Mapping) or not group:
        expected = "keys with lists of one length, such as {workers.count: [4, 8], stop.steps: [200, 100]}"
        raise ScenarioError.at(path, "not a mapping", given=group, expected=expected)
    columns = [_settings(key, value, (*path, key)) for key, value in group.items()]
    lengths = {key: len(column) for key, column in zip(group, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{key} has {length}" for key, length in lengths.items())
        raise ScenarioError.at(path, f"axes of different lengths: {told}", expected="as many values for each")
    return Axis(tuple(zip(*columns, strict=True)))


def _settings(key: str, value: Any, path: Path) -> list[Setting]:
    if key.split(".")[0] in ("sweep", "expect", "name", "description"):
        raise ScenarioError.at(path, f"`{key.split('.')[0]}` cannot be swept", expected="another key")
    if isinstance(value, list):
        if not value:
            raise ScenarioError.at(path, "an empty list", given=value, expected="a list of values")
        return [Setting(key, each, (*path, i)) for i, each in enumerate(value)]
    if isinstance(value, Mapping):
        return [Setting(key, each, path) for each in _range(value, path)]
    raise ScenarioError.at(path, "not a list", given=value, expected=EXPECTED)


def _range(given: Mapping[str, Any], path: Path) -> list[Any]:
    kinds: dict[str, Callable[[Mapping[str, Any], Path], list[Any]]] = {
        "logspace": _logspace,
        "linspace": _linspace,
        "range": _steps,
    }
    found = [key for key in given if key in kinds]
    if len(found) != 1:
        key = next(iter(given), "")
        raise ScenarioError.at(
            path, "not a range", given=given, expected=EXPECTED, suggestion=nearest(str(key), kinds)
        )
    kind = found[0]
    allowed = {kind} if kind == "range" else {kind, "points"}
    for key in given:
        if key not in allowed:
            raise ScenarioError.at(
                (*path, key),
                "unknown key",
                given=given[key],
                expected=" and ".join(sorted(allowed)),
                suggestion=nearest(str(key), allowed),
            )
    return kinds[kind](given, path)


def _linspace(given: Mapping[str, Any], path: Path) -> list[Any]:
    scale, (first, last), points = _ends(given, "linspace", path)
    return [scale.value(first + (last - first) * Fraction(i, points - 1)) for i in range(points)]


def _logspace(given: Mapping[str, Any], path: Path) -> list[Any]:
    scale, (first, last), points = _ends(given, "logspace", path)
    if first <= 0 or last <= 0:
        raise ScenarioError.at(
            (*path, "logspace"), "has no logarithm", given=given["logspace"], expected="two values above zero"
        )
    growth = log(last / first)
    inner = [Fraction(float(first) * exp(growth * i / (points - 1))) for i in range(1, points - 1)]
    return [scale.value(value) for value in (first, *inner, last)]


def _steps(given: Mapping[str, Any], path: Path) -> list[Any]:
    path = (*path, "range")
    stated = given["range"] if isinstance(given["range"], list) else [given["range"]]
    expected = "[stop], [start, stop] or [start, stop, step], without the stop itself, as Python's range"
    if not 1 <= len(stated) <= 3:
        raise ScenarioError.at(path, "not a range", given=given["range"], expected=expected)
    scale, numbers = read_values(stated, path)
    start, stop = (Fraction(0), numbers[0]) if len(numbers) == 1 else (numbers[0], numbers[1])
    step = numbers[2] if len(numbers) == 3 else Fraction(1)
    length = 0 if step == 0 else ceil((stop - start) / step)
    if not 1 <= length <= MOST_VALUES:
        what = "without end" if step == 0 else "an empty range" if length < 1 else f"{length} values"
        raise ScenarioError.at(path, what, given=given["range"], expected=expected)
    return [scale.value(start + i * step) for i in range(length)]


def _ends(given: Mapping[str, Any], kind: str, path: Path) -> tuple["Scale", tuple[Fraction, Fraction], int]:
    points = given.get("points", MISSING)
    if not isinstance(points, int) or isinstance(points, bool) or not 2 <= points <= MOST_VALUES:
        raise ScenarioError.at(
            (*path, "points"), "not a number of points", given=points, expected=f"2 to {MOST_VALUES}"
        )
    ends = given[kind]
    if not isinstance(ends, list) or len(ends) != 2:
        raise ScenarioError.at((*path, kind), "not two values", given=ends, expected="the first and the last")
    scale, (first, last) = read_values(ends, (*path, kind))
    return scale, (first, last), points


@dataclass(frozen=True)
class Scale:
    """How the values of a range are written: with which unit, and whether as whole numbers where they are."""

    unit: str
    whole: bool

    def value(self, magnitude: Fraction) -> Any:
        """``magnitude`` as it stands in YAML, to twelve digits."""
        rounded = float(f"{float(magnitude):.12g}")
        if self.unit:
            return f"{rounded:.12g} {self.unit}"
        return int(rounded) if self.whole and rounded.is_integer() else rounded


_QUANTITY = re.compile(r"\s*([+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(\S.*?)\s*")
_READERS = (seconds, bytes_, bytes_per_second, flops_per_second, quantity)


def read_values(stated: list[Any], path: Path) -> tuple[Scale, list[Fraction]]:
    """Magnitudes of ``stated``, all in the unit of the first that has one (zero may go without).

    Raises `ScenarioError` at ``path`` for what is no number, and for units of several kinds.
    """
    pairs = [_magnitude(value, path) for value in stated]
    unit = next((unit for _, unit in pairs if unit), "")
    if unit:
        of = _kind(unit, path)
        for (magnitude, own), value in zip(pairs, stated, strict=True):
            if (not own and magnitude != 0) or (own and _kind(own, path) is not of):
                raise ScenarioError.at(
                    path, f"not measured in {unit}", given=value, expected="units of one kind"
                )
    whole = all(isinstance(value, int) for value in stated)
    return Scale(unit, whole), [
        magnitude * (_factor(own) / _factor(unit) if own and own != unit else 1) for magnitude, own in pairs
    ]


def _magnitude(value: Any, path: Path) -> tuple[Fraction, str]:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < float("inf"):
        return Fraction(repr(value)), ""
    found = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ScenarioError.at(
            path, "not a number", given=value, expected="a number or a quantity, such as 10 Mbps"
        )
    return Fraction(found[1].replace("_", "")), found[2]


def _kind(unit: str, path: Path) -> Callable[[str], float]:
    """The reader that understands ``unit``: what kind of quantity it is."""
    for reader in _READERS:
        try:
            reader(f"1 {unit}")
        except UnitError as error:
            problem = error
            continue
        return reader
    raise ScenarioError.at(path, problem.problem, given=unit, expected=problem.expected)


def _factor(unit: str) -> Fraction:
    return Fraction(quantity(f"1 {unit}"))


def sweep_schema() -> dict[str, Any]:
    """The JSON Schema of a sweep, for editors."""
    points = {"type": "integer", "minimum": 2}
    two = {"type": "array", "minItems": 2, "maxItems": 2}
    spaces = [
        {
            "type": "object",
            "properties": {kind: two, "points": points},
            "required": [kind, "points"],
            "additionalProperties": False,
        }
        for kind in ("logspace", "linspace")
    ]
    steps = {
        "type": "object",
        "properties": {"range": {"type": ["array", "number"], "minItems": 1, "maxItems": 3}},
        "required": ["range"],
        "additionalProperties": False,
    }
    axis = {"anyOf": [{"type": "array", "minItems": 1}, *spaces, steps]}
    group = {"type": "object", "additionalProperties": axis}
    line = {"type": "string"}
    return {
        "type": "object",
        "properties": {
            ZIP: {"anyOf": [group, {"type": "array", "items": group}]},
            WHEN: {"anyOf": [line, {"type": "array", "items": line}]},
            SEEDS: {"type": "integer", "minimum": 1},
        },
        "additionalProperties": axis,
    }
