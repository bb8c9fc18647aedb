"""Checking values against pydantic models and registries, with errors that a person can act on."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from simnet.scenario.errors import MISSING, Path, Problem, ScenarioError, nearest
from simnet.units import UnitError

Model = TypeVar("Model", bound=BaseModel)
T = TypeVar("T")

PLUGIN = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
"""How a piece of code is named in YAML: ``module:attribute``."""


def validated(model_class: type[Model], options: Mapping[str, Any], path: Sequence[str | int]) -> Model:
    """``options`` as a ``model_class``, which stands at ``path`` in the scenario.

    Raises `ScenarioError` with one problem per wrong key: its full path, what was given, what would be
    right and the nearest spelling.
    """
    try:
        return model_class.model_validate(options)
    except ValidationError as error:
        raise ScenarioError(_problems(error, model_class, options, tuple(path))) from None


def choose(name: str, registry: Mapping[str, T], path: Sequence[str | int], what: str) -> T:
    """The entry ``name`` of ``registry``; raises `ScenarioError` with the nearest name and the list."""
    if name in registry:
        return registry[name]
    raise ScenarioError.at(
        path,
        f"unknown {what}",
        given=name,
        expected=one_of(registry),
        suggestion=nearest(name, registry),
    )


def one_of(choices: Iterable[str]) -> str:
    """``one of a, b, c``, as errors list their choices."""
    names = list(choices)
    return f"one of {', '.join(names)}" if len(names) > 1 else names[0] if names else "nothing"


def _problems(error: ValidationError, model: Any, options: object, prefix: Path) -> list[Problem]:
    found: list[Problem] = []
    for detail in error.errors(include_url=False):
        path, given = _locate(detail, options)
        cause = detail.get("ctx", {}).get("error")
        match cause:
            case ScenarioError():
                for problem in cause.under((*prefix, *path)).problems:
                    whole = problem.given is MISSING and problem.path == (*prefix, *path)
                    found.append(replace(problem, given=given) if whole and not _is_tree(given) else problem)
            case None if detail["type"] == "too_short" and _long_enough(given, detail["ctx"]["min_length"]):
                pass  # pydantic does not count entries that are wrong themselves, which are told already
            case _:
                found.append(_problem(detail, model, options, path, prefix))
    # A required key that is misspelt is told once: as what it is called, not also as missing.
    meant = {(*problem.path[:-1], problem.suggestion) for problem in found if problem.message == _UNKNOWN_KEY}
    return [problem for problem in found if problem.message != _MISSING_KEY or problem.path not in meant]


def _long_enough(given: object, least: int) -> bool:
    return isinstance(given, list | tuple) and len(given) >= least


def _is_tree(given: object) -> bool:
    return isinstance(given, Mapping | list | tuple)


def _locate(detail: ErrorDetails, options: object) -> tuple[Path, object]:
    """The path of an error inside ``options``, without pydantic's names for the branches of a union."""
    path: list[str | int] = []
    value = options
    missing = detail["type"] == "missing"
    for part in detail["loc"][: -1 if missing else None]:
        match value, part:
            case Mapping(), str() if part in value:
                value = value[part]
            case list() | tuple(), int() if part < len(value):
                value = value[part]
            case BaseModel(), str() if part in type(value).model_fields:
                value = getattr(value, part)
            case _:
                continue
        path.append(part)
    if missing:
        return (*path, detail["loc"][-1]), MISSING
    return tuple(path), detail["input"] if isinstance(value, str) and isinstance(
        detail["input"], Mapping
    ) else value


_UNKNOWN_KEY, _MISSING_KEY = "unknown key", "missing key"
_EXPECTED = {
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "true or false"),
    "string_type": "text",
}


def _problem(detail: ErrorDetails, model: Any, options: object, path: Path, prefix: Path) -> Problem:
    full, given = (*prefix, *path), _locate(detail, options)[1]
    context = detail.get("ctx", {})
    cause = context.get("error")
    match detail["type"]:
        case "extra_forbidden":
            keys = _keys(_annotations_at(model, path[:-1]), _at(options, path[:-1]))
            return Problem(full, _UNKNOWN_KEY, given, one_of(keys), nearest(str(path[-1]), keys))
        case "missing":
            what = _MISSING_KEY if isinstance(path[-1], str) else "missing entry"
            return Problem(full, what, expected=_description(model, path, _at(options, path[:-1])))
        case "literal_error" | "enum":
            choices = re.findall(r"'([^']*)'", context["expected"])
            return Problem(
                full, "not one of the choices", given, one_of(choices), nearest(str(given), choices)
            )
        case "model_type" | "model_attributes_type" | "dict_type" | "mapping_type":
            keys = _keys(_annotations_at(model, path))
            return Problem(
                full, "not a mapping", given, f"keys and values ({', '.join(keys)})" if keys else ""
            )
        case "tuple_type" | "list_type":
            return Problem(full, "not a list", given, "a list")
        case "too_short" | "string_too_short":
            return Problem(full, "empty", given, f"at least {context['min_length']}")
        case kind if kind in _EXPECTED:
            return Problem(full, "wrong value", given, _EXPECTED[kind])
    if isinstance(cause, UnitError):
        return Problem(full, cause.problem, given, cause.expected, cause.suggestion)
    message = str(cause) if cause is not None else detail["msg"]
    if message.startswith("Input should "):
        return Problem(full, "wrong value", given, message.removeprefix("Input should ").removeprefix("be "))
    return Problem(full, message[:1].lower() + message[1:], given)


def _description(model: Any, path: Path, value: object) -> str:
    for owner in _meant(_models(_annotations_at(model, path[:-1])), value):
        if path[-1] in owner.model_fields:
            return (owner.model_fields[str(path[-1])].description or "").rstrip(".")
    return ""


def _keys(annotations: Iterable[Any], value: object = None) -> list[str]:
    """The keys that a mapping of one of these types may have; ``value`` may say by its name which it is."""
    models = [_named(model, value) for model in _meant(_models(annotations), value)]
    fields = [(key, field) for model in models for key, field in model.model_fields.items()]
    return list(dict.fromkeys(field.alias or key for key, field in fields))


def _meant(models: Iterable[type[BaseModel]], value: object) -> list[type[BaseModel]]:
    """Those of a union's ``models`` that ``value`` can be.

    A model may have a ``form``, a key that tells it from the others, or a field with one possible value only,
    such as its ``kind``.
    """
    alternatives = list(models)
    if not isinstance(value, Mapping):
        return alternatives

    def may_be(model: type[BaseModel]) -> bool:
        form = getattr(model, "form", None)
        fixed = {name: get_args(field.annotation) for name, field in model.model_fields.items()}
        return (form is None or form in value) and all(
            value[name] in choices
            for name, choices in fixed.items()
            if len(choices) == 1 and isinstance(choices[0], str) and isinstance(value.get(name), str)
        )

    return [model for model in alternatives if may_be(model)] or alternatives


def _named(model: type[BaseModel], value: object) -> type[BaseModel]:
    """The subclass of ``model`` that ``value`` names, as registries choose theirs, else ``model``."""
    name = value.get("name") if isinstance(value, Mapping) else None
    below = [model]
    for candidate in below:
        if name is not None and candidate.__dict__.get("name") == name:
            return candidate
        below += candidate.__subclasses__()
    return model


def _at(options: object, path: Path) -> Any:
    value: Any = options
    for part in path:
        value = getattr(value, str(part)) if isinstance(value, BaseModel) else value[part]
    return value


def _annotations_at(model: Any, path: Path) -> list[Any]:
    """The type annotations that describe what stands at ``path`` below ``model``."""
    current = [model]
    for part in path:
        below: list[Any] = []
        for annotation in _branches(current):
            arguments = [argument for argument in get_args(annotation) if argument is not Ellipsis]
            if isinstance(annotation, type) and issubclass(annotation, BaseModel):
                if part in annotation.model_fields:
                    below.append(annotation.model_fields[str(part)].annotation)
            elif arguments and get_origin(annotation) in (tuple, list) and isinstance(part, str):
                below += _annotations_at(arguments[-1], (part,))  # one entry given instead of a list
            elif arguments and get_origin(annotation) is tuple and isinstance(part, int):
                below.append(arguments[min(part, len(arguments) - 1)])
            elif arguments:
                below.append(arguments[-1])
        current = below
    return current


def _branches(annotations: Iterable[Any]) -> Iterator[Any]:
    """Each annotation without its metadata, unions taken apart."""
    for annotation in annotations:
        if get_origin(annotation) is Annotated:
            yield from _branches([get_args(annotation)[0]])
        elif get_origin(annotation) in (Union, UnionType):
            yield from _branches(get_args(annotation))
        else:
            yield annotation


def _models(annotations: Iterable[Any]) -> Iterator[type[BaseModel]]:
    """The models among the annotations, those of a list's entries included."""
    for annotation in _branches(annotations):
        if get_origin(annotation) in (tuple, list):
            yield from _models(get_args(annotation)[:1])
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield annotation
