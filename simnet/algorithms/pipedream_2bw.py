"""PipeDream-2BW."""

from pydantic import Field, PositiveInt
from torch import Tensor

from simnet.pipeline.method import PipelineMethod
from simnet.pipeline.schedules import Update, continuous
from simnet.pipeline.stage import Stage
from simnet.pipeline.weights import WeightStore
from simnet.runtime.stage_node import StageNode


class PipeDream2BW(PipelineMethod):
    """Asynchronous pipeline with two weight versions: gradients of K microbatches, all one update old.

    Narayanan et al., 2021 ("Memory-efficient pipeline-parallel DNN training"), PipeDream-2BW: at every stage
    `w^{t+1} = w^t - opt(g(w^{t-1}))`. The K microbatches of an update see one version in both passes. K is at
    least the number of stages, so two versions are enough.
    """

    microbatches: PositiveInt = Field(8, description="Microbatches per update (K), at least the stages.")

    def check(self, stages: int) -> None:
        if self.microbatches < stages:
            raise ValueError(f"two versions need at least {stages} microbatches, one per stage")

    async def stage(self, node: StageNode) -> None:
        every = self.microbatches
        stage, together = Stage(node, Generation(every), recent=2), self.together(node)
        microbatches = None if node.budget is None else node.budget * every
        for action in continuous(node.stages, node.stage, microbatches, every):
            if isinstance(action, Update):
                await stage.update(await together.gradient(stage.take_gradient()))
                await together.after_update(stage)
            else:
                await stage.perform(action)


class Generation:
    """Microbatches of one update see one version: the one before the update before theirs."""

    def __init__(self, every: int) -> None:
        self._every = every

    def forward(self, weights: WeightStore, microbatch: int) -> tuple[int, Tensor]:
        """Version `microbatch // every - 1`, at first 0, which is kept."""
        version = weights.stash(max(0, microbatch // self._every - 1))
        return version, weights.read(version)

    def backward(self, weights: WeightStore, version: int) -> Tensor:
        """The same again, which is given up."""
        params = weights.read(version)
        weights.release(version)
        return params
