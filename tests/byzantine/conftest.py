"""Runs of methods among Byzantine nodes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from torch import Tensor

from simnet.plan import make_engine, plans
from simnet.results import Recorder
from simnet.runtime.node import Algorithm
from simnet.runtime.simulated import Outcome, SimulatedRun
from simnet.scenario import Scenario, validated

Attacked = Callable[..., "Finished"]


@dataclass
class Finished:
    """A finished run and what it left."""

    run: SimulatedRun
    outcome: Outcome
    recorder: Recorder

    @property
    def models(self) -> dict[str, Tensor]:
        """Flat parameters of each node."""
        return {name: node.params for name, node in self.run.nodes.items()}

    @property
    def byzantine(self) -> set[str]:
        """Who attacks."""
        return set(self.run.adversary.nodes) if self.run.adversary else set()

    def column(self, name: str, node: str | None = None) -> list[float]:
        """The values of one metric, in order."""
        table = self.recorder.tables()["metrics"].to_pandas()
        chosen = table[(table.name == name) & ((node is None) | (table.node == node))]
        return chosen.value.tolist()

    def tables(self) -> dict[str, bytes]:
        """Every table as bytes, but for the spans of attacks."""
        from simnet.results.parquet import encode

        return {name: encode(table) for name, table in self.recorder.tables().items() if name != "spans"}


@pytest.fixture
def attacked(small: Callable[..., dict[str, Any]]) -> Attacked:
    """`attacked(method, byzantine, changes)` runs a method (a name with options, or an instance)."""

    def run(
        method: str | dict[str, Any] | Algorithm,
        byzantine: Any = None,
        changes: dict[str, Any] | None = None,
    ) -> Finished:
        mapping = small(changes)
        if not isinstance(method, Algorithm):
            mapping["algorithms"] = [method]
        if byzantine is not None:
            mapping["faults"] = {"byzantine": byzantine}
        (plan,) = plans(validated(Scenario, mapping, ()))
        chosen = method if isinstance(method, Algorithm) else plan.method
        recorder = Recorder()
        simulated = SimulatedRun(plan.world, chosen, make_engine(plan), recorder)
        return Finished(simulated, simulated.run(), recorder)

    return run
