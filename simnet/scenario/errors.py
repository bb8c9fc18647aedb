"""What can be wrong with a scenario, and how it is told to people."""

import difflib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from simnet.scenario.source import Source

Path = tuple[str | int, ...]
"""Where a value sits in the YAML: keys and list indices from the top level down."""


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()
"""Stands for "nothing was given", which None does not: None is a value that YAML can give."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, what, what was given, what would be right.

    ``path`` is empty when the whole file is meant. ``suggestion`` is the likely intention: a bare spelling,
    or a phrase with the spellings in backticks. ``line`` is only set where the path cannot tell it (YAML
    that does not parse), ``written_at`` where the value was written elsewhere (in a sweep).
    """

    path: Path
    message: str
    given: object = MISSING
    expected: str = ""
    suggestion: str = ""
    line: int | None = None
    written_at: Path | None = None


class ScenarioError(ValueError):
    """A scenario that cannot be run, with everything that is wrong with it.

    Any room raises it with the path of the YAML key; `describe` adds the file and the line. It is a
    `ValueError` so that a pydantic validator may raise it, and its problems then arrive with their full
    paths.
    """

    def __init__(self, problems: Iterable[Problem], source: "Source | None" = None) -> None:
        self.problems = tuple(problems)
        self.source = source
        super().__init__(self.problems, source)

    @classmethod
    def at(
        cls,
        path: Sequence[str | int],
        message: str,
        *,
        given: object = MISSING,
        expected: str = "",
        suggestion: str = "",
    ) -> "ScenarioError":
        """An error with a single problem at ``path``."""
        return cls([Problem(tuple(path), message, given, expected, suggestion)])

    def under(self, prefix: Sequence[str | int]) -> "ScenarioError":
        """The same error with every path below ``prefix``."""
        moved = [replace(problem, path=(*prefix, *problem.path)) for problem in self.problems]
        return ScenarioError(moved, self.source)

    def __str__(self) -> str:
        return describe(self)


def nearest(name: str, choices: Iterable[str]) -> str:
    """The choice that is spelled most like ``name``, or "" where none is near."""
    by_folded = {choice.lower().replace("_", "-"): choice for choice in choices}
    found = difflib.get_close_matches(name.lower().replace("_", "-"), by_folded, n=1, cutoff=0.6)
    return by_folded[found[0]] if found else ""


def describe(error: ScenarioError, source: "Source | None" = None) -> str:
    """``error`` for people: per problem the file and line, the key, what was given and what would be right.

    Without ``source`` the one that the error carries is used; without either, only keys are named.
    """
    source = source or error.source
    return "\n".join(_describe_problem(problem, source) for problem in error.problems)


def _describe_problem(problem: Problem, source: "Source | None") -> str:
    place = source.place(problem.written_at or problem.path, problem.line) if source else ""
    key = ".".join(str(part) for part in problem.path)
    lines = [": ".join(part for part in (place, key, problem.message) if part)]
    if problem.given is not MISSING:
        name = next((part for part in problem.path[-1:] if isinstance(part, str)), None)
        lines.append(f"    given:    {shown(problem.given, name)}")
    if problem.expected:
        lines.append(f"    expected: {problem.expected}")
    if problem.suggestion:
        spelled = problem.suggestion if "`" in problem.suggestion else f"`{problem.suggestion}`"
        lines.append(f"    did you mean {spelled}?")
    return "\n".join(lines)


def shown(value: object, key: str | None = None, width: int = 90) -> str:
    """``value`` as it would stand in YAML on one line (after ``key:`` if given), shortened to ``width``."""
    text = _one_line(value if key is None else {key: value}, bare=key is not None)
    return text if len(text) <= width else f"{text[: width - 3]}..."


def _one_line(value: object, bare: bool = False) -> str:
    from ruamel.yaml import YAML, YAMLError

    if isinstance(value, str) and not value:
        return '""'
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = True
    yaml.width = 10**6
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel declares it None
    text = io.StringIO()
    try:
        yaml.dump(value, text)
    except YAMLError:  # a Python object that YAML has no word for
        return (
            ": ".join(map(repr, next(iter(value.items()))))
            if bare and isinstance(value, Mapping)
            else repr(value)
        )
    line = text.getvalue().strip().removesuffix("...").strip()
    return line[1:-1] if bare else line
