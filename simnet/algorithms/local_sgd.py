"""Local SGD."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from simnet.runtime.node import Algorithm, Node


class LocalSGD(Algorithm):
    """Local SGD: H local steps, then the average of all models (Stich, 2019).

    `x_i <- mean_j x_j` every `local_steps`; the optimizer's own state stays where it is.
    """

    safe_points: ClassVar[Literal["common", "own", "none"]] = "common"

    local_steps: PositiveInt = Field(20, description="Optimizer steps between two averagings (H).")

    async def worker(self, node: Node) -> None:
        while node.running:
            await node.train(self.local_steps)
            node.params = await node.all_reduce(node.params, op="mean")
