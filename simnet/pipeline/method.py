"""What all pipeline methods share: their options, and what becomes of gradients across replicas."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, PositiveInt
from torch import Tensor

from simnet.optim import Nesterov, OptimizerConfig
from simnet.pipeline.boundaries import BoundaryConfig
from simnet.pipeline.boundary import Identity
from simnet.pipeline.stage import Stage
from simnet.runtime.node import Aborted, Algorithm, Node, PeerLost
from simnet.runtime.stage_node import STAGE, StageNode

Replicas = Annotated[
    Literal["all-reduce", "diloco"],
    Field(
        description="How the replicas of a stage agree: `all-reduce` of every gradient, or `diloco`: local "
        "updates, then an outer step on the averaged drift."
    ),
]


class PipelineMethod(Algorithm):
    """A method whose nodes are the stages of pipelines.

    A stage that is lost takes the state of its whole pipeline with it: microbatches under way, and versions
    that no other stage has. So its loss ends the run (`Aborted`), which is the only policy.
    """

    evaluated_role: ClassVar[str] = STAGE
    safe_points: ClassVar[Literal["common", "own", "none"]] = "none"

    boundary: BoundaryConfig = Field(
        Identity(), description="The codec of what crosses from one stage to the next, and back."
    )
    optimizer: OptimizerConfig | None = Field(
        None, description="The stages' optimizer; the task's if not given."
    )
    recompute: bool = Field(
        False,
        description="Keep only what enters a stage, and compute its forward pass again before its backward "
        "pass: less memory, more time.",
    )
    on_failure: Annotated[
        Literal["abort"], Field(description="When a stage is lost the run ends: there is no other policy.")
    ] = "abort"
    replicas: Replicas = "all-reduce"
    local_updates: PositiveInt = Field(50, description="diloco: updates between two outer steps (H).")
    outer: OptimizerConfig = Field(
        Nesterov(lr=0.7, momentum=0.9), description="diloco: the outer optimizer, one per stage."
    )

    @property
    def chunks(self) -> int:
        """Pieces of the model that each stage holds."""
        return 1

    @property
    def recomputes(self) -> bool:
        """Whether stages compute forward passes again before backward passes."""
        return self.recompute

    def check(self, stages: int) -> None:
        """Raise `ValueError` where the method cannot work with so many stages."""

    def roles(self) -> Mapping[str, Callable[[Node], Coroutine[Any, Any, None]]]:
        """Stages alone."""
        return {STAGE: self._stage}

    async def _stage(self, node: Node) -> None:
        assert isinstance(node, StageNode), "the role `stage` is played by stage nodes"
        if node.incarnation > 0:
            raise Aborted(f"{node.id} was down until {node.now:.6g} s: what its pipeline was doing is lost")
        try:
            await self.stage(node)
        except PeerLost as lost:
            raise Aborted(
                f"{lost.peer} went down, {node.id} noticed at {node.now:.6g} s: its pipeline cannot go on"
            ) from None

    async def stage(self, node: StageNode) -> None:
        """What each stage does, from the start of the run to its end."""
        raise TypeError(f"{type(self).__name__} defines no stage()")

    def together(self, node: StageNode) -> "Together":
        """What this stage does with its replicas."""
        if self.replicas == "diloco":
            return OuterSteps(node, self.local_updates, self.outer)
        return Together(node)


class Together:
    """Replicas that average every gradient (synchronous data parallelism)."""

    def __init__(self, node: StageNode) -> None:
        self.node = node

    async def gradient(self, gradient: Tensor) -> Tensor:
        """The mean over the replicas of this stage."""
        return await self.node.all_reduce(gradient, op="mean", group=self.node.group)

    async def after_update(self, stage: Stage) -> None:
        """Nothing is left to agree on."""


class OuterSteps(Together):
    """Replicas that go their own way, and take an outer step on their averaged drift now and then.

    Per stage what DiLoCo (Douillard et al., 2023) does per model: `Delta = mean_j (phi - theta_j)`, and a
    step of the outer optimizer from `phi` along `Delta` every `every` updates.
    """

    def __init__(self, node: StageNode, every: int, outer: OptimizerConfig) -> None:
        super().__init__(node)
        self._every = every
        self._outer = node.bound(outer)
        self._anchor: Tensor = node.params
        self._state = self._outer.init(node.params)
        if "outer" in node.kept:
            self._anchor, self._state = node.kept["outer"]
        node.kept["outer"] = self._anchor, self._state
        self._flops = self._outer.step_flops(node.parameters)

    async def gradient(self, gradient: Tensor) -> Tensor:
        """The replica's own."""
        return gradient

    async def after_update(self, stage: Stage) -> None:
        """The outer step, if it is time for one; the stage's latest weights are then the replicas' common
        ones."""
        if stage.weights.version % self._every:
            return
        drift = await self.node.all_reduce(self._anchor - self.node.params, "mean", self.node.group)
        self._anchor, self._state = await self.node.compute(
            self._outer.step, self._anchor, drift, self._state, flops=self._flops
        )
        stage.replace_params(self._anchor)
        self.node.kept["outer"] = self._anchor, self._state
