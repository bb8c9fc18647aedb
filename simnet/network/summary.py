"""What people ask about a network before they run anything on it: how far, how narrow, how well mixed."""

from collections import Counter
from dataclasses import dataclass
from math import inf

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from simnet.network.routing import Route
from simnet.network.topology import Topology

_MOST_PAIRS = 40_000
_MOST_CUTS = 64
_MOST_MIXED = 2_000


@dataclass(frozen=True, slots=True)
class Load:
    """How much of all-to-all traffic between workers one resource carries."""

    resource: int
    name: str
    pairs: float
    """The share of ordered pairs of workers whose route uses it."""
    bandwidth: float
    """Its capacity in bytes per second."""
    each: float
    """What each of these pairs gets if all send at once and nothing else limits them, in bytes per second."""


@dataclass(frozen=True, slots=True)
class Cut:
    """The narrowest place between any two workers."""

    bandwidth: float
    """The most that can flow between the two over all paths at once, in bytes per second."""
    source: str
    target: str
    links: tuple[str, ...]
    """The resources that are cut, by name."""


@dataclass(frozen=True, slots=True)
class Summary:
    """A network in numbers. Distances, loads and cuts are those between the hosts of workers."""

    hosts: int
    switches: int
    workers: int
    links: int
    hops: int
    """Links on the longest route."""
    latency: float
    """Seconds one way on the slowest route."""
    median_latency: float
    least_bandwidth: float
    """The least that an idle network gives a pair, in bytes per second."""
    greatest_bandwidth: float
    sampled: bool
    """Whether distances and loads are those of a part of the pairs, evenly chosen, since there are too many.
    """
    loads: tuple[Load, ...]
    """The resources that routes use, the most contended first."""
    cut: Cut | None
    """None where there are more than 64 workers."""
    spectral_gap: float | None
    """1 - the second largest modulus of the eigenvalues of the Metropolis matrix; None above 2000 workers."""
    degrees: tuple[int, int]
    """The least and the most neighbours that a worker has."""


def summarise(topology: Topology) -> Summary:
    """`topology` in numbers; a few seconds for the largest."""
    workers = tuple(dict.fromkeys(topology.workers))
    routes, sampled = _routes(topology, workers)
    latencies = sorted(route.latency for route in routes) or [0.0]
    rates = [min((topology.capacities[r] for r in route.resources), default=inf) for route in routes] or [inf]
    neighbors = worker_graph(topology)
    degrees = [len(near) for near in neighbors.values()]
    return Summary(
        hosts=len(topology.hosts),
        switches=len(topology.switches),
        workers=len(topology.workers),
        links=len({frozenset(ends) for ends in topology.graph.edges}),
        hops=max((len(route.hops) - 1 for route in routes), default=0),
        latency=latencies[-1],
        median_latency=latencies[len(latencies) // 2],
        least_bandwidth=min(rates),
        greatest_bandwidth=max(rates),
        sampled=sampled,
        loads=_loads(topology, routes),
        cut=narrowest_cut(topology) if 1 < len(workers) <= _MOST_CUTS else None,
        spectral_gap=spectral_gap(metropolis(neighbors)) if 1 < len(workers) <= _MOST_MIXED else None,
        degrees=(min(degrees), max(degrees)),
    )


def worker_graph(topology: Topology) -> dict[str, tuple[str, ...]]:
    """The neighbours of each worker's host among the workers' hosts."""
    workers = dict.fromkeys(topology.workers)
    return {
        worker: tuple(near for near in topology.neighbors(worker) if near in workers) for worker in workers
    }


def metropolis(neighbors: dict[str, tuple[str, ...]]) -> NDArray[np.float64]:
    """The gossip matrix `W_ij = 1 / (1 + max(degree_i, degree_j))` of Xiao, Boyd and Kim (2007).

    The rest of each row is on its diagonal: the matrix is symmetric and doubly stochastic.
    """
    rank = {worker: i for i, worker in enumerate(neighbors)}
    weights = np.zeros((len(rank), len(rank)))
    for worker, near in neighbors.items():
        for other in near:
            weights[rank[worker], rank[other]] = 1 / (1 + max(len(near), len(neighbors[other])))
    return weights + np.diag(1 - weights.sum(axis=1))


def spectral_gap(weights: NDArray[np.float64]) -> float:
    """1 - max(|second largest|, |least|) eigenvalue of a symmetric, doubly stochastic matrix: 1 mixes at
    once.
    """
    values = np.linalg.eigvalsh(weights)
    return float(1 - max(abs(values[0]), abs(values[-2])) if len(values) > 1 else 1)


def narrowest_cut(topology: Topology) -> Cut:
    """The smallest of the minimum cuts between any two workers.

    One worker is cut from each other in both directions; since a cut that parts any two parts one of them
    from the first, that finds the smallest. A half-duplex link counts in each direction as if it had it
    alone, a fatpipe as infinite.
    """
    graph: nx.DiGraph[object] = nx.DiGraph()
    nodes = topology.graph.nodes

    def entry(node: str) -> object:
        return ("into", node) if nodes[node].get("downlink") is not None else node

    def leaving(node: str) -> object:
        return ("out of", node) if nodes[node].get("uplink") is not None else node

    def connect(a: object, b: object, resource: int) -> None:
        graph.add_edge(a, b, resource=resource)
        if resource not in topology.fatpipes:  # networkx takes an edge without capacity for infinite
            graph.edges[a, b]["capacity"] = topology.capacities[resource]

    for node, attributes in nodes(data=True):
        if attributes.get("downlink") is not None:
            connect(entry(node), node, attributes["downlink"])
        if attributes.get("uplink") is not None:
            connect(node, leaving(node), attributes["uplink"])
    for a, b, attributes in topology.graph.edges(data=True):
        connect(leaving(a), entry(b), attributes["resource"])
    first, *others = dict.fromkeys(topology.workers)
    best = Cut(inf, first, others[0], ())
    for other in others:
        for source, target in ((first, other), (other, first)):
            if not _less_than(graph, source, target, best.bandwidth):
                continue
            try:
                value, (near, _) = nx.minimum_cut(graph, source, target)
            except nx.NetworkXUnbounded:
                continue
            if value < best.bandwidth * (1 - 1e-12):
                crossed = {graph.edges[a, b]["resource"] for a in near for b in graph[a] if b not in near}
                names = tuple(topology.resource_names[resource] for resource in sorted(crossed))
                best = Cut(value, source, target, names)
    return best


def _less_than(graph: nx.DiGraph, source: str, target: str, bound: float) -> bool:
    """Whether a cut may be below `bound`: a path that is as wide as that all along proves that none is."""
    reached, waiting = {source}, [source]
    while waiting:
        for following, edge in graph[waiting.pop()].items():
            if following not in reached and edge.get("capacity", inf) >= bound:
                if following == target:
                    return False
                reached.add(following)
                waiting.append(following)
    return True


def _routes(topology: Topology, workers: tuple[str, ...]) -> tuple[list[Route], bool]:
    """Routes between workers: all, or those from and to as many evenly chosen ones as can be looked at."""
    chosen = workers
    sampled = len(workers) * (len(workers) - 1) > _MOST_PAIRS
    if sampled:
        count = int(_MOST_PAIRS**0.5)
        chosen = tuple(workers[i * len(workers) // count] for i in range(count))
    return [topology.route(a, b) for a in chosen for b in chosen if a != b], sampled


def _loads(topology: Topology, routes: list[Route]) -> tuple[Load, ...]:
    used: Counter[int] = Counter(resource for route in routes for resource in route.resources)
    loads = [
        Load(
            resource,
            topology.resource_names[resource],
            count / len(routes),
            topology.capacities[resource],
            topology.capacities[resource] / count,
        )
        for resource, count in used.items()
        if resource not in topology.fatpipes
    ]
    return tuple(sorted(loads, key=lambda load: (load.each, load.resource)))
