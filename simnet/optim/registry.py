"""Optimizers by name, and the type that other models use for a field that holds one."""

import difflib
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

from simnet.optim.adafactor import Adafactor
from simnet.optim.adam import Adam
from simnet.optim.adamw import AdamW
from simnet.optim.lion import Lion
from simnet.optim.muon import Muon
from simnet.optim.nadam import NAdam
from simnet.optim.nesterov import Nesterov
from simnet.optim.optimizer import Optimizer
from simnet.optim.sgd import SGD
from simnet.optim.signsgd import SignSGD

registry: dict[str, type[Optimizer]] = {
    kind.name: kind for kind in (SGD, Nesterov, Adam, AdamW, NAdam, Lion, SignSGD, Adafactor, Muon)
}
"""Every optimizer that a scenario can name. Add your own class under its name."""


def build_optimizer(given: object) -> Optimizer:
    """An optimizer from a name, a mapping with `name` and hyperparameters, or an instance, which passes.

    Raises `pydantic.ValidationError` for an unknown name (with the nearest one), an unknown hyperparameter or
    an impossible value.
    """
    if isinstance(given, Optimizer):
        return given
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, Mapping):
        raise _error((), "an optimizer is a mapping with a name, like {name: sgd, lr: 0.1}", given)
    options = dict(given)
    if "name" not in options:
        raise _error(("name",), f"which optimizer? One of {_names()}", given)
    name = options.pop("name")
    if not isinstance(name, str) or name not in registry:
        close = difflib.get_close_matches(str(name), registry, n=1)
        meant = f"did you mean {close[0]!r}? " if close else ""
        raise _error(("name",), f"there is no optimizer {name!r}; {meant}Known: {_names()}", name)
    return registry[name].model_validate(options)


def optimizer_options(optimizer: Optimizer) -> dict[str, Any]:
    """The mapping that `build_optimizer` turns back into `optimizer`: its name and every hyperparameter."""
    return optimizer.model_dump(mode="json")


class _OptimizerField:
    """Tells pydantic how a field that holds an optimizer is read, written and described."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            build_optimizer,
            serialization=core_schema.plain_serializer_function_ser_schema(optimizer_options),
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {"anyOf": [{"enum": sorted(registry)}, *(_described(kind) for kind in registry.values())]}


OptimizerConfig = Annotated[Optimizer, _OptimizerField]
"""Type of a field that holds an optimizer: reads a name, a mapping with `name`, or an instance."""


def _described(kind: type[Optimizer]) -> dict[str, Any]:
    # Schedules are referenced through $defs, which only make sense at the root of a document: name them here.
    schema = kind.model_json_schema(ref_template="#/$defs/{model}")
    definitions = schema.pop("$defs", {})
    schema["properties"]["name"] = {"const": kind.name, "type": "string"}
    schema["properties"]["schedule"] = {"anyOf": list(definitions.values())}
    schema["required"] = ["name", *schema.get("required", [])]
    return schema


def _names() -> str:
    return ", ".join(sorted(registry))


def _error(path: tuple[str, ...], message: str, given: object) -> ValidationError:
    # A message may hold braces, which pydantic would take for placeholders: pass it as one.
    problem = PydanticCustomError("optimizer", "{message}", {"message": message})
    return ValidationError.from_exception_data(
        "optimizer", [InitErrorDetails(type=problem, loc=path, input=given)]
    )
