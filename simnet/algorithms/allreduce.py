"""Synchronous data parallelism."""

from pydantic import Field
from torch import Tensor

from simnet.algorithms.layerwise import LayerwiseMean, Overlap
from simnet.algorithms.membership import Group, SynchronousMethod, model_and_state
from simnet.runtime.node import Encoded, GroupChanged, Node


class AllReduce(SynchronousMethod):
    """Synchronous data parallel: every step averages all gradients (the baseline, "DDP").

    `x <- x - opt(mean_i g_i)`. Sends `2 (n-1)/n d b` bytes per worker and step on a ring. With `overlap:
    backward` each layer is sent as soon as the backward pass has left it, one layer after the other; the
    result is the same, and only what is left when the backward pass ends is waited for (Li et al., 2020).
    """

    overlap: Overlap = Field(
        "none",
        description="none: send the whole gradient when it is complete; backward: send each layer as soon as "
        "the backward pass has left it.",
    )

    async def worker(self, node: Node) -> None:
        def take(state: Encoded) -> None:
            node.params, node.optimizer_state = state.content

        group = self.group(node, lambda: model_and_state(node.params, node.optimizer_state), take)
        while await group.round():
            try:
                gradient = await self.mean_gradient(node, group)
            except GroupChanged:  # the others have taken the step without it: it has their model now
                continue
            await node.step(gradient)
            node.version += 1

    async def mean_gradient(self, node: Node, group: Group) -> Tensor:
        """The mean over the workers of their next minibatches' gradients."""
        if self.overlap == "none":
            gradient = await node.gradient()
            return await group.mean(gradient.vector)
        mean = LayerwiseMean(node, group)
        await node.gradient(on_layer=mean.add)
        return await mean.result()
