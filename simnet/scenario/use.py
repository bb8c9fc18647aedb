"""`network: {use: networks/home-broadband}`: the network of another file, with one's own keys on top."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Any

from simnet.scenario.errors import Path, Problem, ScenarioError
from simnet.scenario.library import find_network
from simnet.scenario.source import Source
from simnet.scenario.yaml_text import read_yaml

NETWORK = "network"
_USE = (NETWORK, "use")


def with_used_network(mapping: dict[str, Any], source: Source) -> tuple[dict[str, Any], Source]:
    """``mapping`` with the network of the file that ``network.use`` names, under the keys beside ``use``.

    Mappings are merged key by key, everything else is replaced; a ``topology`` with a ``kind`` of its own
    that differs replaces the other file's. That file's network may use another's again. ``network: name`` is
    short for ``network: {use: name}``. The source knows which values came from which file.

    Raises `ScenarioError` where there is no such file, it has no network, or files use each other in a
    circle.
    """
    return _used(mapping, source, ())


def _used(
    mapping: dict[str, Any], source: Source, chain: tuple[FilePath, ...]
) -> tuple[dict[str, Any], Source]:
    network = mapping.get(NETWORK)
    name, path = (network, (NETWORK,)) if isinstance(network, str) else (None, _USE)
    own: dict[str, Any] = {}
    if isinstance(network, dict) and "use" in network:
        own = {key: value for key, value in network.items() if key != "use"}
        name = network["use"]
    elif name is None:
        return mapping, source
    if not isinstance(name, str):
        raise ScenarioError.at(_USE, "not a file", given=name, expected="the name of a network file")
    file = find_network(name, source.folder_of(path), path)
    if file.resolve() in chain:
        shown = " -> ".join(each.name for each in (*chain, file))
        raise ScenarioError.at(path, f"files use each other in a circle: {shown}", given=name)
    below, other = _read(file, name, path)
    try:
        below, other = _used(below, other, (*chain, file.resolve()))
    except ScenarioError as error:
        raise ScenarioError(error.problems, error.source or other) from None
    kept: dict[Path, Source] = {}
    merged = _merged(below[NETWORK], own, (NETWORK,), other, kept)
    return {**mapping, NETWORK: merged}, replace(source, used={**source.used, **kept})


def _read(file: FilePath, name: str, path: Path) -> tuple[dict[str, Any], Source]:
    other = Source(str(file), file.resolve().parent)
    try:
        value, lines = read_yaml(file.read_text(encoding="utf-8-sig"))
    except ScenarioError as error:
        raise ScenarioError(error.problems, other) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError.at(path, f"{file} cannot be read: {error}", given=name) from None
    other = replace(other, lines=lines)
    if not isinstance(value, dict) or not isinstance(value.get(NETWORK), dict | str):
        problem = Problem((), "no network in this file", expected="a mapping under the key `network`")
        raise ScenarioError([problem], other)
    return value, other


def _merged(
    below: Any, own: Mapping[str, Any], path: Path, other: Source, kept: dict[Path, Source]
) -> dict[str, Any]:
    """``below`` with ``own`` on top; ``kept`` gets the file of everything that is from below."""
    result: dict[str, Any] = {}
    for key, value in below.items():
        here = (*path, key)
        mine = own.get(key, value)
        if key not in own:
            _keep(here, other, kept)
            result[key] = value
        elif isinstance(value, dict) and isinstance(mine, dict) and not _another_kind(value, mine):
            result[key] = _merged(value, mine, here, other, kept)
        else:
            result[key] = mine
    return result | {key: value for key, value in own.items() if key not in result}


def _another_kind(below: Mapping[str, Any], own: Mapping[str, Any]) -> bool:
    return "kind" in own and own["kind"] != below.get("kind")


def _keep(path: Path, other: Source, kept: dict[Path, Source]) -> None:
    """Everything at and below ``path`` is the other file's, or that of a file which this one uses itself."""
    known = {at for at in (*other.lines, *other.used) if at[: len(path)] == path}
    for at in (path, *known):
        kept[at] = other.used.get(at, other)
