"""Routes: which resources a message uses on its way, and shortest-path trees to find them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappop, heappush
from typing import Literal

from simnet.network.dynamics import Dynamics

RoutingMetric = Literal["latency", "hops", "bandwidth"]
Ecmp = Literal["none", "pair", "flow"]
Label = tuple[int, int]
"""What a path costs, and its hops: compared in this order."""

_COST_UNIT = 1e-18
"""Costs are whole multiples of this (attoseconds, or seconds per exabyte), so that sums are exact and equal
routes really tie."""


class NoRouteError(LookupError):
    """There is no way between two nodes, since links on all of them have failed."""


@dataclass(frozen=True, slots=True)
class Route:
    """A way through the network: its resources, its latency in seconds, the nodes that it visits.

    `hops` begins with the source and ends with the target; a node's way to itself is just that node, and uses
    nothing.
    """

    resources: tuple[int, ...]
    latency: float
    hops: tuple[str, ...]
    loss: float = 0.0
    """The fraction of packets that is lost on the way: 1 - prod(1 - p) over its links."""
    return_latency: float | None = None
    """The latency of the way back, where that is another one."""

    @property
    def rtt(self) -> float:
        """Seconds there and back."""
        return self.latency + (self.latency if self.return_latency is None else self.return_latency)


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A network that is just resources and routes between named ends, without a topology behind them."""

    capacities: tuple[float, ...]
    """Bytes per second of each resource."""
    routes: Mapping[tuple[str, str], Route] = field(default_factory=dict)
    dynamics: Dynamics | None = None
    """What changes while it runs; None if nothing does."""
    fatpipes: frozenset[int] = frozenset()
    """Resources that cap each message and are never shared."""
    names: tuple[str, ...] = ()
    """What each resource is called; numbers if not given."""

    @property
    def resource_names(self) -> tuple[str, ...]:
        """What each resource is called."""
        return self.names or tuple(str(index) for index in range(len(self.capacities)))

    def route(self, source: str, target: str, flow: int = 0) -> Route:
        """The route from `source` to `target`, for any flow; raises `KeyError` where none was given."""
        return Route((), 0.0, (source,)) if source == target else self.routes[source, target]

    def without(self, resources: frozenset[int]) -> "RouteTable":
        """The same: there are no other routes."""
        return self


def link_cost(metric: RoutingMetric, latency: float, bandwidth: float) -> int:
    """What a hop costs: its latency, one, or the inverse of its bandwidth; exact to 1e-18 s."""
    if metric == "hops":
        return 1
    return round((latency if metric == "latency" else 1 / bandwidth) / _COST_UNIT)


def shortest_path_tree(adjacency: Sequence[Sequence[tuple[int, int]]], source: int) -> list[int]:
    """The predecessor of each node on the cheapest path from `source` (Dijkstra, 1959).

    Ties go to fewer hops, then to the predecessor that comes first, so a graph has one answer.

    Args:
        adjacency: For each node its neighbours with the whole, non-negative cost of the hop to them.
        source: The node that all paths start from.

    Returns:
        One predecessor per node; the source is its own, nodes that cannot be reached have -1.
    """
    predecessors = [-1] * len(adjacency)
    best: list[tuple[int, int] | None] = [None] * len(adjacency)
    heap = [(0, 0, source, source)]
    while heap:
        cost, hops, predecessor, node = heappop(heap)
        if predecessors[node] >= 0:
            continue
        predecessors[node] = predecessor
        for neighbour, hop_cost in adjacency[node]:
            if predecessors[neighbour] < 0:
                label = (cost + hop_cost, hops + 1)
                known = best[neighbour]
                if known is None or label <= known:
                    best[neighbour] = label
                    heappush(heap, (*label, node, neighbour))
    return predecessors


def tree_path(predecessors: Sequence[int], target: int) -> list[int]:
    """The nodes from the tree's source to `target`, both included.

    Raises:
        ValueError: `target` is not in the tree.
    """
    if predecessors[target] < 0:
        raise ValueError(f"node {target} cannot be reached")
    path = [target]
    while predecessors[path[-1]] != path[-1]:
        path.append(predecessors[path[-1]])
    return path[::-1]


def distances_to(adjacency: Sequence[Sequence[tuple[int, int]]], target: int) -> list[Label | None]:
    """The cost and hops of the best path from each node to `target`; None where there is no path.

    Args:
        adjacency: As for :func:`shortest_path_tree`, every hop in its own direction.
        target: The node that all paths end at.
    """
    backward: list[list[tuple[int, int]]] = [[] for _ in adjacency]
    for node, hops in enumerate(adjacency):
        for neighbour, cost in hops:
            backward[neighbour].append((node, cost))
    best: list[Label | None] = [None] * len(adjacency)
    heap = [(0, 0, target)]
    while heap:
        cost, hops_left, node = heappop(heap)
        if best[node] is not None:
            continue
        best[node] = (cost, hops_left)
        for before, hop_cost in backward[node]:
            if best[before] is None:
                heappush(heap, (cost + hop_cost, hops_left + 1, before))
    return best


def hashed_path(
    adjacency: Sequence[Sequence[tuple[int, int]]],
    distances: Sequence[Label | None],
    source: int,
    target: int,
    key: str,
) -> list[int]:
    """One of the best paths: at each node a hash of `key` and the node chooses among the equally good hops.

    That is what routers do for equal-cost multipath (RFC 2992, by hash): the same key always takes the same
    path, in every process and on every machine. Raises `NoRouteError` where there is no path.
    """
    if distances[source] is None:
        raise NoRouteError
    path = [source]
    while path[-1] != target:
        here = distances[path[-1]]
        assert here is not None
        equal = sorted(
            neighbour
            for neighbour, cost in adjacency[path[-1]]
            if (left := distances[neighbour]) is not None and (left[0] + cost, left[1] + 1) == here
        )
        digest = blake2b(f"{key}\0{path[-1]}".encode(), digest_size=8).digest()
        path.append(equal[int.from_bytes(digest, "little") % len(equal)])
    return path
