"""Runs methods written in a test under the simulated clock."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from simnet.plan import make_engine, plans
from simnet.results import Recorder
from simnet.runtime.node import Algorithm, Node
from simnet.runtime.simulated import Outcome, SimulatedRun
from simnet.scenario import Scenario


@dataclass
class Simulated:
    """A finished run and what it left."""

    run: SimulatedRun
    outcome: Outcome
    recorder: Recorder


Simulate = Callable[..., Simulated]


class Scripted(Algorithm):
    """A method whose worker (and server) are functions of the test."""

    does: Callable[[Node], Awaitable[None]]
    serves: Callable[[Node], Awaitable[None]] | None = None

    def roles(self) -> Any:
        roles = {"worker": self.does}
        return roles if self.serves is None else {"server": self.serves, **roles}


@pytest.fixture
def simulate(small: Callable[..., dict[str, Any]]) -> Simulate:
    """`simulate(worker, changes, server=None)` runs the coroutine on every worker."""

    def run(
        worker: Callable[[Node], Awaitable[None]] | Algorithm,
        changes: dict[str, Any] | None = None,
        server: Callable[[Node], Awaitable[None]] | None = None,
    ) -> Simulated:
        method = worker if isinstance(worker, Algorithm) else Scripted(does=worker, serves=server)
        mapping = small(changes)
        if "server" in method.roles():
            mapping["algorithms"] = [{"name": "fedavg"}]
        (plan,) = plans(Scenario.model_validate(mapping))
        recorder = Recorder()
        simulated = SimulatedRun(plan.world, method, make_engine(plan), recorder)
        return Simulated(simulated, simulated.run(), recorder)

    return run


@pytest.fixture
def alike(small: Callable[..., dict[str, Any]]) -> Callable[[int], dict[str, Any]]:
    """Changes for a star of n alike workers, with so many charged bytes that transfers take seconds."""

    def changes(n: int) -> dict[str, Any]:
        return {"network.topology": {"kind": "star", "nodes": n}, "task.charge_as": {"parameters": "1M"}}

    return changes
