"""What the sections of a scenario are made of: their base classes and the types of their values."""

import re
from functools import partial
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from simnet.scenario.errors import ScenarioError
from simnet.scenario.validate import PLUGIN
from simnet.units import BytesPerSecond, bytes_, format_bytes

LABEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
"""What may name a folder and stand in an `expect` line."""
_LABEL_EXPECTED = "letters, digits, '-', '_' and '.', not starting with '-' or '.'"


def _positive(value: float) -> float:
    if value <= 0:
        raise ScenarioError.at((), "not more than zero", expected="more than zero")
    return value


def _no_bool_or_text(value: object) -> object:
    """pydantic would take ``true`` for 1 and ``"8"`` for 8."""
    if isinstance(value, bool | str):
        raise ScenarioError.at((), "not a number", given=value, expected="a number")
    return value


def _named(value: str) -> str:
    if not LABEL.fullmatch(value):
        raise ScenarioError.at((), "not usable in folder names", given=value, expected=_LABEL_EXPECTED)
    return value


def default_label(name: str) -> str:
    """The label of an algorithm without one: its name; for ``module:ClassName`` it is ``class-name``."""
    if not PLUGIN.fullmatch(name):
        return name
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", name.split(":")[1]).lower()


Positive = AfterValidator(_positive)
Integer = Annotated[int, BeforeValidator(_no_bool_or_text)]
PositiveInteger = Annotated[Integer, Field(gt=0)]
Number = Annotated[float, BeforeValidator(_no_bool_or_text), Field(allow_inf_nan=False)]
Label = Annotated[str, AfterValidator(_named)]
Bandwidth = Annotated[BytesPerSecond, Positive]


def _bytes_or_number(value: object) -> float:
    """A plain number is one of bytes, which is what the keys of this type are called after."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return bytes_(value)


BytesEach = Annotated[
    float,
    Field(allow_inf_nan=False),
    BeforeValidator(_bytes_or_number),
    Positive,
    PlainSerializer(partial(format_bytes, exact=True), return_type=str, when_used="json"),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}],
            "examples": [2, "13.4 bit"],
        }
    ),
]
"""What one of something takes: a number of bytes, or an amount with its unit."""


class Section(BaseModel):
    """Base of all parts of a scenario: immutable; unknown keys are errors; empty keys are not written."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    @model_serializer(mode="wrap")
    def _without_empty_keys(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        empty = {key for key in type(self).model_fields if written.get(key, 0) in (None, "", [], {})}
        return {key: value for key, value in written.items() if key not in empty}


class Open(Section):
    """A section with further keys, which belong to what it names and are checked by the room that owns it."""

    model_config = ConfigDict(extra="allow")

    @property
    def options(self) -> dict[str, Any]:
        """The further keys."""
        return dict(self.model_extra or {})


class Component(Open):
    """Something chosen by name, with its options; a bare string is a name without options."""

    name: str = Field(description="Its name, or module:Class for your own code.", min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value
