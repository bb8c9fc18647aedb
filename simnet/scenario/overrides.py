"""Setting one value of a scenario by its dotted key: `--set key.path=value` and the keys of a sweep."""

from collections.abc import Iterable
from typing import Any

from simnet.scenario.errors import Path, ScenarioError, nearest
from simnet.scenario.fields import default_label
from simnet.scenario.source import Source
from simnet.scenario.validate import one_of
from simnet.scenario.yaml_text import read_value

Tree = dict[str, Any]
"""A scenario as YAML gives it."""


def with_overrides(mapping: Tree, overrides: Iterable[str], source: Source) -> tuple[Tree, Source]:
    """``mapping`` with each ``key.path=value`` applied in order, and a source that knows those values.

    The value is YAML. Raises `ScenarioError` for an override that has no ``=``, whose value is not YAML, or
    whose key cannot be reached; a key that the schema does not have is found when the result is validated.
    """
    for override in overrides:
        key, equals, text = override.partition("=")
        try:
            if not equals or not key.strip():
                expected = "key.path=value, such as network.link.latency=50ms"
                raise ScenarioError.at((), "not an override", given=override, expected=expected)
            mapping, path = with_value(mapping, key.strip(), read_value(text))
        except ScenarioError as error:
            raise ScenarioError(error.problems, source.with_origin((), override)) from None
        source = source.with_origin(path, override)
    return mapping, source


def with_value(mapping: Tree, key: str, value: Any) -> tuple[Tree, Path]:
    """A copy of ``mapping`` with the value at the dotted ``key`` replaced, and the path of that key.

    Parts of the key are keys of mappings, indices of lists, or the label (or name) of a list's entry.
    Mappings that are missing on the way are made, and a component given as a bare name becomes a mapping
    with that name. The original is not changed. Raises `ScenarioError` where the way ends: no such list
    entry, or a value in between that has no keys.
    """
    parts = key.split(".")
    if not all(parts):
        raise ScenarioError.at(
            (), "not a key", given=key, expected="keys joined by single dots, such as stop.time"
        )
    replaced, path = _replaced(mapping, parts, value, ())
    return replaced, path


def _replaced(node: Any, parts: list[str], value: Any, path: Path) -> tuple[Any, Path]:
    if not parts:
        return value, path
    if isinstance(node, list):
        index, rest = _entry(node, parts, path)
        below, whole = _replaced(node[index], rest, value, (*path, index))
        return [*node[:index], below, *node[index + 1 :]], whole
    if node is None:
        node = {}
    if isinstance(node, str):
        short_for: dict[Path, str] = {
            ("network",): "use",
            ("network", "topology"): "kind",
            ("network", "overlay"): "kind",
        }
        node = {short_for.get(path, "name"): node}
    if not isinstance(node, dict):
        raise ScenarioError.at(path, f"has no keys, so no `{parts[0]}`", given=node)
    below, whole = _replaced(node.get(parts[0]), parts[1:], value, (*path, parts[0]))
    return {**node, parts[0]: below}, whole


def _entry(entries: list[Any], parts: list[str], path: Path) -> tuple[int, list[str]]:
    """The index of the entry that ``parts`` begin with, and the parts after it. Labels may contain dots."""
    if parts[0].isdecimal():
        if int(parts[0]) < len(entries):
            return int(parts[0]), parts[1:]
        expected = f"an index from 0 to {len(entries) - 1}" if entries else "an entry in the list"
        raise ScenarioError.at((*path, int(parts[0])), "no such entry", expected=expected)
    labels = [_label(entry) for entry in entries]
    for end in range(len(parts), 0, -1):
        name = ".".join(parts[:end])
        if labels.count(name) > 1:
            expected = "an index instead, or a `label:` of its own for each"
            raise ScenarioError.at((*path, name), "more than one entry is called so", expected=expected)
        if name in labels:
            return labels.index(name), parts[end:]
    named = [label for label in labels if label]
    raise ScenarioError.at(
        (*path, parts[0]),
        "no such entry",
        expected=f"{one_of(named)}, or an index" if named else "an index",
        suggestion=nearest(parts[0], named),
    )


def _label(entry: Any) -> str:
    if isinstance(entry, str):
        return default_label(entry)
    if not isinstance(entry, dict):
        return ""
    return str(entry.get("label") or default_label(str(entry.get("name") or "")))
