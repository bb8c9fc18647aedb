"""`Node` under the simulated clock: SimPy says when, the fluid network how long, the engine what."""

from collections.abc import Callable, Collection, Coroutine, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, cast

import numpy as np
import simpy
import torch
from torch import Tensor

from simnet.faults.slowdown import NO_SLOWDOWN
from simnet.runtime.checkpoints import Memory, NodeState
from simnet.runtime.clocked_work import ClockedWork
from simnet.runtime.collectives import pass_on, tree_barrier
from simnet.runtime.node import (
    Cancelled,
    Gradient,
    GroupChanged,
    Message,
    Node,
    NoValuesError,
    OnLayer,
    PeerLost,
    Task,
    Timeout,
    View,
)
from simnet.runtime.placement import Placed
from simnet.runtime.rings import CollectiveTag
from simnet.runtime.waiting import Mailbox, SimulatedTask, Turn, Turns, Until

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun

T = TypeVar("T")


class Waiting(NamedTuple):
    """What a coroutine waits for, since when, and on which other node it depends."""

    what: object
    """Says so as `str(what)`."""
    since: float
    peer: str | None
    process: simpy.Process | None
    watching: Collection[str] = ()
    """Others whose loss it wants to know."""

    @property
    def peers(self) -> tuple[str, ...]:
        """All whose loss it is told of."""
        return (*self.watching,) if self.peer is None else (self.peer, *self.watching)


class TimedGradient(NamedTuple):
    """The gradient of a timing-only run: a shape, and no loss."""

    vector: Tensor

    @property
    def loss(self) -> float:
        """Raises :class:`NoValuesError`: nothing was computed."""
        raise NoValuesError("the loss of a gradient was asked for in a timing-only run, which has no values")


class SimulatedNode(Node):
    """One role on one host of the simulated network."""

    def __init__(self, run: "SimulatedRun", placed: Placed, everybody: int) -> None:
        self._run = run
        self._env = run.env
        self.id = placed.name
        self.role = placed.role
        self.rank = placed.rank
        self.host = placed.host
        self._machine = run.cost.machines[placed.machine]
        self._clocked = ClockedWork(self._machine, run.faults.slowdowns.get(self.host, NO_SLOWDOWN))
        self._device = Turns(run.env)
        self._mailbox = Mailbox(run.env)
        self._params = run.engine.initial_params
        self._optimizer_state = run.engine.init_state(self._params)
        self._everybody = everybody
        self._view: View | None = None
        self._joined_as = 0
        self._collectives_called: dict[Hashable, int] = {}
        self.samples = run.task.samples[self.rank] if self.role == "worker" else 0
        self.parameters = run.cost.charged_parameters
        self.layers = run.layers
        self.rng = run.streams.generator("node", self.id)
        self.version = 0
        self.incarnation = 0
        self.keeps_disk = False
        """Whether what it has at a safe point is there again after a crash."""
        self._disk: Memory | None = None
        self.steps = 0
        self.batches_drawn = 0
        self.busy_seconds = 0.0
        self.used_seconds = 0.0
        """Of these, seconds of computations whose result somebody had, or may have yet."""
        self.wasted_seconds = 0.0
        """Of these, seconds of computations that were cut off, or whose result nobody had."""
        self.undone_seconds = 0.0
        """And of computations that all went back behind."""
        self.stalled_seconds = 0.0
        """Seconds in which checkpoints had the device."""
        self.kept = {}
        self._last_seconds = 0.0
        self._computing: tuple[str, float] | None = None
        self._sleepers = 0
        self.waiting_for: dict[int, Waiting] = {}

    # -- plain attributes -----------------------------------------------------------------------------

    @property
    def params(self) -> Tensor:
        return self._params

    @params.setter
    def params(self, value: Tensor) -> None:
        if value is not self._params and value.shape != self._params.shape:
            raise ValueError(
                f"params of {self.id} have shape {tuple(self._params.shape)}, not {tuple(value.shape)}"
            )
        self._params = value

    @property
    def peers(self) -> tuple[str, ...]:
        return tuple(peer for peer in self.members(self.role) if peer != self.id)

    @property
    def neighbors(self) -> tuple[str, ...]:
        near = set(self._run.topology.neighbors(self.host))
        return tuple(peer for peer in self.peers if self._run.nodes[peer].host in near)

    def members(self, role: str) -> tuple[str, ...]:
        return self._run.members[role]

    def up(self, role: str | None = None) -> tuple[str, ...]:
        return self._run.failures.seen_up(self.id, self._run.members[role or self.role])

    @property
    def view(self) -> View:
        return self._run.views.first(self.role) if self._view is None else self._view

    @property
    def regrouping(self) -> bool:
        return self._run.views.changing(self)

    @property
    def in_view(self) -> bool:
        """Whether it has been a member of its view ever since, and not gone down meanwhile."""
        return self._joined_as == self.incarnation

    def join(self, view: View) -> None:
        """Take part in a view from now on."""
        self._view, self._joined_as = view, self.incarnation

    async def regroup(self, quorum: int = 1, deadline: float | None = None) -> View:
        return await self._run.views.regroup(self, quorum, deadline)

    @property
    def optimizer_state(self) -> dict[str, Tensor]:
        return self._optimizer_state

    @optimizer_state.setter
    def optimizer_state(self, value: dict[str, Tensor]) -> None:
        self._optimizer_state = value

    @property
    def now(self) -> float:
        return float(self._env.now)

    @property
    def running(self) -> bool:
        if self.keeps_disk and self._run.checkpoints is None:
            self._disk = self._memory
        if not self._run.may_continue(self):
            return False
        if self._run.checkpoints is not None:
            self._run.checkpoints.safe_point(self)
        return True

    # -- what a checkpoint holds ----------------------------------------------------------------------

    def state(self) -> NodeState:
        """All that this node goes back to, as it is now."""
        return NodeState(
            memory=self._memory,
            steps=self.steps,
            batches_drawn=self.batches_drawn,
            luck=self.rng.bit_generator.state,
            incarnation=self.incarnation,
            useful_seconds=self.useful_seconds,
        )

    def go_back(self, state: NodeState) -> None:
        """Come up as it was then, with everything since undone."""
        self.put_on_disk(state)
        self.begin_again(disk=True)
        self.incarnation = state.incarnation
        self.steps, self.batches_drawn = state.steps, state.batches_drawn
        self.rng.bit_generator.state = dict(state.luck)
        self.undone_seconds += self.useful_seconds - state.useful_seconds

    def put_on_disk(self, state: NodeState) -> None:
        """What it has when it comes up the next time."""
        self._disk = state.memory

    @property
    def useful_seconds(self) -> float:
        """Seconds of computations whose result counts, so far."""
        return self.busy_seconds - self.wasted_seconds - self.undone_seconds

    def meets_as(self, calls: Mapping[Hashable, int]) -> None:
        """Number its next collectives as all others do."""
        self._collectives_called = dict(calls)

    @property
    def collectives_called(self) -> Mapping[Hashable, int]:
        """How often it called each collective."""
        return self._collectives_called

    def note(self, what: object) -> None:
        """It waits for something, though no coroutine of its own does; for who asks why nothing happens."""
        self.waiting_for[id(what)] = Waiting(what, self.now, None, None)

    def unnote(self, what: object) -> None:
        """It does not any more."""
        del self.waiting_for[id(what)]

    def ask_for_device(self) -> Turn:
        """A turn at the device: what is asked for later comes later."""
        return self._device.request()

    def pass_seconds(self) -> float:
        """Forward and backward pass between two updates: how long its parameters do not change."""
        return self._machine.gradient_seconds() if self.role == "worker" else 0.0

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
        if (steps is None) == (until is None):
            raise ValueError("train() takes either steps or until")
        if on_layer is not None and (until is not None or not self._run.engine.layerwise_steps):
            reason = (
                "until" if until is not None else "an optimizer that needs all gradients (clip_norm, muon)"
            )
            raise ValueError(f"train() cannot step layer by layer (on_layer) with {reason}")
        if steps is not None and steps < 1:
            raise ValueError(f"train() takes at least one step, not {steps}")
        with self._device.request() as turn:
            await self.wait(turn, "its device")
            before, started, first = self._params, self.now, self.batches_drawn
            if until is not None:
                await self.wait(_ended(self._env, until), "the task it trains beside")
                steps = self._clocked.steps_until(started, self.now, first, self._run.steps_left(self))
                if steps > 0:
                    self._computed("train", started, self._clocked.train(started, first, steps))
            else:
                steps = min(steps or 0, self._run.steps_left(self))
            if steps < 1:
                return 0
            partial: dict[str, Any] = {}
            if lr_scale != 1 or only is not None:
                partial = {"lr_scale": lr_scale, "only": only}
            job = self._run.engine.submit_train(
                self.rank, before, self._optimizer_state, steps, first, **partial
            )
            self.batches_drawn += steps
            if on_layer is not None:
                result = await self._layer_by_layer("train", job, on_layer, first, steps)
            else:
                seconds = self._clocked.train(started, first, steps) if until is None else None
                result = await self._finish("train", job, seconds, gradients=steps, steps=steps)
            if self._params is not before:
                raise RuntimeError(
                    f"params of {self.id} were assigned while it was training: that work would be lost; "
                    "use gradient() and step() to overlap"
                )
            self._params, self._optimizer_state = result.params, result.state
        if self._run.engine.has_values:
            loss = float(result.losses.mean())
            self._run.recorder.metric(self.now, self.id, self.steps, "train_loss", loss)
        return steps

    async def gradient(self, params: Tensor | None = None, *, on_layer: OnLayer | None = None) -> Gradient:
        with self._device.request() as turn:
            await self.wait(turn, "its device")
            at = self._params if params is None else params
            drawn = self.batches_drawn
            job = self._run.engine.submit_gradient(self.rank, at, drawn)
            self.batches_drawn += 1
            if on_layer is not None:
                result = await self._layer_by_layer("gradient", job, on_layer, drawn)
            else:
                seconds = self._clocked.gradient(self.now, drawn)
                result = await self._finish("gradient", job, seconds, gradients=1)
        if not self._run.engine.has_values:
            return cast(Gradient, TimedGradient(result.vector))
        loss = float(result.loss)
        self._run.recorder.metric(self.now, self.id, self.steps, "train_loss", loss)
        return Gradient(loss, result.vector)

    async def loss(self, params: Tensor | None = None) -> float:
        with self._device.request() as turn:
            await self.wait(turn, "its device")
            at = self._params if params is None else params
            job = self._run.engine.submit_loss(self.rank, at, self.batches_drawn)
            seconds = self._clocked.loss(self.now, self.batches_drawn)
            return float(await self._finish("loss", job, seconds))

    async def predictions(self, models: Sequence[Tensor], batches: int = 1) -> tuple[Tensor, Tensor]:
        with self._device.request() as turn:
            await self.wait(turn, "its device")
            stacked = torch.stack(list(models))
            job = self._run.engine.submit_predictions(self.rank, stacked, self.batches_drawn, batches)
            passes = len(models) * batches
            seconds = self._clocked.loss(self.now, self.batches_drawn, passes)
            return cast(tuple[Tensor, Tensor], await self._finish("predict", job, seconds))

    async def step(self, gradient: Tensor) -> None:
        with self._device.request() as turn:
            await self.wait(turn, "its device")
            await self._work("step", self._clocked.optimizer(self.now, self.batches_drawn - 1))
            job = self._run.engine.submit_step(self._params, gradient, self._optimizer_state)
            result = await self._run.finish(job, self, steps=1)
            self._params, self._optimizer_state = result.params, result.state

    async def compute(
        self,
        function: Callable[..., T],
        *arguments: Any,
        flops: float | None = None,
        seconds: float | None = None,
    ) -> T:
        if (flops is None) == (seconds is None):
            raise ValueError("compute() takes either flops or seconds: there is no work without a cost")
        cost = seconds if flops is None else flops
        if cost is None or not cost > 0:
            raise ValueError(f"compute() needs a positive cost, not flops={flops}, seconds={seconds}")
        duration = cost if flops is None else self._machine.seconds(flops)
        with self._device.request() as turn:
            await self.wait(turn, "its device")
            await self._work("compute", self._clocked.other(self.now, duration))
            self._run.counts["computations"] += 1
            return cast(T, self._run.shared_steps.call(self.now, function, arguments))

    async def _finish(
        self, name: str, job: Any, seconds: float | None, *, gradients: int = 0, steps: int = 0
    ) -> Any:
        """Let the job's time pass (it has passed already if `seconds` is None), then have its result."""
        try:
            if seconds is not None:
                if not self._run.ends_in_time(seconds):
                    self._run.engine.withdraw(job)
                await self._work(name, seconds)
            return await self._run.finish(job, self, gradients=gradients, steps=steps)
        except Cancelled:
            self._run.engine.withdraw(job)
            raise

    async def _layer_by_layer(
        self, name: str, job: Any, on_layer: OnLayer, first: int, steps: int = 0
    ) -> Any:
        """Let the job's time pass, and hand over each layer when its last step's backward pass leaves it.

        Values are computed, and steps are counted, when the first of them is handed over.
        """
        started, layers = self.now, list(reversed(self.layers))
        moments = self._clocked.layers(started, first, steps, [layer.stop - layer.start for layer in layers])
        self._computing = (name, started)
        self._run.work_begins()
        result = None
        try:
            for layer, moment in zip(layers, moments, strict=True):
                if result is None and not self._run.ends_in_time(moment - started):
                    self._run.engine.withdraw(job)
                await self.wait(self._env.timeout(max(0.0, moment - self.now)), name)
                if result is None:
                    result = await self._run.finish(job, self, gradients=steps or 1, steps=steps)
                vector = result.params if steps else result.vector
                on_layer(layer, vector[layer])
        except Cancelled:
            self._run.engine.withdraw(job)
            self.cut_computation()
            raise
        self.stop_computing()
        return result

    async def _work(self, name: str, seconds: float) -> None:
        """Hold the device for `seconds`; the caller has it already."""
        self._computing = (name, self.now)
        self._run.work_begins()
        try:
            await self.wait(self._env.timeout(seconds), name)
        except Cancelled:
            self.cut_computation()
            raise
        self.stop_computing()

    @property
    def under_way(self) -> bool:
        """Whether this node computes or sleeps, as opposed to waiting for others."""
        return self._computing is not None or self._sleepers > 0

    def stop_computing(self) -> float:
        """Account for the computation under way, as far as it has come: for so many seconds."""
        if self._computing is None:
            return 0.0
        name, started = self._computing
        self._computing = None
        return self._computed(name, started, self.now - started)

    def _computed(self, name: str, started: float, seconds: float) -> float:
        self.busy_seconds += seconds
        self.used_seconds += seconds
        self._last_seconds = seconds
        self._run.active_until_now()
        self._run.recorder.span(self.id, "compute", name, started, started + seconds)
        return seconds

    def exchange_state(self, state: dict[str, Tensor]) -> None:
        """Have another optimizer state: none while a new one is computed, so that there are never two."""
        self._optimizer_state = state

    # -- going down and coming back ---------------------------------------------------------------------

    def cut_computation(self) -> None:
        """Nobody will have the result of what it computes just now: that is wasted, as far as it has come."""
        if self._computing is not None:
            self.stop_computing()
            self.waste_result()

    def waste_result(self) -> None:
        """Nobody will have the result of what it has just computed."""
        self.used_seconds -= self._last_seconds
        self.wasted_seconds += self._last_seconds

    def begin_again(self, *, disk: bool, finished: bool = False) -> None:
        """It comes up, with an empty mailbox, and with what it last had on its disk or what everybody had at
        first; if it had finished, with its result, which it has handed over."""
        self.incarnation += 1
        self._mailbox = Mailbox(self._env)
        if finished:
            self._disk = self._memory
        elif not (disk and self._disk is not None):
            self._disk = self._first
        self._memory = self._disk

    @property
    def _memory(self) -> Memory:
        """The model, the optimizer's state, the version and what the method keeps."""
        return self._params, self._optimizer_state, self.version, dict(self.kept)

    @_memory.setter
    def _memory(self, value: Memory) -> None:
        self._params, self._optimizer_state, self.version = value[:3]
        self.kept = dict(value[3])

    @property
    def _first(self) -> Memory:
        """What it had in memory when the run began."""
        params = self._run.engine.initial_params
        return params, self._run.engine.init_state(params), 0, {}

    # -- messages -------------------------------------------------------------------------------------

    async def send(self, to: str, payload: Any, tag: Hashable = "") -> None:
        failures = self._run.failures
        if failures.is_lost(self.id, to):
            raise PeerLost(to)
        if failures.is_down(to):
            await self.wait(self._env.event(), f"{to} to be noticed as lost", to)
        transfer = self._run.post(self, to, payload, tag)
        try:
            await self.wait(transfer.sent, f"its message to {to} to leave", to)
        except (Cancelled, GroupChanged):
            self._run.network.cancel(transfer)
            raise

    async def recv(
        self,
        sender: str | None = None,
        tag: Hashable = "",
        *,
        timeout: float | None = None,
        watching: Collection[str] = (),
    ) -> Message:
        kept = self._mailbox.take(sender, tag)
        if kept is not None:
            return kept
        if sender is not None and self._run.failures.is_lost(self.id, sender):
            raise PeerLost(sender)
        for watched in watching:
            if self._run.failures.is_lost(self.id, watched):
                raise PeerLost(watched)
        started = self.now
        arrival = self._mailbox.ask(sender, tag)
        awaited = f"a message {tag!r} from {sender or 'anyone'}"
        try:
            if timeout is None:
                await self.wait(arrival, awaited, sender, watching)
            else:
                either = simpy.AnyOf(self._env, (arrival, self._env.timeout(timeout)))
                await self.wait(either, awaited, sender, watching)
        except (Cancelled, GroupChanged):
            self._mailbox.withdraw(tag, arrival)
            raise
        self._run.recorder.span(self.id, "wait", "recv", started, self.now)
        if not arrival.triggered:
            self._mailbox.withdraw(tag, arrival)
            raise Timeout(f"{self.id} waited {timeout} s for {awaited}")
        return cast(Message, arrival.value)

    async def exchange(self, peer: str, payload: Any, tag: Hashable = "") -> Any:
        failures = self._run.failures
        if failures.is_lost(self.id, peer) or failures.is_down(peer):
            return await pass_on(self, peer, peer, payload, tag)
        transfer = self._run.post(self, peer, payload, tag)  # leaves by itself: that takes no task of its own
        try:
            message = await self.recv(peer, tag)
            await self.wait(transfer.sent, f"its message to {peer} to leave", peer)
        except (Cancelled, GroupChanged):
            if not transfer.sent.processed:  # what has left arrives all the same
                self._run.network.cancel(transfer)
            raise
        return message.payload

    def deliver(self, message: Message) -> None:
        """The network's end of :meth:`recv`."""
        self._mailbox.deliver(message)

    # -- collectives ----------------------------------------------------------------------------------

    async def all_reduce(
        self, tensor: Tensor, op: Literal["mean", "sum"] = "mean", group: Sequence[str] | None = None
    ) -> Tensor:
        members, tag = self._collective("all_reduce", group)
        if len(members) == 1:
            return tensor
        with self._together("all_reduce", members):
            return await self._run.collectives.all_reduce(self, tensor, op, members, tag)

    async def all_gather(self, payload: Any, group: Sequence[str] | None = None) -> list[Any]:
        members, tag = self._collective("all_gather", group)
        if len(members) == 1:
            return [payload]
        with self._together("all_gather", members):
            return await self._run.collectives.all_gather(self, payload, members, tag)

    async def reduce_scatter(
        self, tensor: Tensor, op: Literal["mean", "sum"] = "mean", group: Sequence[str] | None = None
    ) -> Tensor:
        members, tag = self._collective("reduce_scatter", group)
        if len(members) == 1:
            return tensor.reshape(-1)
        with self._together("reduce_scatter", members):
            return await self._run.collectives.reduce_scatter(self, tensor, op, members, tag)

    async def broadcast(self, payload: Any, root: str, group: Sequence[str] | None = None) -> Any:
        members, tag = self._collective("broadcast", group)
        if root not in members:
            raise ValueError(f"broadcast root {root!r} is not in the group {members}")
        if len(members) == 1:
            return payload
        with self._together("broadcast", members):
            return await self._run.collectives.broadcast(self, payload, root, members, tag)

    async def all_to_all(self, payloads: Sequence[Any], group: Sequence[str] | None = None) -> list[Any]:
        members, tag = self._collective("all_to_all", group)
        if len(payloads) != len(members):
            raise ValueError(f"all_to_all takes one payload per member: {len(members)}, not {len(payloads)}")
        if len(members) == 1:
            return list(payloads)
        with self._together("all_to_all", members):
            return await self._run.collectives.all_to_all(self, payloads, members, tag)

    async def barrier(self, group: Sequence[str] | None = None) -> None:
        members, tag = self._collective("barrier", group)
        if len(members) > 1:
            with self._together("barrier", members):
                await tree_barrier(self, members, tag)

    @contextmanager
    def _together(self, name: str, members: tuple[str, ...]) -> Iterator[None]:
        """Around the steps of a collective: it ends with the loss of a member, and leaves a span."""
        ticket = self._run.views.enter(self)
        try:
            with self._run.failures.together(self.id, members), self._span(name):
                yield
        finally:
            self._run.views.leave(ticket)

    def _collective(self, kind: str, group: Sequence[str] | None) -> tuple[tuple[str, ...], CollectiveTag]:
        """The members, and a tag that the n-th call of this kind in this view shares at each of them.

        Raises :class:`GroupChanged` if this node is not in its view any more: it was down.
        """
        view = self._view
        epoch = 0 if view is None else view.epoch
        if group is None:
            if not self.in_view:
                raise GroupChanged(f"{self.id} was down: it must regroup() before it takes part again")
            members = self.members(self.role) if view is None else view.members
            number = self._everybody if epoch == 0 else self._run.group_number(members)
        else:
            members = tuple(group)
            if self.id not in members:
                raise ValueError(f"{self.id} called {kind} of a group that it is not in: {members}")
            number = self._run.group_number(members)
        key: Hashable = (kind, number) if epoch == 0 else (kind, number, epoch)
        turn = self._collectives_called.get(key, 0)
        self._collectives_called[key] = turn + 1
        return members, (kind, number if epoch == 0 else (number, epoch), turn)

    # -- the rest -------------------------------------------------------------------------------------

    async def sleep(self, seconds: float) -> None:
        if seconds < 0:
            raise ValueError(f"cannot sleep {seconds} s")
        self._sleepers += 1
        try:
            await self.wait(self._env.timeout(seconds), "its sleep to end")
        finally:
            self._sleepers -= 1
        self._run.active_until_now()

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> Task[T]:
        return self._run.start(coroutine, self.id, keep_errors=True)

    def record(self, **columns: float) -> None:
        for name, value in columns.items():
            self._run.recorder.metric(self.now, self.id, self.steps, name, float(value))

    def shared_rng(self, name: str, epoch: int) -> np.random.Generator:
        return self._run.streams.generator("shared", name, epoch)

    async def wait(
        self, event: simpy.Event, what: object, peer: str | None = None, watching: Collection[str] = ()
    ) -> Any:
        """Wait for an event, leaving a note of what for, from which a deadlock is explained.

        Raises :class:`PeerLost` when `peer`, without which it cannot happen, or one of those in `watching`
        is noticed to be down.
        """
        ticket, env = id(event), self._env
        self.waiting_for[ticket] = Waiting(what, env.now, peer, env.active_process, watching)
        try:
            return await Until(event)
        finally:
            del self.waiting_for[ticket]

    def _span(self, name: str) -> "_Span":
        return _Span(self, name)


class _Span:
    """Records what a node waited for, from entry to exit."""

    def __init__(self, node: SimulatedNode, name: str) -> None:
        self._node, self._name, self._started = node, name, node.now

    def __enter__(self) -> None: ...

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is None:
            self._node._run.recorder.span(
                self._node.id, "collective", self._name, self._started, self._node.now
            )


def _ended(env: simpy.Environment, task: Task[Any]) -> simpy.Event:
    """An event that fires when `task` has ended, whatever became of it."""
    if not isinstance(task, SimulatedTask):
        raise TypeError(f"train(until=...) takes a task made by spawn(), not {type(task).__name__}")
    return task.event
