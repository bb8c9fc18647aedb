"""PipeMare."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt
from torch import Tensor

from simnet.optim import Optimizer
from simnet.pipeline.method import PipelineMethod
from simnet.pipeline.schedules import Update, continuous, one_forward_one_backward
from simnet.pipeline.stage import Stage
from simnet.pipeline.weights import WeightStore
from simnet.runtime.stage_node import StageNode


class PipeMare(PipelineMethod):
    """Asynchronous pipeline without weight copies: smaller steps where gradients are old, and a correction.

    Yang et al., 2021 ("PipeMare"). The forward pass sees the latest weights, the backward pass the latest of
    its own time. With the measured age tau of a stage's gradients: T1, the learning rate is
    `lr / tau^(1 - min(t / T, 1))`; T2, the backward pass sees `w - tau delta`, with the running mean delta of
    the updates, `delta <- gamma delta + (1 - gamma) (w' - w)` and `gamma = D^(1 / tau)`, which is about what
    the forward pass saw; T3, the first updates are synchronous. The backward pass is computed from the
    stage's input, at the weights that it sees, so it always takes the time of the forward pass as well.
    """

    update_every: PositiveInt = Field(1, description="Microbatches per update.")
    anneal_updates: NonNegativeInt = Field(
        0, description="T1: updates until the learning rate is not discounted any more (T); 0: no discount."
    )
    correction: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.135, description="T2: D, how far back the running mean looks; 0: no correction."
    )
    synchronous_updates: NonNegativeInt = Field(
        0, description="T3: so many updates at first in which the pipeline drains."
    )

    @property
    def recomputes(self) -> bool:
        return True  # the two passes see different weights

    async def stage(self, node: StageNode) -> None:
        delay = node.stages - 1 - node.stage  # of a pipeline that updates after every microbatch
        expected = max(1.0, delay / self.update_every)
        smoothing = self.correction ** (1 / expected) if self.correction > 0 and delay > 0 else None
        policy = Corrected() if smoothing is not None else Corrected(0.0)
        stage, together = Stage(node, policy, smoothing=smoothing), self.together(node)

        async def update() -> None:
            optimizer = self.discounted(node.optimizer, stage.delay, stage.weights.version)
            await stage.update(await together.gradient(stage.take_gradient()), optimizer)
            await together.after_update(stage)

        every, drained = self.update_every, self.synchronous_updates
        if node.budget is not None:
            drained = min(drained, node.budget)
        for step in range(drained):
            await stage.run(one_forward_one_backward(node.stages, node.stage, every), first=step * every)
            await update()
        left = None if node.budget is None else (node.budget - drained) * every
        if left == 0:
            return
        for action in continuous(node.stages, node.stage, left, every):
            if isinstance(action, Update):
                await update()
            else:
                await stage.run((action,), first=drained * every)

    def discounted(self, optimizer: Optimizer, delay: float, update: int) -> Optimizer:
        """T1: `optimizer` with the learning rate of update number `update` (from 0) at so old gradients."""
        if self.anneal_updates == 0 or delay <= 1:
            return optimizer
        power = 1 - min(update / self.anneal_updates, 1.0)
        return optimizer.model_copy(update={"lr": optimizer.lr / delay**power})


class Corrected:
    """Forward at the latest weights, backward at the latest moved back by their recent course (T2).

    Args:
        share: Of the way back that is gone; 0 is no correction.
    """

    def __init__(self, share: float = 1.0) -> None:
        self._share = share

    def forward(self, weights: WeightStore, microbatch: int) -> tuple[int, Tensor]:
        """The latest."""
        return weights.version, weights.latest

    def backward(self, weights: WeightStore, version: int) -> Tensor:
        """About what the forward pass saw, so many updates ago."""
        if self._share == 0:
            return weights.latest
        return weights.predicted(-self._share * (weights.version - version))
