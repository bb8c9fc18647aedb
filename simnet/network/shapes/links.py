"""Links that say something of their own and leave the rest to `network.link`."""

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from simnet.scenario import LinkConfig, ScenarioError
from simnet.scenario.links import (
    BandwidthValue,
    Duplex,
    Efficiency,
    JitterConfig,
    LatencyValue,
    Loss,
    Sharing,
)
from simnet.scenario.prices import NotNegative


class PartialLink(BaseModel):
    """What one link is like where it differs from `network.link`: any of the keys of that."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bandwidth: BandwidthValue | None = Field(None, description="Its capacity; network.link's if not given.")
    latency: LatencyValue | None = Field(None, description="Its latency; network.link's if not given.")
    duplex: Duplex | None = Field(None, description="full, half or simplex; network.link's if not given.")
    sharing: Sharing | None = Field(None, description="shared or fatpipe; network.link's if not given.")
    efficiency: Efficiency | None = Field(
        None, description="Payload per byte on the line; network.link's if not given."
    )
    jitter: JitterConfig | None = Field(
        None, description="What is added to its latency at random; network.link's if not given."
    )
    loss: Loss | None = Field(None, description="Fraction of packets lost; network.link's if not given.")
    dollars_per_gb: NotNegative | None = Field(
        None, description="Price of a GB that enters it; network.link's if not given."
    )

    def on(self, link: LinkConfig | None, path: Sequence[str | int]) -> LinkConfig:
        """The whole link, on the grounds of `network.link`.

        Raises `ScenarioError` at `path` where neither gives a bandwidth or a latency.
        """
        own = {
            name: getattr(self, name) for name in LinkConfig.model_fields if name in type(self).model_fields
        }
        own = {name: value for name, value in own.items() if value is not None}
        if link is not None:
            return link.model_copy(update=own)
        for key in ("bandwidth", "latency"):
            if key not in own:
                raise ScenarioError.at((*path, key), "missing key", expected=f"{key} here or in network.link")
        return LinkConfig.model_construct(**own)
