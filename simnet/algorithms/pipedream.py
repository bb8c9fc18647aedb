"""PipeDream."""

from pydantic import Field, PositiveInt

from simnet.pipeline.method import PipelineMethod
from simnet.pipeline.schedules import Update, continuous
from simnet.pipeline.stage import Stage
from simnet.pipeline.weights import Stashed
from simnet.runtime.stage_node import StageNode


class PipeDream(PipelineMethod):
    """Asynchronous pipeline that never drains; stages keep the weights of microbatches under way.

    Narayanan et al., 2019 ("PipeDream"): 1F1B without a flush, an update after every microbatch. The backward
    pass sees the weights that the forward pass saw (weight stashing), and the gradient is applied to the
    latest: `w_i <- w_i - opt(g(w_1^{t-P+1}, ..., w_P^t))`. At stage i (from 1) gradients are P - i updates
    old, and P - i + 1 versions are kept.
    """

    update_every: PositiveInt = Field(1, description="Microbatches per update.")

    async def stage(self, node: StageNode) -> None:
        stage, together = Stage(node, Stashed()), self.together(node)
        every = self.update_every
        microbatches = None if node.budget is None else node.budget * every
        for action in continuous(node.stages, node.stage, microbatches, every):
            if isinstance(action, Update):
                await stage.update(await together.gradient(stage.take_gradient()))
                await together.after_update(stage)
            else:
                await stage.perform(action)
