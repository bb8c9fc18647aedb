"""The Nesterov method for asynchronous pipelines."""

from typing import Annotated

from pydantic import Field, PositiveInt

from simnet.optim import NAdam, Optimizer
from simnet.pipeline.method import PipelineMethod
from simnet.pipeline.schedules import Update, continuous
from simnet.pipeline.stage import Stage
from simnet.pipeline.weights import Latest, Stashed
from simnet.runtime.stage_node import StageNode

Decay = Annotated[float, Field(ge=0, lt=1)]


class NesterovAsync(PipelineMethod):
    """Asynchronous pipeline whose momentum looks ahead over the staleness: NAdam with beta1 = 0.99.

    Ajanthan et al., 2025 ("Nesterov method for asynchronous pipeline parallel optimization"): PipeDream's
    execution, with `d_t = gamma (w_t - w_{t-1})` and
    `w_{t+1} = w_t + d_t - lr (1 - gamma) g(w_{t-tau} + d_{t-tau})`, for which NAdam with decoupled weight
    decay stands. It takes learning rate, weight decay, clipping (per
    stage) and schedule from the task's optimizer. Without `stash` no weights are kept: the backward pass sees
    the latest ones, beta1 rises from `last_beta1` at the last stage to `beta1` towards the first, and the
    learning rate is `lr / tau^(p (1 - min(t / T, 1)))`, tau being the measured age of the stage's gradients.
    """

    stash: bool = Field(True, description="Whether the backward pass sees the forward pass's weights.")
    update_every: PositiveInt = Field(1, description="Microbatches per update.")
    beta1: Decay = Field(0.99, description="Momentum; without stash, that of the first stages.")
    last_beta1: Decay = Field(0.9, description="Without stash: momentum of the last stage.")
    beta2: Decay = Field(0.999, description="Decay of the second moment.")
    discount: Annotated[float, Field(ge=0)] = Field(
        1.0, description="Without stash: p, the power of the age that the learning rate is divided by."
    )
    anneal_updates: PositiveInt | None = Field(
        None, description="Without stash: updates until there is no discount any more (T); never by default."
    )

    @property
    def recomputes(self) -> bool:
        return self.recompute or not self.stash

    async def stage(self, node: StageNode) -> None:
        stage = Stage(node, Stashed() if self.stash else Latest())
        together = self.together(node)
        optimizer = self.nadam(node)
        every = self.update_every
        microbatches = None if node.budget is None else node.budget * every
        for action in continuous(node.stages, node.stage, microbatches, every):
            if isinstance(action, Update):
                discounted = self.discounted(optimizer, stage.delay, stage.weights.version)
                await stage.update(await together.gradient(stage.take_gradient()), discounted)
                await together.after_update(stage)
            else:
                await stage.perform(action)

    def nadam(self, node: StageNode) -> NAdam:
        """The optimizer of a stage."""
        beta1 = self.beta1
        if not self.stash:  # versions - 1 of P: linear in the stages behind this one
            behind = node.stages - 1 - node.stage
            beta1 = self.last_beta1 + (self.beta1 - self.last_beta1) * behind / node.stages
        task = node.optimizer
        return NAdam(
            lr=task.lr,
            betas=(beta1, self.beta2),
            weight_decay=task.weight_decay,
            decoupled_weight_decay=True,
            clip_norm=task.clip_norm,
            clip_value=task.clip_value,
            schedule=task.schedule,
        )

    def discounted(self, optimizer: Optimizer, delay: float, update: int) -> Optimizer:
        """`optimizer` for update number `update` (from 0) along gradients that are `delay` updates old."""
        if self.stash or delay <= 1:
            return optimizer
        power = self.discount
        if self.anneal_updates is not None:
            power *= 1 - min(update / self.anneal_updates, 1.0)
        return optimizer.model_copy(update={"lr": optimizer.lr / delay**power})
