"""Synchronous pipeline parallelism."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, PositiveInt

from simnet.pipeline.method import PipelineMethod
from simnet.pipeline.schedules import SCHEDULES
from simnet.pipeline.stage import Stage, global_scale
from simnet.pipeline.weights import Latest
from simnet.runtime.stage_node import StageNode


class Pipeline(PipelineMethod):
    """Synchronous pipeline: K microbatches through all stages, then one update (GPipe, 1F1B, interleaved).

    `w <- w - opt(1/K sum_m g_m)`, with weights that do not change within a step: the same as one machine
    with a batch K times as large, whatever the schedule (Huang et al., 2019; Narayanan et al., 2021). Sends
    `2 K` messages per cut and step. Where the optimizer clips, stages exchange their gradients' norms, 8
    bytes each.
    """

    safe_points: ClassVar[Literal["common", "own", "none"]] = "common"

    schedule: Annotated[Literal["gpipe", "1f1b", "interleaved"], Field(description="Who does what when.")] = (
        "1f1b"
    )
    microbatches: PositiveInt = Field(8, description="Microbatches per step and replica (K).")
    virtual_stages: PositiveInt = Field(
        2, description="interleaved: pieces of the model that each stage holds (v)."
    )

    @property
    def chunks(self) -> int:
        return self.virtual_stages if self.schedule == "interleaved" else 1

    def check(self, stages: int) -> None:
        SCHEDULES[self.schedule](stages, 0, self.microbatches, self.chunks)

    async def stage(self, node: StageNode) -> None:
        stage, together = Stage(node, Latest()), self.together(node)
        actions = SCHEDULES[self.schedule](node.stages, node.stage, self.microbatches, node.chunks)
        step = stage.weights.version
        while node.running:
            await stage.run(actions, first=step * self.microbatches)
            gradient = await together.gradient(stage.take_gradient())
            if node.optimizer.clip_value is not None:
                gradient = gradient.clamp(-node.optimizer.clip_value, node.optimizer.clip_value)
            if node.optimizer.clip_norm is not None:
                squares = await node.all_gather(float(gradient.square().sum()), group=node.chain)
                gradient = gradient * global_scale(squares, node.optimizer.clip_norm)
            await stage.update(gradient)
            await together.after_update(stage)
            step += 1
