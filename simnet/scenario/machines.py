"""The machines of a scenario: devices, groups of equal workers, and the server."""

from typing import Annotated, Self

from pydantic import Discriminator, Field, Tag, model_validator

from simnet.scenario.errors import ScenarioError
from simnet.scenario.fields import Bandwidth, Number, Positive, PositiveInteger, Section
from simnet.scenario.links import BandwidthValue
from simnet.scenario.prices import RunningCosts
from simnet.units import Bytes, FlopsPerSecond, Seconds


class DeviceConfig(Section):
    """A device described in place rather than by the name of a profile."""

    flops: Annotated[FlopsPerSecond, Positive] = Field(description="Peak rate, such as 35 TFLOP/s.")
    achieved: Annotated[Number, Field(gt=0, le=1)] = Field(
        description="Fraction of the peak that training achieves, above 0 and up to 1."
    )
    memory: Annotated[Bytes, Positive] | None = Field(
        None, description="Memory, such as 24 GiB; if not given, whether a model fits is not checked."
    )
    memory_bandwidth: Bandwidth | None = Field(
        None, description="Rate at which operations read and write memory; if not given, that is free."
    )
    pooling_bandwidth: Bandwidth | None = Field(
        None, description="The same for pooling; `memory_bandwidth` if not given."
    )
    operation_overhead: Annotated[Seconds, Field(ge=0)] | None = Field(
        None, description="Time that each operation of the model takes besides; none if not given."
    )
    convolution_overhead: Annotated[Seconds, Field(ge=0)] | None = Field(
        None, description="The same for a convolution; `operation_overhead` if not given."
    )
    attention_overhead: Annotated[Seconds, Field(ge=0)] | None = Field(
        None, description="The same for a fused attention; `operation_overhead` if not given."
    )
    costs: RunningCosts | None = Field(None, description="What such a machine costs: dollars and watts.")
    description: str = Field("", description="For people: which machine this is, and how it was measured.")


def _device_form(value: object) -> str:
    return "<inline>" if isinstance(value, dict | DeviceConfig) else "<name>"


Device = Annotated[
    Annotated[str, Tag("<name>"), Field(min_length=1)] | Annotated[DeviceConfig, Tag("<inline>")],
    Discriminator(_device_form),
]


class WorkerGroup(Section):
    """Workers that are alike."""

    count: PositiveInteger | None = Field(None, description="How many; the rest of the hosts if not given.")
    nodes: Annotated[tuple[str, ...], Field(min_length=1)] | None = Field(
        None, description="The hosts that are meant, by name, instead of a count."
    )
    device: Device | None = Field(
        None,
        description="A device profile's name (see `simnet list devices`), a file that `simnet calibrate` "
        "wrote (./my-machine.yaml), or one in place. Every task but synthetic needs it.",
    )
    speed: Annotated[Number, Field(gt=0)] = Field(
        1.0, description="Speed relative to the device; 0.5 is half as fast."
    )
    batch_size: PositiveInteger | None = Field(
        None, description="Samples per step of each of them; that of the task if not given."
    )
    uplink: BandwidthValue | None = Field(None, description="Bandwidth limit of what each of them sends.")
    downlink: BandwidthValue | None = Field(
        None, description="Bandwidth limit of what each of them receives."
    )
    costs: RunningCosts | None = Field(
        None, description="What each of them costs: dollars and watts; what is not given is the device's."
    )

    @model_validator(mode="after")
    def _count_or_nodes(self) -> Self:
        if self.count is not None and self.nodes is not None:
            raise ScenarioError.at(("count",), "given twice: `nodes` says how many", given=self.count)
        return self


class ServerConfig(Section):
    """The server, for algorithms that need one."""

    node: str | None = Field(
        None, description="The host that it runs on; chosen by the topology if not given."
    )
    device: Device = Field("cpu", description="A device profile's name or file, or one in place.")
    speed: Annotated[Number, Field(gt=0)] = Field(1.0, description="Speed relative to the device.")
    uplink: BandwidthValue | None = Field(None, description="Bandwidth limit of what it sends.")
    downlink: BandwidthValue | None = Field(None, description="Bandwidth limit of what it receives.")
    costs: RunningCosts | None = Field(
        None, description="What it costs: dollars and watts; what is not given is the device's."
    )
