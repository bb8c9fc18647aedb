"""From a YAML file to checked scenarios, and back to YAML."""

import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Any

from simnet.scenario.axes import swept_keys
from simnet.scenario.device_files import with_device_files
from simnet.scenario.errors import Path, Problem, ScenarioError, describe
from simnet.scenario.faults import FaultsConfig
from simnet.scenario.library import find_network, find_scenario
from simnet.scenario.overrides import with_overrides
from simnet.scenario.schema import Scenario
from simnet.scenario.source import Source
from simnet.scenario.sweep import Point, expand
from simnet.scenario.use import with_used_network
from simnet.scenario.validate import validated
from simnet.scenario.yaml_text import read_yaml


@dataclass(frozen=True)
class SweepPoint:
    """One scenario of a document, and the values of the sweep that make it (empty without a sweep)."""

    scenario: Scenario
    point: dict[str, Any]


@dataclass(frozen=True)
class Document:
    """A scenario file, read and checked: what it says after overrides, and the scenarios it stands for."""

    source: Source
    mapping: dict[str, Any]
    scenarios: tuple[SweepPoint, ...]

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.scenarios[0].scenario.name

    def explain(self, error: ScenarioError) -> str:
        """``error`` for people, with the file and the lines of this document."""
        return describe(error, error.source or self.source)


def load_file(path: str | FilePath, overrides: Iterable[str] = ()) -> Document:
    """Read and check a scenario file, or one of the library by name, with ``key.path=value`` overrides.

    Raises `ScenarioError` with everything that is wrong at once; it carries the source, so ``str(error)``
    names file and lines.
    """
    file = find_scenario(path)
    source = Source(str(file), file.resolve().parent)
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        message = f"not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}"
        raise ScenarioError([Problem((), message)], source) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ScenarioError([Problem((), f"cannot be read: {reason}")], source) from None
    return load_text(text, overrides, name=str(file), folder=source.folder)


def load_network(name: str | FilePath, overrides: Iterable[str] = (), workers: int | None = None) -> Scenario:
    """The first scenario of a file; of a file with a network only, a scenario that is just good for its
    network.

    That one has ``workers`` workers; as many as there are hosts if not given. Raises `ScenarioError`.
    """
    file = _network_file(name)
    text = file.read_text(encoding="utf-8-sig", errors="replace")
    value, _ = read_yaml(text)
    if not isinstance(value, dict) or "network" not in value or "task" in value:
        return load_file(file, overrides).scenarios[0].scenario
    mapping = {
        "name": re.sub(r"[^A-Za-z0-9_.-]", "-", file.stem).lstrip(".-") or "network",
        "network": {"use": str(file.resolve())},
        "workers": {"device": "cpu"} | ({"count": workers} if workers else {}),
        "task": {"name": "quadratic", "batch_size": 1, "optimizer": "sgd"},
        "algorithms": ["allreduce"],
        "stop": {"steps": 1},
    }
    source = Source(str(file), file.resolve().parent)
    try:
        mapping, source = with_overrides(mapping, overrides, source)
        return _checked(mapping, source)[0].scenario
    except ScenarioError as error:
        raise ScenarioError(error.problems, error.source or source) from None


def _network_file(name: str | FilePath) -> FilePath:
    try:
        return find_scenario(name)
    except ScenarioError as error:
        try:
            return find_network(str(name), None, ())
        except ScenarioError:
            raise error from None


def load_text(
    text: str, overrides: Iterable[str] = (), *, name: str = "<text>", folder: FilePath | None = None
) -> Document:
    """The same for YAML text: ``name`` is shown in errors, plugins are looked for in ``folder``."""
    source = Source(name, folder)
    try:
        value, lines = read_yaml(text)
        source = replace(source, lines=_with_group_0(lines))
        if not isinstance(value, dict):
            what = "an empty file" if value is None else "the top level is not a mapping"
            raise ScenarioError.at(
                (), what, expected="keys such as name, network, workers, task, algorithms, stop"
            )
        mapping, source = with_overrides(value, overrides, source)
        scenarios = _checked(mapping, source)
        first = scenarios[0].scenario.source
        return Document(replace(source, used=first.used if first else {}), mapping, scenarios)
    except ScenarioError as error:
        raise ScenarioError(error.problems, error.source or source) from None


def _with_group_0(lines: dict[Path, int]) -> dict[Path, int]:
    """Lines under ``workers.0`` too where ``workers`` is a single group: the schema makes it a list."""
    if ("workers", 0) in lines:
        return lines
    return lines | {("workers", 0, *at[1:]): line for at, line in lines.items() if at[:1] == ("workers",)}


def _checked(mapping: dict[str, Any], source: Source) -> tuple[SweepPoint, ...]:
    """Every point of the sweep, validated; a problem that several points share is told once."""
    problems: list[Problem] = []
    broken: list[str] = []
    try:
        points = expand(mapping)
    except ScenarioError as error:
        problems += error.problems
        broken = swept_keys(mapping["sweep"]) if isinstance(mapping["sweep"], dict) else []
        points = [Point({}, {key: value for key, value in mapping.items() if key != "sweep"}, {})]
    scenarios = []
    used: dict[Path, Source] = {}
    for point, resolved, origins in points:
        here = source
        for path, origin in origins.items():
            here = here.with_origin(path, origin)
        try:
            whole, here = with_used_network(with_device_files(resolved, here), here)
            used = {**here.used, **used}
            scenarios.append(SweepPoint(validated(Scenario, whole, ()).read_from(here), point))
        except ScenarioError as error:
            if error.source is not None:  # a file that is used cannot be read: its lines, not this one's
                raise
            problems += [
                _as_written(problem, here) for problem in error.problems if not _supplied(problem, broken)
            ]
    if problems:
        source = replace(source, used=used)
        told = {describe(ScenarioError([problem]), source): problem for problem in reversed(problems)}
        raise ScenarioError(reversed(told.values()), source)
    return tuple(scenarios)


def _as_written(problem: Problem, here: Source) -> Problem:
    origin = here.origin(problem.path)
    return replace(problem, written_at=origin) if isinstance(origin, tuple) else problem


def _supplied(problem: Problem, keys: list[str]) -> bool:
    """Whether the problem is at a key, or above one, that a sweep gives which cannot be expanded."""
    dotted = ".".join(map(str, problem.path))
    return any(f"{key}.".startswith(f"{dotted}.") for key in keys)


def canonical(scenario: Scenario, instead: Mapping[Path, str] | None = None) -> dict[str, Any]:
    """What ``scenario`` says as plain JSON values with explicit units, its keys in one order: for hashing.

    ``instead`` are texts that take the place of the values at some paths.
    """
    return _ordered(stated(scenario, instead))


def stated(scenario: Scenario, instead: Mapping[Path, str] | None = None) -> dict[str, Any]:
    """What ``scenario`` says as plain JSON values, as `dump` writes it."""
    said: dict[str, Any] = scenario.model_dump(mode="json")
    if scenario.faults == FaultsConfig():  # no faults are the same as no section
        said.pop("faults", None)
    for path, text in (instead or {}).items():
        place: Any = said
        for part in path[:-1]:
            place = place[part]
        place[path[-1]] = text
    return said


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def dump(scenario: Scenario, instead: Mapping[Path, str] | None = None) -> str:
    """``scenario`` as YAML, resolved and with explicit units; it loads back to an equal scenario.

    ``instead`` are texts that take the place of the values at some paths.
    """
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.allow_unicode = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel declares it None
    text = io.StringIO()
    yaml.dump(stated(scenario, instead), text)
    return text.getvalue()
