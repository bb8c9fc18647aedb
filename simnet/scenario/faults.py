"""What a scenario says about what goes wrong: one key for each kind of fault."""

from pydantic import Field

from simnet.scenario.churn import ChurnEntries, DetectionConfig, Partitions
from simnet.scenario.fields import Section
from simnet.scenario.link_faults import LinkFaultsConfig
from simnet.scenario.stragglers import StragglersConfig


class FaultsConfig(Section):
    """What goes wrong: nothing, unless a key says otherwise."""

    stragglers: StragglersConfig = Field(
        (),
        description="Hosts that are slow, always or at times: one entry, or a list that multiplies.",
    )
    links: LinkFaultsConfig = Field(
        (), description="Links that are down, degraded, lossy or flapping: one entry or a list."
    )
    churn: ChurnEntries = Field(
        (), description="Nodes that go and come: one kind, such as {kind: exponential, ...}, or a list."
    )
    partitions: Partitions = Field(
        (), description="Groups of nodes that cannot reach each other for a while: one, or a list."
    )
    detection: DetectionConfig | None = Field(
        None,
        description="How nodes find out that another one is gone; by `network.detection_timeout` if "
        "not given.",
    )
