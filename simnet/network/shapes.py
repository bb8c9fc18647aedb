"""The shapes that a network can have: which nodes there are, and which cables between them.

Each kind of topology is a model of its options, in the registry `topologies`; :meth:`shape` turns it into a
`Shape`, which knows nothing of workers or routes. Graphs from networkx are in `generators`.
"""

from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from simnet.scenario import LinkConfig, ScenarioError, nearest
from simnet.scenario.fields import Bandwidth, PositiveInteger
from simnet.units import Seconds

TOPOLOGY_PATH = ("network", "topology")
HUB = "hub"
SERVER = "server"

Duplex = Literal["full", "half"]


@dataclass(frozen=True, slots=True)
class Cable:
    """A link between two nodes, with its own latency in seconds and bytes per second from a to b and back.

    With half duplex both directions share one bandwidth, and `backward` equals `forward`.
    """

    a: str
    b: str
    forward: float
    backward: float
    latency: float
    duplex: Duplex


@dataclass(frozen=True, slots=True)
class Shape:
    """Nodes and cables. Hosts can carry a worker or a server, switches only pass things on."""

    hosts: tuple[str, ...]
    switches: tuple[str, ...]
    cables: tuple[Cable, ...]
    server: str | None = None
    """The host that was made for the server, if one was asked for."""
    access_links: bool = False
    """Whether each host hangs on one cable of its own, which is then its uplink and downlink."""
    spare_hosts: bool = False
    """Whether hosts without a worker are meant to be there, to pass things on."""


class TopologyKind(BaseModel):
    """Options of one kind of topology."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    makes_server_host: ClassVar[bool] = False
    """Whether a server that is not placed by name gets a host of its own."""

    def shape(self, link: LinkConfig | None, workers: int | None, with_server: bool) -> Shape:
        """The nodes and cables.

        Args:
            link: What cables are like unless the topology says otherwise.
            workers: How many hosts there are to be if the topology does not say; None where that is open.
            with_server: Whether to add a host for the server; only for kinds that can.

        Raises:
            ScenarioError: The options contradict each other or leave something open.
        """
        raise NotImplementedError


class _Counted(TopologyKind):
    nodes: PositiveInteger | None = Field(
        None, description="Number of hosts; as many as workers if not given."
    )

    def hosts(self, workers: int | None) -> tuple[str, ...]:
        """`n0`, `n1` and so on."""
        count = self.nodes or workers
        if count is None:
            raise ScenarioError.at(
                (*TOPOLOGY_PATH, "nodes"),
                "the number of hosts is open, since a group of workers takes the rest of them",
                expected="nodes: 8 here, or a `count` in every group of workers",
            )
        return tuple(f"n{i}" for i in range(count))


class Star(_Counted):
    """Hosts around one switch, each on an access link of its own: the last mile is the bottleneck."""

    makes_server_host = True

    def shape(self, link: LinkConfig | None, workers: int | None, with_server: bool) -> Shape:
        """One cable from each host to the switch `hub`."""
        hosts = _and_server(self.hosts(workers), with_server)
        cables = tuple(_like(link, host, HUB) for host in hosts)
        return Shape(hosts, (HUB,), cables, SERVER if with_server else None, access_links=True)


class FullMesh(_Counted):
    """A cable of its own between every two hosts."""

    makes_server_host = True

    def shape(self, link: LinkConfig | None, workers: int | None, with_server: bool) -> Shape:
        """n (n-1) / 2 cables."""
        hosts = _and_server(self.hosts(workers), with_server)
        cables = tuple(_like(link, a, b) for a, b in combinations(hosts, 2))
        return Shape(hosts, (), cables, SERVER if with_server else None)


class Ring(_Counted):
    """Each host is linked to the next one, and the last one to the first."""

    def shape(self, link: LinkConfig | None, workers: int | None, with_server: bool) -> Shape:
        """n cables; one for two hosts, none for one."""
        hosts = self.hosts(workers)
        pairs = [*pairwise(hosts), (hosts[-1], hosts[0])] if len(hosts) > 2 else pairwise(hosts)
        return Shape(hosts, (), tuple(_like(link, a, b) for a, b in pairs))


class NodeConfig(BaseModel):
    """A node with properties."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Its name.", min_length=1)
    switch: bool = Field(False, description="Whether it only passes things on and carries no worker.")


Node = Annotated[
    Annotated[str, Tag("<name>"), Field(min_length=1)] | Annotated[NodeConfig, Tag("<properties>")],
    Discriminator(lambda value: "<properties>" if isinstance(value, dict | NodeConfig) else "<name>"),
]
"""A node as it is written: a name, or a mapping; errors are about the one that was meant."""


class ExplicitLink(BaseModel):
    """A cable between two nodes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    between: tuple[str, str] = Field(description="The two nodes that it links, such as [a, b].")
    bandwidth: Bandwidth | None = Field(None, description="Its capacity; network.link's if not given.")
    latency: Seconds | None = Field(None, description="Its latency; network.link's if not given.", ge=0)
    duplex: Duplex | None = Field(None, description="full or half; network.link's if not given.")


class Explicit(TopologyKind):
    """Nodes and links one by one, for a network that is like no other."""

    nodes: tuple[Node, ...] = Field(
        description="The nodes: a name for a host, {name: r, switch: true} for a switch.", min_length=1
    )
    links: tuple[ExplicitLink, ...] = Field(
        description="The links: {between: [a, b]}, with bandwidth, latency and duplex where they differ.",
    )

    def shape(self, link: LinkConfig | None, workers: int | None, with_server: bool) -> Shape:
        """What was written, once it is known to make sense."""
        nodes = [NodeConfig(name=node) if isinstance(node, str) else node for node in self.nodes]
        names = [node.name for node in nodes]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise ScenarioError.at((*TOPOLOGY_PATH, "nodes", i), "a second node of this name", given=name)
        cables: dict[frozenset[str], Cable] = {}
        for i, explicit in enumerate(self.links):
            path = (*TOPOLOGY_PATH, "links", i)
            ends = _checked_ends(explicit, names, path)
            if ends in cables:
                first = list(cables).index(ends)
                raise ScenarioError.at(
                    (*path, "between"),
                    f"links[{first}] is between the same two nodes already",
                    given=list(explicit.between),
                    expected="one link between two nodes, with their bandwidths added",
                )
            cables[ends] = _explicit_cable(explicit, link, path)
        return Shape(
            tuple(node.name for node in nodes if not node.switch),
            tuple(node.name for node in nodes if node.switch),
            tuple(cables.values()),
            spare_hosts=True,
        )


topologies: dict[str, type[TopologyKind]] = {
    "star": Star,
    "full-mesh": FullMesh,
    "ring": Ring,
    "explicit": Explicit,
}
"""The kinds that have a name of their own. Beside them, every generator of networkx can be named."""


def like_every_link(link: LinkConfig | None, pairs: list[tuple[str, str]]) -> tuple[Cable, ...]:
    """A cable for each pair of nodes, as `network.link` says."""
    return tuple(_like(link, a, b) for a, b in pairs)


def with_bandwidths(cable: Cable, *, from_a: float | None, to_a: float | None) -> Cable:
    """The same cable with other bandwidths out of and into its end a, where they are given."""
    return replace(
        cable,
        forward=cable.forward if from_a is None else from_a,
        backward=cable.backward if to_a is None else to_a,
    )


def _and_server(hosts: tuple[str, ...], with_server: bool) -> tuple[str, ...]:
    return (*hosts, SERVER) if with_server else hosts


def _like(link: LinkConfig | None, a: str, b: str) -> Cable:
    if link is None:
        raise ScenarioError.at(
            ("network", "link"), "missing key", expected="link: {bandwidth: 100 Mbps, latency: 25 ms}"
        )
    return Cable(a, b, link.bandwidth, link.bandwidth, link.latency, link.duplex)


def _checked_ends(link: ExplicitLink, names: list[str], path: tuple[str | int, ...]) -> frozenset[str]:
    for end in link.between:
        if end not in names:
            raise ScenarioError.at(
                (*path, "between"),
                f"there is no node {end}",
                given=list(link.between),
                expected=f"two of {', '.join(names)}",
                suggestion=nearest(end, names),
            )
    if link.between[0] == link.between[1]:
        raise ScenarioError.at(
            (*path, "between"),
            "a link from a node to itself",
            given=list(link.between),
            expected="two nodes; what stays within a node needs no link",
        )
    return frozenset(link.between)


def _explicit_cable(explicit: ExplicitLink, link: LinkConfig | None, path: tuple[str | int, ...]) -> Cable:
    if link is None:
        for key in ("bandwidth", "latency"):
            if getattr(explicit, key) is None:
                raise ScenarioError.at((*path, key), "missing key", expected=f"{key} here or in network.link")
    bandwidth = link.bandwidth if explicit.bandwidth is None and link else explicit.bandwidth
    latency = link.latency if explicit.latency is None and link else explicit.latency
    assert bandwidth is not None
    assert latency is not None
    duplex = explicit.duplex or (link.duplex if link else "full")
    return Cable(*explicit.between, bandwidth, bandwidth, latency, duplex)
