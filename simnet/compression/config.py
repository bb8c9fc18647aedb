"""Codecs by name, and the type that other models use for a field that holds one."""

from typing import Annotated, Literal, get_args

from pydantic import BeforeValidator, Field

from simnet.compression.absmax import Int4, Int8
from simnet.compression.casts import BFloat16, Identity
from simnet.compression.codec import Codec
from simnet.compression.sparse import RandomK, TopK

_Known = Annotated[Identity | BFloat16 | Int8 | Int4 | TopK | RandomK, Field(discriminator="name")]
_WithoutOptions = Literal["identity", "bf16", "int8", "int4"]

codecs: dict[str, type[Codec]] = {
    kind.model_fields["name"].default: kind for kind in get_args(get_args(_Known)[0])
}
"""Every codec, by the name that a scenario gives it."""


def _named(given: object) -> object:
    return {"name": given} if isinstance(given, str) else given


CodecConfig = Annotated[_Known, BeforeValidator(_named, json_schema_input_type=_WithoutOptions | _Known)]
"""Type of a field that holds a codec: reads a name, a mapping with `name` and options, or an instance."""
