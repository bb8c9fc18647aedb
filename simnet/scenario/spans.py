"""A span of virtual time that a scenario names: from when, and for how long."""

from math import inf
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from simnet.scenario.fields import Section
from simnet.scenario.links import PositiveSeconds
from simnet.units import Seconds, format_seconds


class Span(Section):
    """`at` and `for`: what happens lasts from the one for as long as the other says."""

    at: Seconds = Field(0.0, ge=0, description="When it begins, in virtual time, such as 30 s.")
    lasting: PositiveSeconds | None = Field(
        None, alias="for", description="How long it lasts; to the end of the run if not given."
    )

    @property
    def end(self) -> float:
        """When it is over; infinite if never."""
        return inf if self.lasting is None else self.at + self.lasting

    @model_serializer(mode="wrap")
    def _without_empty_keys(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        written = {key: value for key, value in written.items() if value not in (None, "", [], {}, ())}
        if "lasting" in written:
            lasting = written.pop("lasting")
            written["for"] = lasting if isinstance(lasting, str) else format_seconds(lasting, exact=True)
        return written
