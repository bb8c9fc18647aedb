"""A network that is written down node by node and link by link."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from simnet.network.shapes.links import PartialLink
from simnet.network.shapes.shape import TOPOLOGY_PATH, Cable, Setting, Shape, TopologyKind
from simnet.scenario import ScenarioError, nearest
from simnet.scenario.fields import Number


class NodeConfig(BaseModel):
    """A node with properties."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="Its name.", min_length=1)
    switch: bool = Field(False, description="Whether it only passes things on and carries no worker.")
    longitude: Annotated[Number, Field(ge=-180, le=180)] | None = Field(
        None, description="Degrees east, for maps; with latitude."
    )
    latitude: Annotated[Number, Field(ge=-90, le=90)] | None = Field(
        None, description="Degrees north, for maps; with longitude."
    )


Node = Annotated[
    Annotated[str, Tag("<name>"), Field(min_length=1)] | Annotated[NodeConfig, Tag("<properties>")],
    Discriminator(lambda value: "<properties>" if isinstance(value, dict | NodeConfig) else "<name>"),
]
"""A node as it is written: a name, or a mapping; errors are about the one that was meant."""


class ExplicitLink(PartialLink):
    """A cable between two nodes."""

    between: tuple[str, str] = Field(
        description="The two nodes that it links, such as [a, b]; a simplex link leads from a to b."
    )


class Explicit(TopologyKind):
    """Nodes and links one by one, for a network that is like no other."""

    nodes: tuple[Node, ...] = Field(
        description="The nodes: a name for a host, {name: r, switch: true} for a switch.", min_length=1
    )
    links: tuple[ExplicitLink, ...] = Field(
        description="The links: {between: [a, b]}, with the keys of network.link where they differ.",
    )

    def shape(self, setting: Setting) -> Shape:
        """What was written, once it is known to make sense."""
        nodes = [NodeConfig(name=node) if isinstance(node, str) else node for node in self.nodes]
        names: dict[str, int] = {}
        for i, node in enumerate(nodes):
            if node.name in names:
                path: tuple[str | int, ...] = (*TOPOLOGY_PATH, "nodes", i)
                raise ScenarioError.at(path, "a second node of this name", given=node.name)
            if (node.longitude is None) != (node.latitude is None):
                raise ScenarioError.at(
                    (*TOPOLOGY_PATH, "nodes", i),
                    "half a place",
                    expected="longitude and latitude, or neither",
                )
            names[node.name] = i
        cables: dict[tuple[str, str], Cable] = {}
        numbers: dict[tuple[str, str], int] = {}
        for i, link in enumerate(self.links):
            path = (*TOPOLOGY_PATH, "links", i)
            a, b = _checked_ends(link, names, path)
            cable = Cable(a, b, link.on(setting.link, path))
            clashing = (
                [(a, b)] if _one_way(cable) and _one_way(cables.get((b, a), cable)) else [(a, b), (b, a)]
            )
            first = next((numbers[ends] for ends in clashing if ends in cables), None)
            if first is not None:
                raise ScenarioError.at(
                    (*path, "between"),
                    f"links[{first}] is between the same two nodes already",
                    given=list(link.between),
                    expected="one link between two nodes, with their bandwidths added",
                )
            cables[a, b], numbers[a, b] = cable, i
        return Shape(
            tuple(node.name for node in nodes if not node.switch),
            tuple(node.name for node in nodes if node.switch),
            tuple(cables.values()),
            spare_hosts=True,
            positions={
                node.name: (node.longitude, node.latitude)
                for node in nodes
                if node.longitude is not None and node.latitude is not None
            },
            geographic=True,
        )


def _one_way(cable: Cable) -> bool:
    return cable.link.duplex == "simplex"


def _checked_ends(link: ExplicitLink, names: dict[str, int], path: tuple[str | int, ...]) -> tuple[str, str]:
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
    return link.between
