"""Runs shipped methods and gives back what their models became."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from torch import Tensor

from simnet.compute import Engine
from simnet.plan import plans
from simnet.results import Recorder
from simnet.runtime.simulated import Outcome, SimulatedRun
from simnet.scenario import Scenario

Train = Callable[..., "Trained"]


@dataclass
class Trained:
    """A finished run of one method."""

    run: SimulatedRun
    outcome: Outcome
    recorder: Recorder

    @property
    def models(self) -> dict[str, Tensor]:
        """Flat parameters of each node."""
        return {name: node.params for name, node in self.run.nodes.items()}

    def mean_model(self) -> Tensor:
        """The mean of the workers' models."""
        workers = [self.run.nodes[name].params for name in self.run.members["worker"]]
        return sum(workers[1:], workers[0]) / len(workers)


@pytest.fixture
def train(small: Callable[..., dict[str, Any]]) -> Train:
    """`train("diloco", {"local_steps": 1}, changes)` runs the method on the small scenario."""

    def run(
        name: str, options: dict[str, Any] | None = None, changes: dict[str, Any] | None = None
    ) -> Trained:
        mapping = small(changes)
        mapping["algorithms"] = [{"name": name, **(options or {})}]
        (plan,) = plans(Scenario.model_validate(mapping))
        recorder = Recorder()
        simulated = SimulatedRun(plan.world, plan.method, Engine(plan.world.task, plan.optimizer), recorder)
        return Trained(simulated, simulated.run(), recorder)

    return run
