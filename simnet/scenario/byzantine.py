"""What a scenario says about Byzantine nodes: which they are, what they do, what they know, and when."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    WithJsonSchema,
    model_serializer,
    model_validator,
)

from simnet.scenario.errors import ScenarioError
from simnet.scenario.fields import Component, Label, Positive, PositiveInteger, Section
from simnet.scenario.interval import Interval
from simnet.units import Seconds

TimeOrSteps = Annotated[
    Interval,
    BeforeValidator(lambda value: value if isinstance(value, Interval) else Interval.parse(value)),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "examples": ["30 s", "10 steps"]}),
]
"""A time of the run, or a number of optimizer steps of the node itself."""


class ByzantineConfig(Section):
    """Nodes that do not do what the method says, and what they do instead."""

    attack: Component = Field(description="What they do: a name, or a mapping with `name` and options.")
    count: PositiveInteger | None = Field(
        None, description="So many workers, drawn by the seed; 1 if neither this nor nodes is given."
    )
    nodes: tuple[str, ...] | None = Field(None, description="Which workers, by name.", min_length=1)
    knowledge: Literal["own", "peers", "all"] = Field(
        "own",
        description="Honest vectors that they see: own (none but what their group computes), peers (those "
        "sent to them), all. An attack that needs more is an error.",
    )
    collude: bool = Field(True, description="Whether the nodes of a group know what each other computes.")
    group: Label | None = Field(
        None, description="Entries with the same name here are one group; else each entry is its own."
    )
    start: TimeOrSteps | None = Field(
        None, alias="from", description="When they begin, as a time or in own steps; at once if not given."
    )
    end: TimeOrSteps | None = Field(
        None, alias="to", description="When they stop for good; never if not given."
    )
    on: TimeOrSteps | None = Field(
        None, description="With off: they attack for so long, again and again, from `from` on."
    )
    off: TimeOrSteps | None = Field(None, description="With on: they behave for so long in between.")
    during: tuple[tuple[Seconds, Seconds], ...] | None = Field(
        None, description="Instead of from, to, on and off: times [[10 s, 20 s], ...].", min_length=1
    )
    patience: Annotated[Seconds, Positive] | None = Field(
        None,
        description="How long they hold a message back, at most, for honest vectors of its round; if not "
        "given they take what is there at that instant. In a collective all are there.",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if self.count is not None and self.nodes is not None:
            raise ScenarioError.at(("nodes",), "either count or nodes", expected="one of them")
        if self.nodes is not None and len(set(self.nodes)) < len(self.nodes):
            raise ScenarioError.at(("nodes",), "a node twice", expected="each node once")
        if (self.on is None) != (self.off is None):
            missing = "off" if self.off is None else "on"
            raise ScenarioError.at((missing,), "missing key: on and off come together")
        if self.during is not None:
            self._check_during()
        for key, other in (("from", self.start), ("off", self.off)):
            if self.on is not None and other is not None and _in_steps(other) != _in_steps(self.on):
                raise ScenarioError.at((key,), "on is a time and this is not, or the other way round")
        both = self.start is not None and self.end is not None
        if (
            both
            and _in_steps(self.start) == _in_steps(self.end)
            and not _value(self.start) < _value(self.end)
        ):
            raise ScenarioError.at(("to",), "not after `from`", given=str(self.end))
        return self

    def _check_during(self) -> None:
        for key, value in (("from", self.start), ("to", self.end), ("on", self.on), ("off", self.off)):
            if value is not None:
                raise ScenarioError.at((key,), "during says when already", expected="one of the two")
        before = 0.0
        for index, (start, end) in enumerate(self.during or ()):
            if start < before or end <= start:
                raise ScenarioError.at(
                    ("during", index),
                    "not an interval after the one before",
                    expected="[start, end], in order, such as [10 s, 20 s]",
                )
            before = end

    @model_serializer(mode="wrap")
    def _as_written(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        written: dict[str, Any] = write(self)
        names = {"start": "from", "end": "to"}
        return {names.get(key, key): value for key, value in written.items() if value is not None}


def _in_steps(interval: Interval | None) -> bool:
    return interval is not None and interval.steps is not None


def _value(interval: Interval | None) -> float:
    assert interval is not None
    return interval.steps if interval.steps is not None else interval.seconds or 0.0


def one_or_more(value: object) -> object:
    """One entry is a list of one."""
    return [value] if isinstance(value, dict | ByzantineConfig) else value


ByzantineEntries = Annotated[tuple[ByzantineConfig, ...], BeforeValidator(one_or_more)]
"""Type of `faults.byzantine`: one entry or a list."""
