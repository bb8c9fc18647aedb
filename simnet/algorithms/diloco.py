"""DiLoCo."""

from pydantic import Field, PositiveInt

from simnet.optim import Nesterov, OptimizerConfig
from simnet.runtime.node import Algorithm, Node


class DiLoCo(Algorithm):
    """H local steps, then an outer Nesterov step on the averaged drift (Douillard et al., 2023).

    arXiv 2311.08105. All start a round at `phi`; `Delta = mean_i (phi - theta_i)`; `m <- mu m + Delta`;
    `phi <- phi - eta (Delta + mu m)`. The inner optimizer's state is neither sent nor reset.
    """

    local_steps: PositiveInt = Field(50, description="Inner optimizer steps per round (H).")
    outer: OptimizerConfig = Field(
        Nesterov(lr=0.7, momentum=0.9), description="The outer optimizer, stepped on the averaged drift."
    )

    async def worker(self, node: Node) -> None:
        anchor, outer = node.params, self.outer.init(node.params)
        outer_flops = self.outer.step_flops(node.parameters)
        while node.running:
            await node.train(self.local_steps)
            drift = await node.all_reduce(anchor - node.params, op="mean")
            anchor, outer = await node.compute(self.outer.step, anchor, drift, outer, flops=outer_flops)
            node.params = anchor
