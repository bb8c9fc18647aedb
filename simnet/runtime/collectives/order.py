"""A ring's order: who sits next to whom, so that no slow or long link is crossed more than need be."""

from collections.abc import Sequence
from itertools import pairwise

from simnet.runtime.collectives.paths import Paths

TWO_OPT_MEMBERS = 96
"""Larger rings are only built greedily: the improvement takes time that grows with the cube."""


def by_bandwidth(members: Sequence[str], paths: Paths) -> tuple[str, ...]:
    """The members in a ring order that is good for the slowest link, then for the sum of latencies.

    From the first member on always to the one that is reached fastest, then nearest, then of lowest
    rank; after that pairs of edges are exchanged (2-opt) as long as the ring gets better. An edge
    counts as its worse direction. The order by rank is kept where it is no worse when all edges are busy at
    once. Deterministic, so all members find the same.
    """
    size = len(members)
    if size <= 3:
        return tuple(members)
    edges = [[_edge(paths, a, b) if a != b else (0.0, 0.0) for b in members] for a in members]
    order = [0]
    left = set(range(1, size))
    while left:
        last = order[-1]
        order.append(min(left, key=lambda rank: (edges[last][rank], rank)))
        left.remove(order[-1])
    if size <= TWO_OPT_MEMBERS:
        order = _two_opt(order, edges)
    found = tuple(members[rank] for rank in order)
    return found if _busy(found, paths) < _busy(members, paths) else tuple(members)


Edge = tuple[float, float]
"""Seconds per byte, and latency."""


def _edge(paths: Paths, a: str, b: str) -> Edge:
    there, back = paths.cost([(a, b)]), paths.cost([(b, a)])
    return max(there.seconds_per_byte, back.seconds_per_byte), max(there.latency, back.latency)


def _two_opt(order: list[int], edges: list[list[Edge]]) -> list[int]:
    """Reverse stretches of the ring as long as that makes it better."""
    size = len(order)
    best, improved = _length(order, edges), True
    while improved:
        improved = False
        for first in range(1, size - 1):
            for last in range(first + 1, size):
                a, b, c, d = order[first - 1], order[first], order[last], order[(last + 1) % size]
                if a == d or _sum(edges[a][c], edges[b][d]) >= _sum(edges[a][b], edges[c][d]):
                    continue
                tried = order[:first] + order[first : last + 1][::-1] + order[last + 1 :]
                length = _length(tried, edges)
                if length < best:
                    order, best, improved = tried, length, True
    return order


def _sum(one: Edge, other: Edge) -> tuple[float, float, float]:
    """For comparing two pairs of edges: the slower one, both speeds, both latencies."""
    return max(one[0], other[0]), one[0] + other[0], one[1] + other[1]


def _length(order: list[int], edges: list[list[Edge]]) -> tuple[float, float, float]:
    around = [edges[a][b] for a, b in pairwise([*order, order[0]])]
    return max(e[0] for e in around), sum(e[0] for e in around), sum(e[1] for e in around)


def _busy(ring: Sequence[str], paths: Paths) -> tuple[float, float, float]:
    """With all edges busy at once: seconds per byte, worst latency, sum of latencies."""
    pairs = list(zip(ring, [*ring[1:], ring[0]], strict=True))
    cost = paths.cost(pairs)
    return cost.seconds_per_byte, cost.latency, sum(paths.cost([pair]).latency for pair in pairs)
