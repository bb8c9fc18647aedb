"""Runs pipelines on small scenarios."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from pipeline_runs import GPT, Run

from simnet.compute import Engine
from simnet.plan import plans
from simnet.results import Recorder
from simnet.runtime.simulated import SimulatedRun
from simnet.scenario import Scenario


@pytest.fixture
def pipe(small: Callable[..., dict[str, Any]]) -> Callable[..., Run]:
    """`pipe("pipedream", options, changes)` runs a method on a tiny GPT, one stage per node of a star."""

    def run(name: str, options: dict[str, Any] | None = None, changes: dict[str, Any] | None = None) -> Run:
        wanted = {"task": GPT, "pipeline.stages": 4, "stop.steps": 3, **(changes or {})}
        mapping = small(copy.deepcopy(wanted))
        mapping["algorithms"] = [{"name": name, **(options or {})}]
        (plan,) = plans(Scenario.model_validate(mapping))
        recorder = Recorder()
        simulated = SimulatedRun(plan.world, plan.method, Engine(plan.world.task, plan.optimizer), recorder)
        return Run(plan, simulated, simulated.run(), recorder)

    return run
