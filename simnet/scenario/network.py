"""What a scenario says about its network: the `network` section, but for links and transport."""

from typing import Any, Literal

from pydantic import Field, model_serializer, model_validator

from simnet.scenario.collectives import AllReduce, Broadcast
from simnet.scenario.fields import Open, Section
from simnet.scenario.links import LinkConfig, NetworkEvent
from simnet.scenario.transport import TransportModel
from simnet.units import Seconds


class TopologyConfig(Open):
    """The shape of the network."""

    kind: str = Field(
        description="star, ring, torus, regions, file, ... (see `simnet list topologies`), or the name of a "
        "networkx generator.",
        min_length=1,
    )

    @model_validator(mode="before")
    @classmethod
    def _from_kind(cls, value: object) -> object:
        if isinstance(value, dict) and "kind" not in value and "links" in value:
            return {"kind": "explicit", **value}
        return {"kind": value} if isinstance(value, str) else value


class ExplicitRoute(Section):
    """A route that is not left to the shortest path."""

    source: str = Field(alias="from", description="The node that it starts from.", min_length=1)
    target: str = Field(alias="to", description="The node that it leads to.", min_length=1)
    via: tuple[str, ...] = Field(description="The nodes in between, in order; [] for the direct link.")
    both_ways: bool = Field(False, description="Whether the way back is the same one.")

    @model_serializer(mode="plain")
    def _as_written(self) -> dict[str, Any]:
        return {"from": self.source, "to": self.target, "via": list(self.via), "both_ways": self.both_ways}


class NetworkConfig(Section):
    """How the workers are connected."""

    topology: TopologyConfig = Field(description="The shape of the network: a kind with its options.")
    link: LinkConfig | None = Field(
        None, description="Bandwidth and latency of every link that does not say its own."
    )
    events: tuple[NetworkEvent, ...] = Field(
        (),
        description="What happens to links when: {at: 30 s, link: a-b, bandwidth: 5 Mbps}, down or up.",
    )
    routing: Literal["latency", "hops", "bandwidth"] | None = Field(
        None,
        description="What a shortest path minimises; bandwidth: the sum of inverse bandwidths. latency if "
        "not given, but hops between sites with measured round trips, which were measured on the direct way.",
    )
    ecmp: Literal["none", "pair", "flow"] = Field(
        "none",
        description="Which of equally good paths is taken: none: always the same one; pair, flow: by a "
        "hash of source and target, or of these and the number of the transfer.",
    )
    routes: tuple[ExplicitRoute, ...] = Field(
        (), description="Routes of their own: {from: a, to: c, via: [b]}; all others are shortest paths."
    )
    rerouting: bool = Field(
        False, description="Whether routes avoid links that are down; if not, what is on them waits."
    )
    overlay: TopologyConfig | None = Field(
        None,
        description="Which workers are neighbours, as a topology over them (ring, torus, erdos-renyi, ...); "
        "those that the network itself links if not given.",
    )
    collectives: Literal["fluid", "stepwise"] = Field(
        "fluid",
        description="fluid: a collective is one operation; stepwise: every message of it is simulated.",
    )
    all_reduce: AllReduce = Field(
        "ring",
        description="The all-reduce algorithm, or one with options: {name: hierarchical, group_size: 4}.",
    )
    broadcast: Broadcast = Field(
        "binomial",
        description="The broadcast algorithm, or one with options: {name: pipelined-chain, chunks: 8}.",
    )
    all_to_all: Literal["at-once", "pairwise"] = Field(
        "at-once", description="Whether an all-to-all sends everything together or partner after partner."
    )
    ring_order: Literal["rank", "bandwidth"] = Field(
        "rank",
        description="Who is next to whom on a ring: by rank, or so that fast and near members are.",
    )
    detection_timeout: Seconds = Field(
        5.0, ge=0, description="How long after a node went down the others notice it."
    )
    model: TransportModel = Field(
        "ideal",
        description="ideal: max-min fair sharing, one latency per message; tcp: window, loss, slow start, "
        "headers, shares by round-trip time; receiver-serialised: messages one by one into a receiver; or a "
        "mapping with parts of tcp: {window: 4 MiB, streams: 4, loss: cubic}.",
    )
