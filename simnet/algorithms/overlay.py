"""Who talks to whom in gossip, and how much weight each neighbour gets."""

from collections.abc import Mapping
from typing import Literal

from simnet.algorithms.edges import Edges
from simnet.runtime.node import Node, PeerLost

Graph = Literal["neighbors", "ring", "complete", "exponential"]


def overlay(graph: Graph, node: Node) -> tuple[str, ...]:
    """The peers that `node` gossips with, in rank order; every graph here is undirected.

    `neighbors` are the topology's own; `ring` the ranks before and after; `complete` everybody; `exponential`
    the ranks at distance 1, 2, 4, ... either way (Assran et al., 2019, made symmetric).
    """
    if graph == "neighbors":
        return node.neighbors
    members = node.members(node.role)
    size, me = len(members), node.rank
    if graph == "complete":
        return node.peers
    reach = [1] if graph == "ring" else [1 << k for k in range((size - 1).bit_length())]
    ranks = {(me + sign * distance) % size for distance in reach for sign in (1, -1)} - {me}
    return tuple(members[rank] for rank in sorted(ranks))


async def tell_degrees(node: Node, edges: Edges, neighbors: tuple[str, ...]) -> None:
    """Neighbours tell each other their degrees; `edges` notes them (only local knowledge is needed)."""
    mine = len(neighbors)
    tellings = {peer: node.spawn(node.exchange(peer, mine, "degree")) for peer in neighbors}
    for peer, telling in tellings.items():
        try:
            edges.hellos[peer] = await telling
        except PeerLost:
            edges.lose(peer)


def metropolis_weights(node: Node, degree: int, degrees: Mapping[str, float]) -> dict[str, float]:
    """`W_ij = 1 / (1 + max(degree_i, degree_j))`, the rest on the node itself: symmetric, doubly stochastic.

    Xiao, Boyd and Kim, 2007. `degrees` are those of the neighbours, as far as they are known.
    """
    weights = {peer: 1.0 / (1 + max(degree, theirs)) for peer, theirs in degrees.items()}
    weights[node.id] = 1.0 - sum(weights.values())
    return weights
