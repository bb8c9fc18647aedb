"""The codecs that a scenario can name for the cuts of a pipeline."""

import difflib
from collections.abc import Mapping
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from simnet.compression import codecs
from simnet.pipeline.boundary import BoundaryOptions, Identity
from simnet.pipeline.coded import Coded
from simnet.pipeline.projection import Projection
from simnet.pipeline.subspace import Subspace

boundaries: dict[str, type[BoundaryOptions]] = {
    kind.name: kind for kind in (Identity, Coded, Projection, Subspace)
}
"""Codecs made for cuts. Add your own class under its name. The codecs of `simnet.compression` come beside."""


def boundary_names() -> tuple[str, ...]:
    """Every name that a scenario may use."""
    return (*boundaries, *(name for name in codecs if name not in boundaries))


def build_boundary(given: object) -> BoundaryOptions:
    """A codec from a name, or a mapping with `name` and options, or an instance, which passes.

    The name of a codec of `simnet.compression` stands for :class:`Coded` with it, and `backward` beside its
    own options for the codec of the gradients. Raises `ValueError` for an unknown name (with the nearest
    one), `pydantic.ValidationError` for options.
    """
    if isinstance(given, BoundaryOptions):
        return given
    options = {"name": given} if isinstance(given, str) else given
    if not isinstance(options, Mapping) or not isinstance(options.get("name"), str):
        raise ValueError(f"a codec is a name or a mapping with a name, one of {', '.join(boundary_names())}")
    name = options["name"]
    if name in boundaries:
        return boundaries[name].model_validate({key: options[key] for key in options if key != "name"})
    if name in codecs:
        forward = {key: value for key, value in options.items() if key != "backward"}
        return Coded.model_validate({"forward": forward, "backward": options.get("backward")})
    close = difflib.get_close_matches(name, boundary_names(), n=1)
    meant = f"did you mean {close[0]!r}? " if close else ""
    raise ValueError(f"there is no codec {name!r}; {meant}known: {', '.join(boundary_names())}")


BoundaryConfig = Annotated[
    BoundaryOptions,
    BeforeValidator(build_boundary),
    PlainSerializer(lambda codec: codec.model_dump(mode="json"), return_type=dict),
    WithJsonSchema(
        {"type": ["string", "object"], "description": "a codec's name, or a mapping with options"}
    ),
]
"""Type of a field that holds a codec: reads a name, a mapping with `name`, or an instance."""
