"""The network that a scenario describes: its nodes, its resources, and the routes over them."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from math import fsum, inf, prod

import networkx as nx

from simnet.network.dynamics import Dynamics
from simnet.network.routing import (
    Ecmp,
    Label,
    NoRouteError,
    Route,
    RoutingMetric,
    distances_to,
    hashed_path,
    link_cost,
    shortest_path_tree,
    tree_path,
)


@dataclass(frozen=True, eq=False)
class Topology:
    """Nodes, links and the routes between them. What messages share are *resources*, named by their index.

    A full-duplex link is two resources, one per direction; a half-duplex or simplex one is one. A node with
    an uplink or downlink of its own, where that is not just its access link, is one more resource for all
    that leaves or enters it, also on behalf of others.
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
    """A directed edge for each way over a link, with `latency` (s), `bandwidth` (bytes/s of payload), `loss`,
    `duplex`, `resource` and `config` (what the scenario says about that way); nodes with `switch`, the
    resources `uplink` and `downlink` where they have their own, and `position` where that is known."""
    routing: RoutingMetric = "latency"
    ecmp: Ecmp = "none"
    fatpipes: frozenset[int] = frozenset()
    """The resources that cap each flow and are never shared."""
    explicit_routes: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """The nodes of routes that the scenario writes down, which come before shortest paths."""
    overlay: Mapping[str, tuple[str, ...]] | None = None
    """The neighbours of each worker's host, where these are not those of the network itself."""
    rerouting: bool = False
    """Whether routes are to avoid links that have failed; :meth:`without` gives such a topology."""
    failed: frozenset[int] = frozenset()
    """The resources that no route uses any more."""
    notes: tuple[str, ...] = ()
    """What was mended or assumed to make this network of what the scenario names."""
    dynamics: Dynamics | None = None
    """What changes while it runs; None if nothing does. `capacities` and `latency` are long-run means then.
    """
    _routes: dict[tuple[str, str], Route] = field(default_factory=dict, init=False, repr=False)
    _by_hops: dict[tuple[int, ...], Route] = field(default_factory=dict, init=False, repr=False)
    _trees: dict[int, list[int]] = field(default_factory=dict, init=False, repr=False)
    _distances: dict[int, list[Label | None]] = field(default_factory=dict, init=False, repr=False)
    _steps: dict[tuple[int, int], tuple[list[int], float, float]] = field(
        default_factory=dict, init=False, repr=False
    )
    _neighbors: dict[str, tuple[str, ...]] = field(default_factory=dict, init=False, repr=False)

    def route(self, source: str, target: str, flow: int = 0) -> Route:
        """The route between two nodes; empty from a node to itself.

        It is the one that the scenario writes down, if there is one whose links are there, else the shortest
        path under :attr:`routing`. Of equal paths the one with fewer hops wins, then the one through nodes
        that come first; with :attr:`ecmp` a hash of source and target (and of `flow`, a number of the
        transfer) chooses among those of fewest hops. Raises `KeyError` for an unknown node, `NoRouteError`
        where all ways failed.
        """
        if self.ecmp == "flow" and (source, target) not in self.explicit_routes:
            path = tuple(self._path(self._index[source], self._index[target], flow))
            if path not in self._by_hops:
                self._by_hops[path] = self._along(path)
            return self._by_hops[path]
        found = self._routes.get((source, target))
        if found is None:
            found = self._routes[source, target] = self._along(self._hops(source, target))
        return found

    def without(self, resources: Iterable[int]) -> "Topology":
        """The same network, whose routes use none of `resources`; indices and capacities stay as they are.

        A written route over one of them gives way to the shortest path that is left.
        """
        failed = self.failed.union(resources)
        graph = self.graph.copy()
        gone = [(a, b) for a, b in graph.edges if not failed.isdisjoint(self._hop(a, b))]
        graph.remove_edges_from(gone)
        return replace(self, graph=graph, failed=failed)

    def resources_of(self, a: str, b: str) -> tuple[int, ...]:
        """The resources of the link between two nodes, from a to b first; empty where there is no link."""
        found = [self.graph.edges[way]["resource"] for way in ((a, b), (b, a)) if self.graph.has_edge(*way)]
        return tuple(dict.fromkeys(found))

    def nominal_bandwidth(self, source: str, target: str) -> float:
        """What a message gets on an idle network: the least capacity on its route; infinite within a node."""
        return min((self.capacities[r] for r in self.route(source, target).resources), default=inf)

    def neighbors(self, node: str) -> tuple[str, ...]:
        """A worker's neighbours in :attr:`overlay`; else the hosts reached without passing through another
        one.

        In the order of hosts.
        """
        if self.overlay is not None and node in self.overlay:
            return self.overlay[node]
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

    @cached_property
    def _symmetric(self) -> bool:
        """Whether the way back surely takes as long as the way there."""
        if self.routing != "latency" or self.explicit_routes:
            return False
        edges = self.graph.edges
        return all(
            self.graph.has_edge(*way[::-1]) and edges[way[::-1]]["latency"] == edges[way]["latency"]
            for way in edges
        )

    def _hops(self, source: str, target: str) -> tuple[int, ...]:
        written = self.explicit_routes.get((source, target))
        if written is not None and all(self.graph.has_edge(*step) for step in pairwise(written)):
            return tuple(self._index[name] for name in written)
        return tuple(self._path(self._index[source], self._index[target]))

    def _path(self, source: int, target: int, flow: int = 0) -> list[int]:
        if source == target:
            return [source]
        if self.ecmp != "none":
            if target not in self._distances:
                self._distances[target] = distances_to(self._adjacency, target)
            key = f"{self._names[source]}\0{self._names[target]}\0{flow}"
            try:
                return hashed_path(self._adjacency, self._distances[target], source, target, key)
            except NoRouteError:
                raise self._no_route(source, target) from None
        hops = self._adjacency[source]
        if len(hops) == 1 and len(self._adjacency[hops[0][0]]) > 1:
            # All routes of a node with one link begin alike: its neighbour's tree serves all the leaves of a
            # star.
            return [source, *self._path(hops[0][0], target)]
        if source not in self._trees:
            self._trees[source] = shortest_path_tree(self._adjacency, source)
        try:
            return tree_path(self._trees[source], target)
        except ValueError:
            raise self._no_route(source, target) from None

    def _no_route(self, source: int, target: int) -> NoRouteError:
        return NoRouteError(f"no way from {self._names[source]} to {self._names[target]} is left")

    def _along(self, path: tuple[int, ...]) -> Route:
        steps = [self._step(a, b) for a, b in pairwise(path)]
        resources = tuple(resource for step in steps for resource in step[0])
        latency = fsum(step[1] for step in steps)
        loss = 1.0 - prod(1.0 - step[2] for step in steps) if any(step[2] for step in steps) else 0.0
        hops = tuple([self._names[node] for node in path])
        return Route(resources, latency, hops, loss, self._return_latency(path))

    def _step(self, a: int, b: int) -> tuple[list[int], float, float]:
        """The resources, the latency and the loss of one hop, looked up once."""
        found = self._steps.get((a, b))
        if found is None:
            ends = self._names[a], self._names[b]
            edge = self.graph.edges[ends]
            found = self._steps[a, b] = self._hop(*ends), edge["latency"], edge["loss"]
        return found

    def _return_latency(self, path: tuple[int, ...]) -> float | None:
        """The latency of the way back; None where it is that of the way there, or nothing comes back."""
        if len(path) == 1 or self._symmetric:
            return None
        try:
            back = self._hops(self._names[path[-1]], self._names[path[0]])
        except NoRouteError:
            return None
        steps = pairwise(self._names[node] for node in back)
        return fsum(self.graph.edges[step]["latency"] for step in steps)

    def _hop(self, a: str, b: str) -> list[int]:
        """The resources of one hop."""
        nodes = self.graph.nodes
        resources = [nodes[a].get("uplink"), self.graph.edges[a, b]["resource"], nodes[b].get("downlink")]
        return [resource for resource in resources if resource is not None]
