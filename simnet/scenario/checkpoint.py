"""What a scenario says about checkpoints: how often, how large, where to, and what they are for."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from simnet.scenario.errors import ScenarioError
from simnet.scenario.fields import Bandwidth, Positive, Section
from simnet.scenario.interval import Interval
from simnet.units import Bytes, Seconds

OPTIMAL = "optimal"


def _interval_or_optimal(value: object) -> object:
    if isinstance(value, str) and value.strip() == OPTIMAL:
        return OPTIMAL
    if isinstance(value, Interval):
        return value
    try:
        return Interval.parse(value)
    except ScenarioError as error:
        problem = error.problems[0]
        expected = f"{problem.expected}, or {OPTIMAL}"
        raise ScenarioError.at((), problem.message, given=value, expected=expected) from None


Mode = Literal["synchronous", "snapshot", "lazy"]


class CheckpointConfig(Section):
    """Checkpoints: every node writes its state to storage from time to time, and can go back to it."""

    interval: Annotated[
        Interval | Literal["optimal"],
        BeforeValidator(_interval_or_optimal),
        PlainSerializer(str, return_type=str, when_used="json"),
        WithJsonSchema({"type": "string", "examples": ["10 min", "100 steps", OPTIMAL]}),
    ] = Field(
        description="From one checkpoint to the next, in virtual time (10 min) or in steps (100 steps); "
        "optimal: as Young's formula has it, which needs exponential churn."
    )
    mode: Mode = Field(
        "synchronous",
        description="What a node waits for: synchronous: until storage has everything; snapshot: until its "
        "host's memory has a copy; lazy: for what of that copy does not hide behind the next forward and "
        "backward pass.",
    )
    size: Annotated[Bytes, Positive] | None = Field(
        None,
        description="Bytes of one node's checkpoint; if not given, what its parameters, its optimizer's "
        "state and what the method keeps take, as `charge_as` has it.",
    )
    storage_bandwidth: Bandwidth = Field(
        description="At which one node reads and writes storage, such as 1 GB/s."
    )
    shared_bandwidth: Bandwidth | None = Field(
        None, description="The same of all nodes together; without limit if not given."
    )
    device_to_host: Bandwidth = Field(
        "16 GB/s",
        validate_default=True,
        description="At which a device's memory is copied to its host's memory, and back.",
    )
    host_buffer: Annotated[Bytes, Positive] | None = Field(
        None,
        description="Memory of each host for checkpoints that storage does not have yet; room for one "
        "checkpoint if not given.",
    )
    restart_time: Annotated[Seconds, Field(ge=0)] = Field(
        "0 s",
        validate_default=True,
        description="What starting again takes before the checkpoint is read, such as 30 s.",
    )
    on_failure: Literal["continue", "restart"] = Field(
        "continue",
        description="continue: the others do what their method does, and a node that comes back begins at "
        "its own last checkpoint; restart: all wait for the lost node, and go back to the last checkpoint "
        "that all have.",
    )

    @model_validator(mode="after")
    def _room_for_one(self) -> Self:
        if self.size is not None and self.host_buffer is not None and self.host_buffer < self.size:
            raise ScenarioError.at(
                ("host_buffer",),
                "too small for one checkpoint",
                given=self.host_buffer,
                expected=f"at least size, {self.size:g} bytes",
            )
        return self
