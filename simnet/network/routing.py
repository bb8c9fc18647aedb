"""Routes: which resources a message uses on its way, and shortest-path trees to find them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal

RoutingMetric = Literal["latency", "hops", "bandwidth"]

_COST_UNIT = 1e-18
"""Costs are whole multiples of this (attoseconds, or seconds per exabyte), so that sums are exact and equal
routes really tie."""


@dataclass(frozen=True, slots=True)
class Route:
    """A way through the network: its resources, its latency in seconds, the nodes that it visits.

    `hops` begins with the source and ends with the target; a node's way to itself is just that node, and uses
    nothing.
    """

    resources: tuple[int, ...]
    latency: float
    hops: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RouteTable:
    """A network that is just resources and routes between named ends, without a topology behind them."""

    capacities: tuple[float, ...]
    """Bytes per second of each resource."""
    routes: Mapping[tuple[str, str], Route] = field(default_factory=dict)

    def route(self, source: str, target: str) -> Route:
        """The route from `source` to `target`; raises `KeyError` where none was given."""
        return Route((), 0.0, (source,)) if source == target else self.routes[source, target]


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
