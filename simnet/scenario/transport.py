"""What a scenario says about transport: the model that messages are carried by (`network.model`)."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from simnet.scenario.errors import ScenarioError, nearest
from simnet.scenario.fields import Number, Positive, PositiveInteger, Section
from simnet.units import Bytes, Seconds

ModelName = Literal["ideal", "tcp", "receiver-serialised"]
_NAMES = ("ideal", "tcp", "receiver-serialised")


class TransportConfig(Section):
    """A transport put together from its parts; without any of them it is the ideal one."""

    window: Annotated[Bytes, Positive] | None = Field(
        None, description="Bytes that a connection may have in flight (its rate is window / RTT): 4 MiB."
    )
    streams: PositiveInteger = Field(1, description="Parallel connections that each message is spread over.")
    loss: Literal["none", "reno", "cubic", "bbr"] = Field(
        "none", description="How a connection answers to the loss of its links (network.link.loss)."
    )
    slow_start: Literal["off", "per_connection", "per_flow"] = Field(
        "off",
        description="per_flow: every message starts with 10 segments and doubles with each round trip; "
        "per_connection: only until two nodes' connection has reached its rate once.",
    )
    rtt_exponent: Annotated[Number, Field(ge=0)] = Field(
        0.0, description="a: flows share a bottleneck in proportion to RTT^-a; 0 is fair, 1 Reno, 0.25 CUBIC."
    )
    ack_load: Annotated[Number, Field(ge=0, lt=1)] = Field(
        0.0, description="Bytes on the way back per byte sent; about 0.05 for TCP's acknowledgements."
    )
    mss: Annotated[Bytes, Positive] = Field(1460.0, description="Bytes of payload in a segment.")
    efficiency: Annotated[Number, Field(gt=0, le=1)] = Field(
        1.0, description="The part of a link that carries payload, on top of the link's own efficiency."
    )
    host_overhead: Annotated[Seconds, Field(ge=0)] = Field(
        0.0,
        description="Seconds that hosts need for each message, beside the network: it arrives so much later.",
    )
    latency: Literal["first", "last"] = Field(
        "last",
        description="last: a message takes bandwidth at once and arrives a latency after its last byte left; "
        "first: it waits its latency, then takes bandwidth.",
    )


def _form(value: object) -> str:
    return "<options>" if isinstance(value, Mapping | TransportConfig) else "<name>"


def _known_name(value: object) -> object:
    if _form(value) == "<name>" and value not in _NAMES:
        raise ScenarioError.at(
            (),
            "not a transport model",
            given=value,
            expected=f"one of {', '.join(_NAMES)}, or a mapping such as {{window: 4 MiB, loss: cubic}}",
            suggestion=nearest(str(value), _NAMES),
        )
    return value


TransportModel = Annotated[
    Annotated[ModelName, Tag("<name>")] | Annotated[TransportConfig, Tag("<options>")],
    Discriminator(_form),
    BeforeValidator(_known_name),
]
