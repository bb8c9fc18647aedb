"""`Node` on a real machine: time passes by itself, messages are frames on TCP, torch computes in a thread.

What a node is in a simulation it is here too: coroutines on SimPy's clock, a mailbox, a device that does one
computation at a time, collectives over `send` and `recv`. Only that clock follows real time
(:class:`~simnet.emulation.clock.RealTimeClock`), and what takes time is really done.
"""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from simnet.runtime.collectives import pass_on
from simnet.runtime.computations import Computations
from simnet.runtime.node import OnLayer, PeerLost, Task
from simnet.runtime.placement import Placed
from simnet.runtime.simulated_node import SimulatedNode
from simnet.runtime.simulated_stage import SimulatedStage

if TYPE_CHECKING:
    from simnet.emulation.host_run import HostRun, Past

Pace = Literal["real", "paced"]
"""real: a computation takes what it takes; paced: at least what the scenario's device profile says."""


class EmulatedComputations(Computations):
    """The computations of a node on a real machine: they take what they take, or longer if paced."""

    _node: "EmulatedNode"
    _run: "HostRun"  # type: ignore[assignment]

    async def finish(
        self, name: str, job: Any, seconds: float | None, *, gradients: int = 0, steps: int = 0
    ) -> Any:
        """Compute in the thread for computations, for as long as it takes, and no shorter if paced."""
        self._run.begin(job)
        try:
            self._computing = (name, self._node.now)
            self._run.work_begins()
            if seconds is not None and self._run.pace == "paced":
                await self._node.wait(self._env.timeout(seconds), name)
            return await self._run.finish(job, self._node, gradients=gradients, steps=steps)
        finally:
            self.stop()

    async def layer_by_layer(self, name: str, job: Any, on_layer: OnLayer, first: int, steps: int = 0) -> Any:
        if self._run.pace == "paced":
            self._run.begin(job)
            return await super().layer_by_layer(name, job, on_layer, first, steps)
        # Real layers leave a real backward pass too close together to tell them apart: all at its end.
        result = await self.finish(name, job, None, gradients=steps or 1, steps=steps)
        vector = result.params if steps else result.vector
        for layer in reversed(self._node.layers):
            on_layer(layer, vector[layer])
        return result

    async def work(self, name: str, seconds: float) -> None:
        """What is charged beside jobs of the engine: done at the end of the time that it is paced to."""
        if self._run.pace == "paced":
            await super().work(name, seconds)


class EmulatedNode(SimulatedNode):
    """One role on one host of an emulation."""

    _run: "HostRun"  # type: ignore[assignment]

    def _computations(self, placed: Placed) -> EmulatedComputations:
        return EmulatedComputations(self, self._run, placed)  # type: ignore[arg-type]

    @property
    def neighbors(self) -> tuple[str, ...]:
        near = set(self._run.topology.neighbors(self.host))
        return tuple(peer for peer in self.peers if self._run.hosts[peer] in near)

    @property
    def standing(self) -> list[int]:
        """Where it is, for the driver: the epoch of its view, its version, whether it is in that view, its
        steps, and the batches that it has drawn."""
        return [self.view.epoch, self.version, int(self.in_view), self.steps, self.batches_drawn]

    def resumes(self, past: "Past") -> None:
        """It begins anew after its process was killed: with the model of the run's start."""
        self.incarnation, self.steps, self.batches_drawn = past.incarnation, past.steps, past.batches_drawn

    # -- computation ----------------------------------------------------------------------------------

    async def train(
        self,
        steps: int | None = None,
        *,
        until: Task[Any] | None = None,
        on_layer: OnLayer | None = None,
        lr_scale: float = 1.0,
        only: slice | Tensor | None = None,
    ) -> int:
        if until is None:
            return await super().train(steps, on_layer=on_layer, lr_scale=lr_scale, only=only)
        if steps is not None or on_layer is not None:
            raise ValueError("train(until=...) takes neither steps nor on_layer")
        taken = 0  # nobody knows beforehand how many fit: the step under way when the task ends is the last
        while not until.done:
            done = await super().train(1, lr_scale=lr_scale, only=only)
            if done == 0:
                await until
            taken += done
        return taken

    # -- messages -------------------------------------------------------------------------------------

    async def send(self, to: str, payload: Any, tag: Hashable = "") -> None:
        failures = self._run.failures
        if failures.is_lost(self.id, to):
            raise PeerLost(to)
        if failures.is_down(to):
            await self.wait(self._env.event(), f"{to} to be noticed as lost", to)
        left = self._run.post_frame(self, to, payload, tag)
        await self.wait(left, f"its message to {to} to leave", to)  # given up, it is sent all the same

    async def exchange(self, peer: str, payload: Any, tag: Hashable = "") -> Any:
        return await pass_on(self, peer, peer, payload, tag)


class EmulatedStage(EmulatedNode, SimulatedStage):
    """One stage of one replica of a pipeline, on one host of an emulation."""
