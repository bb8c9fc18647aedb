"""Who talks to whom in gossip, and how much weight each neighbour gets."""

from typing import Literal

from simnet.runtime.node import Node

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


async def metropolis_weights(node: Node, neighbors: tuple[str, ...]) -> dict[str, float]:
    """`W_ij = 1 / (1 + max(degree_i, degree_j))`, the rest on the node itself: symmetric, doubly stochastic.

    Neighbours tell each other their degrees first (Xiao, Boyd and Kim, 2007: only local knowledge is needed).
    """
    mine = len(neighbors)
    tellings = {peer: node.spawn(node.exchange(peer, mine, "degree")) for peer in neighbors}
    weights = {peer: 1.0 / (1 + max(mine, await telling)) for peer, telling in tellings.items()}
    weights[node.id] = 1.0 - sum(weights.values())
    return weights
