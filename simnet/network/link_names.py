"""The names by which events and faults of a scenario know the links of its network."""

import networkx as nx

from simnet.network.noise import Hop
from simnet.scenario import NetworkEvent, ScenarioError, Varying, nearest
from simnet.scenario.errors import Path

_LISTED = 8


class LinkNames:
    """The names by which a scenario knows the links of a network, once this is built.

    Args:
        graph: The topology's graph.
        absent: Nodes that this network lacks, but that of another algorithm has: nothing happens to them.
        efficiency: The part of a node's own up- or downlink that carries payload.
    """

    def __init__(self, graph: "nx.DiGraph[str]", absent: frozenset[str], efficiency: float) -> None:
        self._graph = graph
        self._efficiency = efficiency
        self._absent = absent
        self._ways: dict[str, tuple[Hop, ...]] = {}
        self._ambiguous: set[str] = set()
        for a, b in graph.edges:
            both: tuple[Hop, ...] = ((a, b), (b, a)) if graph.has_edge(b, a) else ((a, b),)
            self._add(f"{a}->{b}", ((a, b),))
            self._add(f"{a}-{b}", both)
            self._add(f"{b}-{a}", both)
        for node in graph:
            near = {*graph.successors(node), *graph.predecessors(node)}
            if len(near) == 1:
                (other,) = near
                both = tuple(way for way in ((node, other), (other, node)) if graph.has_edge(*way))
                self._add(node, both)

    def _add(self, name: str, ways: tuple[Hop, ...]) -> None:
        known = self._ways.setdefault(name, ways)
        if set(known) != set(ways):
            self._ambiguous.add(name)

    def ways(self, name: str | None, path: Path) -> tuple[Hop, ...]:
        """The ways over a link of this name; none where there is no name.

        Raises :class:`~simnet.scenario.ScenarioError` for the key `link` below `path`.
        """
        if name is None or name in self._absent or self._is_of_absent(name):
            return ()
        if name in self._ambiguous:
            raise ScenarioError.at(
                (*path, "link"),
                "could be more than one link",
                given=name,
                expected="one direction each, as a->b",
            )
        if name not in self._ways:
            raise ScenarioError.at(
                (*path, "link"),
                "there is no link of this name",
                given=name,
                expected=f"a-b, a->b, or a node with one link; links: {self._listed()}",
                suggestion=nearest(name, self._ways),
            )
        return self._ways[name]

    def resources(self, name: str | None, path: Path) -> list[int]:
        """The resources of the link of this name, each once."""
        ways = self.ways(name, path)
        for way in ways:
            if self._graph.edges[way]["duplex"] == "half" and len(ways) == 1:
                raise ScenarioError.at(
                    (*path, "link"),
                    "a half-duplex link has one bandwidth for both directions",
                    given=name,
                    expected=f"{way[0]}-{way[1]}",
                )
        return list(dict.fromkeys(self._graph.edges[way]["resource"] for way in ways))

    def ways_of(self, node: str, path: Path) -> tuple[Hop, ...]:
        """The ways over all links of a node, to it and from it.

        Raises :class:`~simnet.scenario.ScenarioError` at `path` where there is no such node.
        """
        if node in self._absent:
            return ()
        self._check(node, path)
        return (*self._graph.out_edges(node), *self._graph.in_edges(node))

    @property
    def all_ways(self) -> tuple[Hop, ...]:
        """The ways over all links."""
        return tuple(self._graph.edges)

    def link_of(self, way: Hop) -> str:
        """The name of the link that a way leads over."""
        name: str = self._graph.edges[way]["link"]
        return name

    def resource_of(self, way: Hop) -> int:
        """What messages share on a way."""
        resource: int = self._graph.edges[way]["resource"]
        return resource

    def bandwidths(
        self, event: NetworkEvent, path: Path
    ) -> list[tuple[str, float | Varying, int, str, float]]:
        """What gets another bandwidth: the event's key, its value, the resource, its name and efficiency."""
        found: list[tuple[str, float | Varying, int, str, float]] = []
        if event.bandwidth is not None:
            self.resources(event.link, path)
            for way in self.ways(event.link, path):
                edge = self._graph.edges[way]
                found.append(
                    ("bandwidth", event.bandwidth, edge["resource"], edge["link"], edge["config"].efficiency)
                )
        for key, value in (("uplink", event.uplink), ("downlink", event.downlink)):
            if value is not None and event.node is not None and event.node not in self._absent:
                resource, name, efficiency = self._own(event.node, key, (*path, "node"))
                found.append((key, value, resource, name, efficiency))
        return found

    def _own(self, node: str, key: str, path: Path) -> tuple[int, str, float]:
        """A node's up- or downlink: one of its own, or its one link."""
        self._check(node, path)
        properties = self._graph.nodes[node]
        if key in properties:
            return properties[key], f"{node} {key}", self._efficiency
        ways = list(self._graph.out_edges(node) if key == "uplink" else self._graph.in_edges(node))
        if len(ways) != 1:
            raise ScenarioError.at(
                path,
                f"{node} has no {key} of its own, but {len(ways)} links",
                given=node,
                expected="link: a->b",
            )
        edge = self._graph.edges[ways[0]]
        if edge["duplex"] == "half":
            raise ScenarioError.at(
                path,
                "a half-duplex link has one bandwidth for both directions",
                given=node,
                expected=f"link: {node}",
            )
        return edge["resource"], edge["link"], edge["config"].efficiency

    def _check(self, node: str, path: Path) -> None:
        if node not in self._graph:
            raise ScenarioError.at(
                path,
                "there is no node of this name",
                given=node,
                expected=f"a node such as {', '.join(list(self._graph)[:_LISTED])}",
                suggestion=nearest(node, self._graph),
            )

    def _is_of_absent(self, name: str) -> bool:
        return any(
            name.startswith(f"{node}-") or name.endswith((f"-{node}", f">{node}")) for node in self._absent
        )

    def _listed(self) -> str:
        names = list(dict.fromkeys(edge["link"] for _, _, edge in self._graph.edges(data=True)))
        more = f", ... ({len(names)} in all)" if len(names) > _LISTED else ""
        return ", ".join(names[:_LISTED]) + more
