"""`Node` under the simulated clock: SimPy says when, the fluid network how long, the engine what."""

from collections.abc import Callable, Collection, Coroutine, Hashable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import numpy as np
import simpy
from torch import Tensor

from simnet.runtime.checkpoints import Memory, NodeState
from simnet.runtime.collective_calls import CollectiveCalls
from simnet.runtime.collectives import pass_on, tree_barrier
from simnet.runtime.computations import Computations
from simnet.runtime.node import (
    Cancelled,
    Gradient,
    GroupChanged,
    Message,
    Node,
    OnLayer,
    PeerLost,
    Task,
    Timeout,
    View,
)
from simnet.runtime.placement import Placed
from simnet.runtime.waiting import Mailbox, Until, Waiting

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun

T = TypeVar("T")


class SimulatedNode(Node):
    """One role on one host of the simulated network."""

    def __init__(self, run: "SimulatedRun", placed: Placed, everybody: int) -> None:
        self._run = run
        self._env = run.env
        self.id = placed.name
        self.role = placed.role
        self.rank = placed.rank
        self.host = placed.host
        self.computing = self._computations(placed)
        self._mailbox = Mailbox(run.env)
        self._params = run.engine.initial_params
        self._optimizer_state = run.engine.init_state(self._params)
        self._view: View | None = None
        self._joined_as = 0
        self.calls = CollectiveCalls(self, run, everybody)
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
        self.kept = {}
        self._sleepers = 0
        self.waiting_for: dict[int, Waiting] = {}

    def _computations(self, placed: Placed) -> Computations:
        return Computations(self, self._run, placed)

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
            useful_seconds=self.computing.useful_seconds,
        )

    def put_on_disk(self, state: NodeState) -> None:
        """What it has when it comes up the next time."""
        self._disk = state.memory

    def note(self, what: object) -> None:
        """It waits for something, though no coroutine of its own does; for who asks why nothing happens."""
        self.waiting_for[id(what)] = Waiting(what, self.now, None, None)

    def unnote(self, what: object) -> None:
        """It does not any more."""
        del self.waiting_for[id(what)]

    def pass_seconds(self) -> float:
        """Forward and backward pass between two updates: how long its parameters do not change."""
        return self.computing.machine.gradient_seconds() if self.role == "worker" else 0.0

    # -- computation ----------------------------------------------------------------------------------

    def train(
        self,
        steps: int | None = None,
        *,
        until: Task[Any] | None = None,
        on_layer: OnLayer | None = None,
        lr_scale: float = 1.0,
        only: slice | Tensor | None = None,
    ) -> Coroutine[Any, Any, int]:
        return self.computing.train(steps, until=until, on_layer=on_layer, lr_scale=lr_scale, only=only)

    def gradient(
        self, params: Tensor | None = None, *, on_layer: OnLayer | None = None
    ) -> Coroutine[Any, Any, Gradient]:
        return self.computing.gradient(params, on_layer=on_layer)

    def loss(self, params: Tensor | None = None) -> Coroutine[Any, Any, float]:
        return self.computing.loss(params)

    def predictions(
        self, models: Sequence[Tensor], batches: int = 1
    ) -> Coroutine[Any, Any, tuple[Tensor, Tensor]]:
        return self.computing.predictions(models, batches)

    def step(self, gradient: Tensor) -> Coroutine[Any, Any, None]:
        return self.computing.step(gradient)

    def compute(
        self,
        function: Callable[..., T],
        *arguments: Any,
        flops: float | None = None,
        seconds: float | None = None,
    ) -> Coroutine[Any, Any, T]:
        return self.computing.compute(function, *arguments, flops=flops, seconds=seconds)

    @property
    def under_way(self) -> bool:
        """Whether this node computes or sleeps, as opposed to waiting for others."""
        return self.computing.under_way or self._sleepers > 0

    def exchange_state(self, state: dict[str, Tensor]) -> None:
        """Have another optimizer state: none while a new one is computed, so that there are never two."""
        self._optimizer_state = state

    # -- going down and coming back ---------------------------------------------------------------------

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
        lost = self._run.failures.first_lost(self.id, watching)
        if lost is not None:
            raise PeerLost(lost)
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
        members, tag = self.calls.next("all_reduce", group)
        if len(members) == 1:
            return tensor
        with self.calls.together("all_reduce", members):
            return await self._run.collectives.all_reduce(self, tensor, op, members, tag)

    async def all_gather(self, payload: Any, group: Sequence[str] | None = None) -> list[Any]:
        members, tag = self.calls.next("all_gather", group)
        if len(members) == 1:
            return [payload]
        with self.calls.together("all_gather", members):
            return await self._run.collectives.all_gather(self, payload, members, tag)

    async def reduce_scatter(
        self, tensor: Tensor, op: Literal["mean", "sum"] = "mean", group: Sequence[str] | None = None
    ) -> Tensor:
        members, tag = self.calls.next("reduce_scatter", group)
        if len(members) == 1:
            return tensor.reshape(-1)
        with self.calls.together("reduce_scatter", members):
            return await self._run.collectives.reduce_scatter(self, tensor, op, members, tag)

    async def broadcast(self, payload: Any, root: str, group: Sequence[str] | None = None) -> Any:
        members, tag = self.calls.next("broadcast", group)
        if root not in members:
            raise ValueError(f"broadcast root {root!r} is not in the group {members}")
        if len(members) == 1:
            return payload
        with self.calls.together("broadcast", members):
            return await self._run.collectives.broadcast(self, payload, root, members, tag)

    async def all_to_all(self, payloads: Sequence[Any], group: Sequence[str] | None = None) -> list[Any]:
        members, tag = self.calls.next("all_to_all", group)
        if len(payloads) != len(members):
            raise ValueError(f"all_to_all takes one payload per member: {len(members)}, not {len(payloads)}")
        if len(members) == 1:
            return list(payloads)
        with self.calls.together("all_to_all", members):
            return await self._run.collectives.all_to_all(self, payloads, members, tag)

    async def barrier(self, group: Sequence[str] | None = None) -> None:
        members, tag = self.calls.next("barrier", group)
        if len(members) > 1:
            with self.calls.together("barrier", members):
                await tree_barrier(self, members, tag)

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
