"""Pydantic models that are written by name: `krum`, or `{name: krum, f: 2}`."""

import difflib
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
)
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema


class Named(BaseModel):
    """A frozen record of options that knows its name in a scenario and writes it down with them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    """The name in a scenario."""

    @model_serializer(mode="wrap")
    def _named(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name, **write(self)}


class ByName:
    """Annotation of a field that holds one of a registry's models: reads a name, a mapping, or an instance.

    `what` is the word for error messages. With several registries, the first that has the name counts.
    `of` lets in its subclasses alone. `brief` keeps the options out of the JSON Schema: where a model may
    hold one of its own kind, or where the schema would repeat them once per model.
    """

    def __init__(
        self,
        what: str,
        *registries: Mapping[str, type[Named]],
        of: type[Named] = Named,
        brief: bool = False,
    ) -> None:
        self.what = what
        self.registries = registries
        self.of = of
        self.brief = brief

    def build(self, given: object) -> Named:
        """A model from a name, a mapping with `name` and options, or an instance, which passes.

        Raises `pydantic.ValidationError` for an unknown name (with the nearest one), an unknown option or an
        impossible value.
        """
        kinds = self.kinds
        if isinstance(given, Named) and kinds.get(given.name) is type(given):
            return given
        if isinstance(given, str):
            given = {"name": given}
        if not isinstance(given, Mapping):
            raise self._error((), f"{self.what} is a name or a mapping with a name", given)
        options = dict(given)
        if "name" not in options:
            raise self._error(("name",), f"which {self.what}? One of {', '.join(sorted(kinds))}", given)
        name = options.pop("name")
        if not isinstance(name, str) or name not in kinds:
            close = difflib.get_close_matches(str(name), kinds, n=1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            known = ", ".join(sorted(kinds))
            raise self._error(("name",), f"there is no {self.what} {name!r}; {meant}Known: {known}", name)
        return kinds[name].model_validate(options)

    @property
    def kinds(self) -> dict[str, type[Named]]:
        """Everything that can be named here."""
        return {
            name: kind
            for registry in reversed(self.registries)
            for name, kind in registry.items()
            if issubclass(kind, self.of)
        }

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.build,
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda held: held.model_dump(mode="json")
            ),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        names = {"enum": sorted(self.kinds)}
        if self.brief:
            return {"anyOf": [names, {"type": "object", "required": ["name"]}]}
        return {"anyOf": [names, *(_described(kind) for kind in self.kinds.values())]}

    def _error(self, path: tuple[str, ...], message: str, given: object) -> ValidationError:
        # A message may hold braces, which pydantic would take for placeholders: pass it as one.
        problem = PydanticCustomError("by_name", "{message}", {"message": message})
        return ValidationError.from_exception_data(
            self.what, [InitErrorDetails(type=problem, loc=path, input=given)]
        )


def _described(kind: type[Named]) -> dict[str, Any]:
    schema = kind.model_json_schema()
    schema["properties"] = {"name": {"const": kind.name, "type": "string"}, **schema.get("properties", {})}
    schema["required"] = ["name", *schema.get("required", [])]
    return schema
