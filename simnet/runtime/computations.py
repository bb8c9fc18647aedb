"""What a simulated node computes: when and for how long by its cost model, and what became of it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

import simpy
import torch
from torch import Tensor

from simnet.faults.slowdown import NO_SLOWDOWN
from simnet.runtime.clocked_work import ClockedWork
from simnet.runtime.node import Cancelled, Gradient, NoValuesError, OnLayer, Task
from simnet.runtime.placement import Placed
from simnet.runtime.waiting import SimulatedTask, Turn, Turns

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun
    from simnet.runtime.simulated_node import SimulatedNode

T = TypeVar("T")


class TimedGradient(NamedTuple):
    """The gradient of a timing-only run: a shape, and no loss."""

    vector: Tensor

    @property
    def loss(self) -> float:
        """Raises :class:`NoValuesError`: nothing was computed."""
        raise NoValuesError("the loss of a gradient was asked for in a timing-only run, which has no values")


class Computations:
    """The computations of one node, one at a time on its device; :class:`Node` says what each is.

    Args:
        node: Whose they are.
        run: The run that it is in.
        placed: Where the node is.
    """

    def __init__(self, node: "SimulatedNode", run: "SimulatedRun", placed: Placed) -> None:
        self._node = node
        self._run = run
        self._env = run.env
        self.machine = run.cost.machines[placed.machine]
        self.clocked = ClockedWork(self.machine, run.faults.slowdowns.get(placed.host, NO_SLOWDOWN))
        self._turns = Turns(run.env)
        self.busy_seconds = 0.0
        self.used_seconds = 0.0
        """Of these, seconds of computations whose result somebody had, or may have yet."""
        self.wasted_seconds = 0.0
        """Of these, seconds of computations that were cut off, or whose result nobody had."""
        self.undone_seconds = 0.0
        """And of computations that all went back behind."""
        self.stalled_seconds = 0.0
        """Seconds in which checkpoints had the device."""
        self._last_seconds = 0.0
        self._computing: tuple[str, float] | None = None

    def turn(self) -> Turn:
        """A turn at the device: what is asked for later comes later."""
        return self._turns.request()

    async def train(
        self,
        steps: int | None = None,
        *,
        until: Task[Any] | None = None,
        on_layer: OnLayer | None = None,
        lr_scale: float = 1.0,
        only: slice | Tensor | None = None,
    ) -> int:
        """As :meth:`Node.train`."""
        node = self._node
        if (steps is None) == (until is None):
            raise ValueError("train() takes either steps or until")
        if on_layer is not None and (until is not None or not self._run.engine.layerwise_steps):
            reason = (
                "until" if until is not None else "an optimizer that needs all gradients (clip_norm, muon)"
            )
            raise ValueError(f"train() cannot step layer by layer (on_layer) with {reason}")
        if steps is not None and steps < 1:
            raise ValueError(f"train() takes at least one step, not {steps}")
        with self.turn() as turn:
            await node.wait(turn, "its device")
            before, started, first = node.params, node.now, node.batches_drawn
            if until is not None:
                await node.wait(_ended(self._env, until), "the task it trains beside")
                steps = self.clocked.steps_until(started, node.now, first, self._run.steps_left(node))
                if steps > 0:
                    self._computed("train", started, self.clocked.train(started, first, steps))
            else:
                steps = min(steps or 0, self._run.steps_left(node))
            if steps < 1:
                return 0
            partial: dict[str, Any] = {}
            if lr_scale != 1 or only is not None:
                partial = {"lr_scale": lr_scale, "only": only}
            job = self._run.engine.submit_train(
                node.rank, before, node.optimizer_state, steps, first, **partial
            )
            node.batches_drawn += steps
            if on_layer is not None:
                result = await self.layer_by_layer("train", job, on_layer, first, steps)
            else:
                seconds = self.clocked.train(started, first, steps) if until is None else None
                result = await self.finish("train", job, seconds, gradients=steps, steps=steps)
            if node.params is not before:
                raise RuntimeError(
                    f"params of {node.id} were assigned while it was training: that work would be lost; "
                    "use gradient() and step() to overlap"
                )
            node.params, node.optimizer_state = result.params, result.state
        if self._run.engine.has_values:
            loss = float(result.losses.mean())
            self._run.recorder.metric(node.now, node.id, node.steps, "train_loss", loss)
        return steps

    async def gradient(self, params: Tensor | None = None, *, on_layer: OnLayer | None = None) -> Gradient:
        """As :meth:`Node.gradient`."""
        node = self._node
        with self.turn() as turn:
            await node.wait(turn, "its device")
            at = node.params if params is None else params
            drawn = node.batches_drawn
            job = self._run.engine.submit_gradient(node.rank, at, drawn)
            node.batches_drawn += 1
            if on_layer is not None:
                result = await self.layer_by_layer("gradient", job, on_layer, drawn)
            else:
                seconds = self.clocked.gradient(node.now, drawn)
                result = await self.finish("gradient", job, seconds, gradients=1)
        if not self._run.engine.has_values:
            return cast(Gradient, TimedGradient(result.vector))
        loss = float(result.loss)
        self._run.recorder.metric(node.now, node.id, node.steps, "train_loss", loss)
        return Gradient(loss, result.vector)

    async def loss(self, params: Tensor | None = None) -> float:
        """As :meth:`Node.loss`."""
        node = self._node
        with self.turn() as turn:
            await node.wait(turn, "its device")
            at = node.params if params is None else params
            job = self._run.engine.submit_loss(node.rank, at, node.batches_drawn)
            seconds = self.clocked.loss(node.now, node.batches_drawn)
            return float(await self.finish("loss", job, seconds))

    async def predictions(self, models: Sequence[Tensor], batches: int = 1) -> tuple[Tensor, Tensor]:
        """As :meth:`Node.predictions`."""
        node = self._node
        with self.turn() as turn:
            await node.wait(turn, "its device")
            stacked = torch.stack(list(models))
            job = self._run.engine.submit_predictions(node.rank, stacked, node.batches_drawn, batches)
            passes = len(models) * batches
            seconds = self.clocked.loss(node.now, node.batches_drawn, passes)
            return cast(tuple[Tensor, Tensor], await self.finish("predict", job, seconds))

    async def step(self, gradient: Tensor) -> None:
        """As :meth:`Node.step`."""
        node = self._node
        with self.turn() as turn:
            await node.wait(turn, "its device")
            await self.work("step", self.clocked.optimizer(node.now, node.batches_drawn - 1))
            job = self._run.engine.submit_step(node.params, gradient, node.optimizer_state)
            result = await self._run.finish(job, node, steps=1)
            node.params, node.optimizer_state = result.params, result.state

    async def compute(
        self,
        function: Callable[..., T],
        *arguments: Any,
        flops: float | None = None,
        seconds: float | None = None,
    ) -> T:
        """As :meth:`Node.compute`."""
        node = self._node
        if (flops is None) == (seconds is None):
            raise ValueError("compute() takes either flops or seconds: there is no work without a cost")
        cost = seconds if flops is None else flops
        if cost is None or not cost > 0:
            raise ValueError(f"compute() needs a positive cost, not flops={flops}, seconds={seconds}")
        duration = cost if flops is None else self.machine.seconds(flops)
        with self.turn() as turn:
            await node.wait(turn, "its device")
            await self.work("compute", self.clocked.other(node.now, duration))
            self._run.counts["computations"] += 1
            return cast(T, self._run.shared_steps.call(node.now, function, arguments))

    async def finish(
        self, name: str, job: Any, seconds: float | None, *, gradients: int = 0, steps: int = 0
    ) -> Any:
        """Let the job's time pass (it has passed already if `seconds` is None), then have its result."""
        try:
            if seconds is not None:
                if not self._run.ends_in_time(seconds):
                    self._run.engine.withdraw(job)
                await self.work(name, seconds)
            return await self._run.finish(job, self._node, gradients=gradients, steps=steps)
        except Cancelled:
            self._run.engine.withdraw(job)
            raise

    async def layer_by_layer(self, name: str, job: Any, on_layer: OnLayer, first: int, steps: int = 0) -> Any:
        """Let the job's time pass, and hand over each layer when its last step's backward pass leaves it.

        Values are computed, and steps are counted, when the first of them is handed over.
        """
        node = self._node
        started, layers = node.now, list(reversed(node.layers))
        moments = self.clocked.layers(started, first, steps, [layer.stop - layer.start for layer in layers])
        self._computing = (name, started)
        self._run.work_begins()
        result = None
        try:
            for layer, moment in zip(layers, moments, strict=True):
                if result is None and not self._run.ends_in_time(moment - started):
                    self._run.engine.withdraw(job)
                await node.wait(self._env.timeout(max(0.0, moment - node.now)), name)
                if result is None:
                    result = await self._run.finish(job, node, gradients=steps or 1, steps=steps)
                vector = result.params if steps else result.vector
                on_layer(layer, vector[layer])
        except Cancelled:
            self._run.engine.withdraw(job)
            self.cut()
            raise
        self.stop()
        return result

    async def work(self, name: str, seconds: float) -> None:
        """Hold the device for `seconds`; the caller has it already."""
        self._computing = (name, self._node.now)
        self._run.work_begins()
        try:
            await self._node.wait(self._env.timeout(seconds), name)
        except Cancelled:
            self.cut()
            raise
        self.stop()

    @property
    def under_way(self) -> bool:
        """Whether the node computes just now."""
        return self._computing is not None

    def stop(self) -> float:
        """Account for the computation under way, as far as it has come: for so many seconds."""
        if self._computing is None:
            return 0.0
        name, started = self._computing
        self._computing = None
        return self._computed(name, started, self._node.now - started)

    def _computed(self, name: str, started: float, seconds: float) -> float:
        self.busy_seconds += seconds
        self.used_seconds += seconds
        self._last_seconds = seconds
        self._run.active_until_now()
        self._run.recorder.span(self._node.id, "compute", name, started, started + seconds)
        return seconds

    @property
    def useful_seconds(self) -> float:
        """Seconds of computations whose result counts, so far."""
        return self.busy_seconds - self.wasted_seconds - self.undone_seconds

    def cut(self) -> None:
        """Nobody will have the result of what it computes just now: that is wasted, as far as it has come."""
        if self._computing is not None:
            self.stop()
            self.waste_result()

    def waste_result(self) -> None:
        """Nobody will have the result of what it has just computed."""
        self.used_seconds -= self._last_seconds
        self.wasted_seconds += self._last_seconds


def _ended(env: simpy.Environment, task: Task[Any]) -> simpy.Event:
    """An event that fires when `task` has ended, whatever became of it."""
    if not isinstance(task, SimulatedTask):
        raise TypeError(f"train(until=...) takes a task made by spawn(), not {type(task).__name__}")
    return task.event
