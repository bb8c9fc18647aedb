"""The network that a scenario describes: its nodes, its resources, and the routes over them."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from math import fsum, inf
from typing import Any

import networkx as nx

from simnet.network.generators import generated_shape
from simnet.network.placement import Access, Placement, needs_server_host, place, workers_asked_for
from simnet.network.routing import Route, RoutingMetric, link_cost, shortest_path_tree, tree_path
from simnet.network.shapes import TOPOLOGY_PATH, Shape, topologies, with_bandwidths
from simnet.scenario import Scenario, ScenarioError, ServerConfig, validated


@dataclass(frozen=True, eq=False)
class Topology:
    """Nodes, links and the routes between them. What messages share are *resources*, named by their index.

    A full-duplex link is two resources, one per direction; a half-duplex one is one. A node with an uplink or
    downlink of its own, where that is not just its access link, is one more resource for all that leaves or
    enters it, also on behalf of others.
    """

    hosts: tuple[str, ...]
    """The nodes that can carry workers or a server, in order."""
    switches: tuple[str, ...]
    """The nodes that only pass things on."""
    workers: tuple[str, ...]
    """The host of each worker, in the order of workers."""
    server: str | None
    """The node that the server lives on, if there is one."""
    capacities: tuple[float, ...]
    """Bytes per second of each resource."""
    resource_names: tuple[str, ...]
    """What each resource is: `a->b`, `a--b` (half duplex), `a uplink`, `a downlink`."""
    graph: nx.DiGraph
    """Both directions of each link, with `latency` (s), `bandwidth` (bytes/s), `duplex` and `resource`; nodes
    with
    `switch`, and the resources `uplink` and `downlink` where they have their own."""
    routing: RoutingMetric = "latency"
    _routes: dict[tuple[str, str], Route] = field(default_factory=dict, init=False, repr=False)
    _trees: dict[int, list[int]] = field(default_factory=dict, init=False, repr=False)
    _neighbors: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False)

    def route(self, source: str, target: str) -> Route:
        """The shortest route between two nodes under :attr:`routing`; empty from a node to itself.

        Among equal routes the one with fewer hops wins, then the one through nodes that come first. Raises
        `KeyError` for an unknown node.
        """
        found = self._routes.get((source, target))
        if found is None:
            path = self._path(self._index[source], self._index[target])
            found = self._routes[source, target] = self._along([self._names[node] for node in path])
        return found

    def nominal_bandwidth(self, source: str, target: str) -> float:
        """What a message gets on an idle network: the least capacity on its route; infinite within a node."""
        return min((self.capacities[r] for r in self.route(source, target).resources), default=inf)

    def neighbors(self, node: str) -> tuple[str, ...]:
        """The hosts that `node` reaches without passing through another host, in the order of hosts."""
        if node not in self._neighbors:
            reached, waiting = {node}, deque([node])
            while waiting:
                for following in self.graph.successors(waiting.popleft()):
                    if following not in reached:
                        reached.add(following)
                        if self.graph.nodes[following]["switch"]:
                            waiting.append(following)
            self._neighbors[node] = tuple(host for host in self.hosts if host in reached and host != node)
        return self._neighbors[node]

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return tuple(self.graph)

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self._names)}

    @cached_property
    def _adjacency(self) -> list[list[tuple[int, int]]]:
        """Each node's neighbours with the cost of the hop, which also passes both nodes' own links."""
        adjacency = []
        for name in self._names:
            hops = []
            for following, link in self.graph.adj[name].items():
                bandwidth = min(self.capacities[r] for r in self._hop(name, following))
                hops.append((self._index[following], link_cost(self.routing, link["latency"], bandwidth)))
            adjacency.append(hops)
        return adjacency

    def _path(self, source: int, target: int) -> list[int]:
        if source == target:
            return [source]
        hops = self._adjacency[source]
        if len(hops) == 1:
            # All routes of a node with one link begin alike: its neighbour's tree serves all the leaves of a
            # star.
            return [source, *self._path(hops[0][0], target)]
        if source not in self._trees:
            self._trees[source] = shortest_path_tree(self._adjacency, source)
        return tree_path(self._trees[source], target)

    def _along(self, hops: list[str]) -> Route:
        steps = list(pairwise(hops))
        resources = tuple(resource for a, b in steps for resource in self._hop(a, b))
        return Route(resources, fsum(self.graph.edges[step]["latency"] for step in steps), tuple(hops))

    def _hop(self, a: str, b: str) -> list[int]:
        """The resources of one hop."""
        nodes = self.graph.nodes
        resources = [nodes[a].get("uplink"), self.graph.edges[a, b]["resource"], nodes[b].get("downlink")]
        return [resource for resource in resources if resource is not None]


def build_topology(scenario: Scenario, with_server: bool = False) -> Topology:
    """The network of a scenario, the same each time.

    Args:
        scenario: Its `network`, `workers`, `server` and `seed` matter.
        with_server: Whether an algorithm needs a server. Without `server.node` a star or full mesh gets one
        more
            host for it; without a `server` section the defaults of one apply. A server that is placed by name
            is there in any case, so that the network is the same for all algorithms.

    Raises:
        ScenarioError: The topology's options are wrong, its nodes are not all connected, or workers and
        server do
            not fit on it.
    """
    network = scenario.network
    kind, options = network.topology.kind, network.topology.options
    server = scenario.server or ServerConfig()
    model = topologies.get(kind)
    server_host = with_server and needs_server_host(model, kind, server)
    if model is not None:
        chosen = validated(model, options, TOPOLOGY_PATH)
        shape = chosen.shape(network.link, workers_asked_for(scenario.workers), server_host)
    else:
        shape = generated_shape(kind, options, network.link, scenario.seed)
    _check_connected(shape)
    placed = server if with_server or server.node is not None else None
    return _assembled(shape, place(shape, scenario.workers, placed), network.routing)


def _check_connected(shape: Shape) -> None:
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from((*shape.hosts, *shape.switches))
    graph.add_edges_from((cable.a, cable.b) for cable in shape.cables)
    first = (*shape.hosts, *shape.switches)[0]
    reached = nx.node_connected_component(graph, first)
    apart = next((node for node in graph if node not in reached), None)
    if apart is not None:
        raise ScenarioError.at(
            TOPOLOGY_PATH,
            f"the network is in pieces: there is no path from {first} to {apart}",
            expected="links that connect all nodes",
        )


def _assembled(shape: Shape, placement: Placement, routing: RoutingMetric) -> Topology:
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(shape.hosts, switch=False)
    graph.add_nodes_from(shape.switches, switch=True)
    capacities: list[float] = []
    names: list[str] = []

    def resource(name: str, capacity: float) -> int:
        names.append(name)
        capacities.append(capacity)
        return len(names) - 1

    own = dict(placement.access)
    for cable in shape.cables:
        if shape.access_links and cable.a in own:
            access = own.pop(cable.a)
            if cable.duplex == "half":
                raise _shared_access(access)
            cable = with_bandwidths(cable, from_a=access.uplink, to_a=access.downlink)
        a, b = cable.a, cable.b
        if cable.duplex == "half":
            there = back = resource(f"{a}--{b}", cable.forward)
        else:
            there, back = resource(f"{a}->{b}", cable.forward), resource(f"{b}->{a}", cable.backward)
        for start, end, index in ((a, b, there), (b, a, back)):
            link: Mapping[str, Any] = {
                "latency": cable.latency,
                "bandwidth": capacities[index],
                "duplex": cable.duplex,
                "resource": index,
            }
            graph.add_edge(start, end, **link)
    for node, access in own.items():
        if access.uplink is not None:
            graph.nodes[node]["uplink"] = resource(f"{node} uplink", access.uplink)
        if access.downlink is not None:
            graph.nodes[node]["downlink"] = resource(f"{node} downlink", access.downlink)
    return Topology(
        shape.hosts,
        shape.switches,
        placement.workers,
        placement.server,
        tuple(capacities),
        tuple(names),
        graph,
        routing,
    )


def _shared_access(access: Access) -> ScenarioError:
    key = "uplink" if access.uplink is not None else "downlink"
    return ScenarioError.at(
        (*access.path, key),
        "a half-duplex access link has one bandwidth for both directions",
        expected="network.link.duplex: full, or no uplink and downlink",
    )
