"""What a run stands on, what it runs, where it stands meanwhile, and what it came to."""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

from simnet.compute import CostModel
from simnet.faults import NO_FAULTS, Faults
from simnet.network import Topology
from simnet.runtime.node import Node
from simnet.runtime.pipeline_world import PipelineWorld
from simnet.scenario import Scenario
from simnet.tasks import Task


class Method(Protocol):
    """What the runtime needs to know of an algorithm (see `runtime.node.Algorithm`)."""

    evaluated_role: ClassVar[str]
    step_budget: ClassVar[Literal["each", "mean"]]

    def roles(self) -> Mapping[str, Callable[[Node], Coroutine[Any, Any, None]]]:
        """The coroutine of each role."""


@dataclass(frozen=True, slots=True)
class World:
    """What a run stands on: pure functions of scenario and seed."""

    scenario: Scenario
    topology: Topology
    task: Task
    cost: CostModel
    pipeline: PipelineWorld | None = None
    """For methods with the role `stage`."""
    faults: Faults = NO_FAULTS


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to. Bytes are charged ones; `steps` is the mean over the workers."""

    virtual_seconds: float
    steps: float
    worker_steps: int
    bytes_sent: float
    raw_bytes_sent: float
    utilization: float
    final: dict[str, float]
    invariants: dict[str, float]
    aborted: str = ""
    """Who gave up, when and why, if the method ended the run itself."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands, for whoever watches."""

    virtual_seconds: float
    steps: float
    worker_steps: int
    bytes_sent: float
    loss: float
