"""Going through everything that a part of a scenario says."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from simnet.scenario.errors import Path


def everything_below(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """``value``, which stands at ``path``, and all that is below it, each with its path."""
    yield path, value
    below: Mapping[str, Any] = {}
    if isinstance(value, BaseModel):
        below = {key: getattr(value, key) for key in (*type(value).model_fields, *(value.model_extra or ()))}
    elif isinstance(value, Mapping):
        below = value
    entries = enumerate(value) if isinstance(value, list | tuple) else below.items()
    for key, entry in entries:
        yield from everything_below(entry, (*path, key))
