"""An algorithm of one's own: sparse gossip. One file, one class, one coroutine."""

from pydantic import Field, PositiveInt

from simnet import Algorithm, Node


class LazyGossip(Algorithm):
    """Train locally, and average with one random partner every few steps."""

    local_steps: PositiveInt = Field(5, description="Local steps between two averagings.")

    async def worker(self, node: Node) -> None:
        turn = 0
        while node.running:
            await node.train(self.local_steps)
            pairs = node.shared_rng("pairs", turn).permutation(len(node.members("worker")))
            partner = self.partner(node, list(pairs))
            if partner is not None:
                theirs = await node.exchange(partner, node.params, tag=("pair", turn))
                node.params = (node.params + theirs) / 2
            turn += 1

    def partner(self, node: Node, pairs: list[int]) -> str | None:
        """Everybody draws the same permutation; neighbours in it are partners, the odd one out has none."""
        place = pairs.index(node.rank)
        other = place + 1 if place % 2 == 0 else place - 1
        return node.members("worker")[pairs[other]] if other < len(pairs) else None
