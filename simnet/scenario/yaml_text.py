"""YAML text to plain values and their lines: YAML 1.2, nothing but plain data, no key twice."""

import io
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from simnet.scenario.errors import Path, Problem, ScenarioError

_TAG = "tag:yaml.org,2002:"
_PLAIN = {f"{_TAG}{name}" for name in ("null", "bool", "int", "float")}
_MOST_VALUES = 100_000


@dataclass
class _Reading:
    """What has been read so far of one text."""

    yaml: YAML
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    within: set[int] = field(default_factory=set)


def read_yaml(text: str) -> tuple[Any, dict[Path, int]]:
    """The value that ``text`` holds (dict, list, str, int, float, bool and None), and the line of each path.

    Keys are text as written (``1:`` is ``"1"``); dates are text. Raises `ScenarioError` for text that is
    not YAML, a key given twice (with both lines), a tag that asks for more than plain data, and text that
    unfolds to more than 100 000 values.
    """
    reading = _Reading(YAML(typ="safe", pure=True))
    try:
        node = reading.yaml.compose(io.StringIO(text))
    except MarkedYAMLError as error:
        raise ScenarioError([_syntax(error)]) from None
    except YAMLError as error:
        raise ScenarioError([Problem((), f"not YAML: {str(error).splitlines()[0]}")]) from None
    except RecursionError:
        raise ScenarioError([Problem((), "not YAML that can be read: nested too deeply")]) from None
    value = None if node is None else _value(node, (), reading)
    if reading.problems:
        raise ScenarioError(reading.problems)
    return value, reading.lines


def read_value(text: str) -> Any:
    """The value that ``text`` holds, as a YAML file would read it; raises `ScenarioError`."""
    return read_yaml(text)[0]


def _syntax(error: MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    what = ", ".join(part for part in (error.context, error.problem) if part)
    return Problem((), f"not YAML: {what or 'cannot be read'}", line=mark.line + 1 if mark else None)


def _value(node: Node, path: Path, reading: _Reading) -> Any:
    line = node.start_mark.line + 1
    reading.lines.setdefault(path, line)
    if id(node) in reading.within:
        reading.problems.append(Problem(path, "an alias inside what it stands for", line=line))
        return None
    if len(reading.lines) > _MOST_VALUES:
        raise ScenarioError([Problem((), f"more than {_MOST_VALUES} values", line=line)])
    reading.within.add(id(node))
    value: Any
    if isinstance(node, ScalarNode):
        value = _scalar(node, path, reading)
    elif isinstance(node, SequenceNode) and node.tag == f"{_TAG}seq":
        value = [_value(item, (*path, i), reading) for i, item in enumerate(node.value)]
    elif isinstance(node, MappingNode) and node.tag == f"{_TAG}map":
        value = _mapping(node, path, reading)
    else:
        value = _refused(node, path, reading)
    reading.within.discard(id(node))
    return value


def _scalar(node: ScalarNode, path: Path, reading: _Reading) -> Any:
    if node.tag in _PLAIN:
        try:
            return reading.yaml.constructor.construct_object(node)
        except (ValueError, YAMLError):
            reading.problems.append(Problem(path, "a value that its tag does not fit", node.value))
            return None
    if node.tag in (f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}value"):
        return node.value
    return _refused(node, path, reading)


def _mapping(node: MappingNode, path: Path, reading: _Reading) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, ScalarNode):
            reading.problems.append(Problem(path, "a key that is not text", line=line))
            continue
        key = str(key_node.value)
        if key_node.tag == f"{_TAG}merge":
            expected = "the keys themselves, or an alias of the whole value"
            reading.problems.append(
                Problem((*path, key), "merge keys are not supported", expected=expected, line=line)
            )
            continue
        if key in value:
            first = reading.lines[(*path, key)]
            reading.problems.append(
                Problem(
                    (*path, key), f"given twice, first on line {first}", expected="each key once", line=line
                )
            )
            continue
        reading.lines[(*path, key)] = line
        value[key] = _value(value_node, (*path, key), reading)
    return value


def _refused(node: Node, path: Path, reading: _Reading) -> Any:
    line = node.start_mark.line + 1
    reading.problems.append(
        Problem(path, f"the tag {node.tag} is not allowed", expected="plain values only", line=line)
    )
    return None
