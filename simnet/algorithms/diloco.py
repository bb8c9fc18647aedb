"""DiLoCo."""

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import Tensor

from simnet.algorithms.layerwise import LayerwiseMean, Overlap
from simnet.algorithms.membership import Group, SynchronousMethod, model_and_state
from simnet.optim import Nesterov, OptimizerConfig
from simnet.runtime.node import Encoded, GroupChanged, Node


class DiLoCo(SynchronousMethod):
    """H local steps, then an outer Nesterov step on the averaged drift (Douillard et al., 2023).

    arXiv 2311.08105. All start a round at `phi`; `Delta = mean_i (phi - theta_i)`; `m <- mu m + Delta`;
    `phi <- phi - eta (Delta + mu m)`. The inner optimizer's state is neither sent nor reset. With `overlap:
    backward` each layer's drift is sent as soon as the round's last backward pass has left that layer, one
    layer after the other; the result is the same.
    """

    safe_points: ClassVar[Literal["common", "own", "none"]] = "common"

    local_steps: PositiveInt = Field(50, description="Inner optimizer steps per round (H).")
    outer: OptimizerConfig = Field(
        Nesterov(lr=0.7, momentum=0.9), description="The outer optimizer, stepped on the averaged drift."
    )
    overlap: Overlap = Field(
        "none",
        description="none: send the whole drift after the last inner step; backward: send each layer's as "
        "soon as that step's backward pass has left it.",
    )

    async def worker(self, node: Node) -> None:
        anchor, outer = node.params, node.kept.get("outer") or self.outer.init(node.params)
        outer_flops = self.outer.step_flops(node.parameters)

        def take(state: Encoded) -> None:
            nonlocal anchor, outer
            anchor, outer = state.content
            node.params, node.kept["outer"] = anchor, outer

        group = self.group(node, lambda: model_and_state(anchor, outer), take)
        while await group.round():
            try:
                drift = await self.mean_drift(node, anchor, group)
            except GroupChanged:  # the others have finished the round without it: it has their anchor now
                continue
            anchor, outer = await node.compute(self.outer.step, anchor, drift, outer, flops=outer_flops)
            node.params, node.kept["outer"] = anchor, outer
            node.version += 1

    async def mean_drift(self, node: Node, anchor: Tensor, group: Group) -> Tensor:
        """Train for a round; the mean over who takes part of how far their models came from `anchor`."""
        if self.overlap == "none":
            await node.train(self.local_steps)
            return await group.mean(anchor - node.params)
        mean = LayerwiseMean(node, group)
        await node.train(
            self.local_steps, on_layer=lambda layer, params: mean.add(layer, anchor[layer] - params)
        )
        return await mean.result()
