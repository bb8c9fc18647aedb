"""AD-PSGD."""

from typing import ClassVar, Literal

from pydantic import Field

from simnet.algorithms.catching_up import borrow, known_up, lend
from simnet.algorithms.overlay import Graph, overlay
from simnet.runtime.node import Algorithm, Node, PeerLost


class ADPSGD(Algorithm):
    """Asynchronous decentralized SGD: average with one random neighbour while computing (Lian et al., 2018).

    Workers of even rank start an averaging, those of odd rank answer at any time: with that bipartition
    nobody can wait in a circle. An averaging sets both models to `(x_i + x_j) / 2`; the gradient, computed
    meanwhile at the model before it, is applied after it. A pair sends `d b` bytes each way.
    """

    step_budget: ClassVar[Literal["each", "mean"]] = "mean"

    graph: Graph = Field(
        "neighbors", description="Where partners are drawn from; only those of the other parity count."
    )

    async def worker(self, node: Node) -> None:
        ranks = {name: rank for rank, name in enumerate(node.members(node.role))}
        neighbors = overlay(self.graph, node)
        others = [peer for peer in neighbors if ranks[peer] % 2 != node.rank % 2]
        await self.begin(node, neighbors)
        while node.running:
            averaging = None
            partners = known_up(node, others)
            if partners and node.rank % 2 == 0:
                partner = partners[int(node.rng.integers(len(partners)))]
                averaging = node.spawn(self.average(node, partner))
            gradient = await node.gradient()
            if averaging is not None:
                await averaging
            await node.step(gradient.vector)

    async def begin(self, node: Node, neighbors: tuple[str, ...]) -> None:
        """Answer others from now on; after a crash, with a neighbour's model if one has it."""
        established = node.incarnation == 0
        node.spawn(lend(node, lambda: established))
        if not established:
            model = await borrow(node, known_up(node, neighbors))
            if model is not None:
                node.params = model.payload
            established = True
        if node.rank % 2:
            node.spawn(self.answer(node))

    async def average(self, node: Node, partner: str) -> None:
        """Ask `partner` for an averaging; this model does not move until the answer is here.

        Without an answer, since the partner is lost, it stays what it is.
        """
        try:
            theirs = await node.exchange(partner, node.params, "average")
        except PeerLost:
            return
        node.params = (node.params + theirs) / 2

    async def answer(self, node: Node) -> None:
        """Average with whoever asks, one after the other, at the instant when the question arrives."""
        while True:
            question = await node.recv(tag="average")
            mine = node.params
            node.params = (mine + question.payload) / 2
            node.spawn(node.send(question.sender, mine, "average"))
