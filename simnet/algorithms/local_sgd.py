"""Local SGD."""

from pydantic import Field, PositiveInt
from torch import Tensor

from simnet.algorithms.membership import SynchronousMethod
from simnet.runtime.node import GroupChanged, Node


class LocalSGD(SynchronousMethod):
    """Local SGD: H local steps, then the average of all models (Stich, 2019).

    `x_i <- mean_j x_j` every `local_steps`; the optimizer's own state stays where it is.
    """

    local_steps: PositiveInt = Field(20, description="Optimizer steps between two averagings (H).")

    async def worker(self, node: Node) -> None:
        average = node.params

        def take(model: Tensor) -> None:
            nonlocal average
            average = node.params = model

        group = self.group(node, lambda: average, take)
        while await group.round():
            await node.train(self.local_steps)
            try:
                average = await group.mean(node.params)
            except GroupChanged:  # the others have finished the round without it: it has their average now
                continue
            node.params = average
            node.version += 1
