"""What a scenario says about what goes wrong: one key for each kind of fault."""

from pydantic import Field

from simnet.scenario.byzantine import ByzantineEntries
from simnet.scenario.churn import ChurnEntries, DetectionConfig, Partitions
from simnet.scenario.fields import Section


class FaultsConfig(Section):
    """What goes wrong: nothing, unless a key says otherwise."""

    byzantine: ByzantineEntries = Field(
        (), description="Nodes that lie, cheat or dawdle: one group of them, or a list."
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
