"""Synchronous data parallelism."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from simnet.algorithms.layerwise import LayerwiseMean, Overlap
from simnet.runtime.node import Algorithm, Node


class AllReduce(Algorithm):
    """Synchronous data parallel: every step averages all gradients (the baseline, "DDP").

    `x <- x - opt(mean_i g_i)`. Sends `2 (n-1)/n d b` bytes per worker and step on a ring. With `overlap:
    backward` each layer is sent as soon as the backward pass has left it, one layer after the other; the
    result is the same, and only what is left when the backward pass ends is waited for (Li et al., 2020).
    """

    safe_points: ClassVar[Literal["common", "own", "none"]] = "common"

    overlap: Overlap = Field(
        "none",
        description="none: send the whole gradient when it is complete; backward: send each layer as soon as "
        "the backward pass has left it.",
    )

    async def worker(self, node: Node) -> None:
        while node.running:
            await node.step(await self.mean_gradient(node))

    async def mean_gradient(self, node: Node) -> Tensor:
        """The mean over the workers of their next minibatches' gradients."""
        if self.overlap == "none":
            gradient = await node.gradient()
            return await node.all_reduce(gradient.vector, op="mean")
        mean = LayerwiseMean(node)
        await node.gradient(on_layer=mean.add)
        return await mean.result()
