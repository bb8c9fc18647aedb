"""The results of computations: all work of an instant in one flush of the engine."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import simpy
from simpy.events import EventPriority

from simnet.compute import Engine, Job, TimingEngine, TrainJob
from simnet.network import InvariantError
from simnet.runtime.node import Cancelled
from simnet.runtime.shared_steps import SharedSteps

if TYPE_CHECKING:
    from simnet.runtime.simulated_node import SimulatedNode

FLUSH_PRIORITY = EventPriority(2)
"""SimPy priority of the engine's flush: after an instant's normal events, before the network's solve."""


@dataclass(slots=True, eq=False)
class _Finishing:
    job: Job[Any]
    node: "SimulatedNode"
    gradients: int
    steps: int
    event: simpy.Event


class Flushes:
    """Who waits for the result of a job whose time has passed.

    Args:
        env: The simulation.
        engine: Does the work.
        shared_steps: Forgotten with each instant.
        counts: Of the run: what was charged, and what was really done.
        stepped: Called with each node whose work is done and the optimizer steps that it took in it.
        flushed: Called when all work of an instant is done, before anybody has the results.
    """

    def __init__(
        self,
        env: simpy.Environment,
        engine: Engine | TimingEngine,
        shared_steps: SharedSteps,
        counts: Counter[str],
        stepped: "Callable[[SimulatedNode, int], None]",
        flushed: Callable[[], None],
    ) -> None:
        self._env = env
        self._engine = engine
        self._shared_steps = shared_steps
        self._counts = counts
        self._stepped = stepped
        self._flushed = flushed
        self._finishing: list[_Finishing] = []
        self.done = "computed" if engine.has_values else "counted"
        """What becomes of work: a timing-only run computes nothing."""

    async def finish(self, job: Job[Any], node: "SimulatedNode", gradients: int, steps: int) -> Any:
        """Await the result of a job whose time has passed: all of an instant are computed in one flush."""
        entry = _Finishing(job, node, gradients, steps, self._env.event())
        if not self._finishing:
            flush = simpy.Event(self._env)
            flush._ok, flush._value = True, None
            flush.callbacks.append(self._flush)
            self._env.schedule(flush, priority=FLUSH_PRIORITY)
        self._finishing.append(entry)
        try:
            return await node.wait(entry.event, "its result")
        except Cancelled:
            if entry in self._finishing:
                self._finishing.remove(entry)
                node.computing.waste_result()
            raise

    def _flush(self, _: simpy.Event) -> None:
        finishing, self._finishing = self._finishing, []
        self._shared_steps.forget()
        training = [entry for entry in finishing if isinstance(entry.job, TrainJob)]
        if any(entry.job.result is None for entry in finishing):
            for entry in training:  # their time has passed: nothing can take them back to the old state
                entry.node.exchange_state({})
            self._engine.flush()
        for entry in training:
            if entry.job.result is not None:
                entry.node.exchange_state(entry.job.result.state)
        for entry in finishing:
            if entry.job.result is None:
                raise InvariantError(f"a job of {entry.node.id} was charged but not computed")
            self._counts["gradients_charged"] += entry.gradients
            self._counts["steps_charged"] += entry.steps
            gradients, steps = entry.job.computed()
            self._counts[f"gradients_{self.done}"] += gradients
            self._counts[f"steps_{self.done}"] += steps
            self._stepped(entry.node, entry.steps)
        self._flushed()
        for entry in finishing:
            entry.event.succeed(entry.job.result)
