"""D-PSGD."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from simnet.algorithms.edges import Edges
from simnet.algorithms.overlay import Graph, metropolis_weights, overlay, tell_degrees
from simnet.runtime.node import Algorithm, Node


class DPSGD(Algorithm):
    """Decentralized SGD: average with the neighbours while computing the gradient (Lian et al., 2017).

    `x_i <- sum_j W_ij x_j - opt(g_i(x_i))` with Metropolis weights W. Waits for its neighbours only; sends
    `degree d b` bytes per step.
    """

    safe_points: ClassVar[Literal["common", "own", "none"]] = "common"

    graph: Graph = Field(
        "neighbors",
        description="Who averages with whom: the topology's own neighbours (on a star: everybody), or an "
        "overlay by rank.",
    )

    async def worker(self, node: Node) -> None:
        neighbors = overlay(self.graph, node)
        edges = Edges(node, neighbors, hello=len(neighbors))
        await edges.begin()
        if node.incarnation == 0:
            await tell_degrees(node, edges, neighbors)
        while node.running:
            mixing = node.spawn(self.mix(node, edges, len(neighbors)))
            gradient = await node.gradient()
            node.params = await mixing
            await node.step(gradient.vector)
            node.version += 1
        edges.end()

    async def mix(self, node: Node, edges: Edges, degree: int) -> Tensor:
        """The weighted mean of the neighbours' models and this node's own, all of the same iteration.

        The weight of a neighbour that is lost stays with this node's own model.
        """
        own, weights = node.params, metropolis_weights(node, degree, edges.hellos)
        exchanges = {peer: edges.exchange(peer, own, "mix") for peer in weights if peer != node.id}
        mixed = weights[node.id] * own
        for peer, exchange in exchanges.items():
            theirs = await exchange
            mixed = mixed + weights[peer] * (own if theirs is None else theirs)
        return mixed
