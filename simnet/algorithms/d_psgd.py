"""D-PSGD."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from simnet.algorithms.overlay import Graph, metropolis_weights, overlay
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
        weights = await metropolis_weights(node, overlay(self.graph, node))
        iteration = 0
        while node.running:
            mixing = node.spawn(self.mix(node, weights, iteration))
            gradient = await node.gradient()
            node.params = await mixing
            await node.step(gradient.vector)
            iteration += 1

    async def mix(self, node: Node, weights: dict[str, float], iteration: int) -> Tensor:
        """The weighted mean of the neighbours' models and this node's own, all of the same iteration."""
        own = node.params
        exchanges = {
            peer: node.spawn(node.exchange(peer, own, ("mix", iteration)))
            for peer in weights
            if peer != node.id
        }
        mixed = weights[node.id] * own
        for peer, exchange in exchanges.items():
            mixed = mixed + weights[peer] * await exchange
        return mixed
