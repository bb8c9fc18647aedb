"""Synchronous data parallelism."""

from simnet.runtime.node import Algorithm, Node


class AllReduce(Algorithm):
    """Synchronous data parallel: every step averages all gradients (the baseline, "DDP").

    `x <- x - opt(mean_i g_i)`. Sends `2 (n-1)/n d b` bytes per worker and step on a ring.
    """

    async def worker(self, node: Node) -> None:
        while node.running:
            gradient = await node.gradient()
            mean = await node.all_reduce(gradient.vector, op="mean")
            await node.step(mean)
