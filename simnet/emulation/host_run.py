"""One host's part of an emulated run: its nodes' coroutines, in real time."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from math import inf
from typing import Any, TypeVar

import simpy

from simnet.compute import Engine, Job, TimingEngine, TrainJob
from simnet.compute.charging import even_layers
from simnet.emulation.clock import RealTimeClock
from simnet.emulation.connections import Connections
from simnet.emulation.frames import Arrival, Beat, pack
from simnet.emulation.node import EmulatedNode, EmulatedStage, Pace
from simnet.emulation.noticing import noticing_of, seconds_until_split
from simnet.emulation.peers import HostFailures, HostSeparations, HostViews
from simnet.emulation.rows import Rows
from simnet.emulation.separation import separations
from simnet.emulation.snapshots import Snapshots
from simnet.emulation.step_budget import StepBudget
from simnet.runtime.adversary import Adversary
from simnet.runtime.byzantine_node import seen_by_its_method
from simnet.runtime.collectives import Collectives, SteppedRings
from simnet.runtime.node import Encoded, Message
from simnet.runtime.payload import kind_of, payload_bytes
from simnet.runtime.placement import Placed, members_by_role
from simnet.runtime.shared_steps import SharedSteps
from simnet.runtime.stage_node import STAGE
from simnet.runtime.waiting import SimulatedTask
from simnet.runtime.world import Method, World
from simnet.streams import Streams

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Past:
    """How far a node had come when its process was killed."""

    incarnation: int
    """Of the node that begins now."""
    steps: int
    batches_drawn: int


class HostRun:
    """What the nodes of one host stand on; the counterpart of `SimulatedRun`.

    Args:
        world: The scenario and what was built from it.
        method: What runs.
        engine: Does the work of this host's nodes.
        rows: What this host records.
        clock: Real time.
        wire: Connections to the other hosts.
        placed: Where every node of the run is.
        host: This host.
        pace: Whether computations take their real time or that of the scenario's device.
        tell: Called with news for the driver; the same news again is none.
        say: Called with what the driver is to hear each time.
        past: How far each of this host's nodes had come when its process was killed, if it was.
    """

    def __init__(
        self,
        world: World,
        method: Method,
        engine: Engine | TimingEngine,
        rows: Rows,
        clock: RealTimeClock,
        wire: Connections,
        placed: tuple[Placed, ...],
        host: str,
        pace: Pace,
        tell: Callable[[dict[str, Any]], None],
        say: Callable[[dict[str, Any]], None],
        past: Mapping[str, Past],
    ) -> None:
        self.scenario = world.scenario
        self.topology = world.topology
        self.task = world.task
        self.cost = world.cost
        self.pipeline = world.pipeline
        self.engine = engine
        self.recorder = rows
        self.env = clock
        self.pace = pace
        self.layers = (
            engine.layers if world.cost.layers is None else even_layers(engine.parameters, world.cost.layers)
        )
        self.streams = Streams(world.scenario.seed)
        self.counts: Counter[str] = Counter()
        self.shared_steps = SharedSteps()
        self.hosts = {one.name: one.host for one in placed}
        self.members = members_by_role(placed)
        self.rings = SteppedRings()
        self.faults = world.faults
        self.checkpoints = None
        self.noticing = noticing_of(self, wire, world.scenario)
        self.failures = HostFailures(self, self.noticing)
        ahead = separations(world.faults.partitions, partial(seconds_until_split, world.scenario))
        self._separations = HostSeparations(self, wire, ahead)
        self.views = HostViews(self)
        self._method = method
        self._wire = wire
        self.host = host
        self._tell = tell
        self.say = say
        stop = world.scenario.stop
        self._stop_time = inf if stop.time is None else stop.time
        self._tasks: dict[SimulatedTask[Any], None] = {}
        self._group_numbers: dict[tuple[str, ...], int] = {}
        self._device = ThreadPoolExecutor(1, thread_name_prefix="torch")
        self._computing: dict[Job[Any], simpy.Event] = {}
        self._trained_role = STAGE if STAGE in self.members else "worker"
        self._budget = StepBudget(stop, method.step_budget, self.members[self._trained_role])
        self._active = 0.0
        self.frames_sent = self.frames_received = 0
        self.raw_bytes_sent = self.bytes_sent = 0.0
        self.nodes = {one.name: self._made(one) for one in placed if one.host == host}
        for name, before in past.items():
            self.nodes[name].resumes(before)
            self._budget.take(name, before.steps)
        self.snapshots = Snapshots(self.nodes, clock, world.scenario.evaluate, self._trained_role)
        self.collectives = Collectives(
            world.scenario.network, world.topology, self.hosts, world.cost.charged_bytes, self.rings
        )
        lying = world.faults.byzantine
        adversary = Adversary(self, lying) if lying.keys() & self.nodes.keys() else None  # type: ignore[arg-type]
        self.faces = {
            name: seen_by_its_method(node, adversary if name in lying else None)
            for name, node in self.nodes.items()
        }
        """What each method's code gets: the node itself, or one that lies."""
        self.mains: dict[str, SimulatedTask[None]] = {}
        self.ended = 0.0
        """When the run ended, as the driver says; seconds."""

    def _made(self, one: Placed) -> EmulatedNode:
        everybody = self.group_number(self.members[one.role])
        if one.role == STAGE:
            assert self.pipeline is not None, "a world for a method with stages has a pipeline"
            return EmulatedStage(self, self.pipeline, one, everybody)  # type: ignore[arg-type]
        return EmulatedNode(self, one, everybody)  # type: ignore[arg-type]

    # -- the loop -------------------------------------------------------------------------------------

    async def warm_up(self) -> None:
        """Compute something in the thread that will: see :func:`warm_up`."""
        workers = self.members.get("worker", ())
        ranks = [rank for rank, name in enumerate(workers) if self.hosts[name] == self.host]
        if ranks:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._device, warm_up, self.engine, ranks[0])

    async def run(self, over: asyncio.Event) -> None:
        """Run this host's nodes until the driver says that the run is over."""
        self.env.inject(self._begin)
        self._separations.begin()
        self.noticing.begin()
        self.snapshots.begin()
        over_now = asyncio.ensure_future(over.wait())

        def ended() -> bool:
            self.tell_standing()
            return over.is_set()

        serving = asyncio.ensure_future(self.env.serve(ended))
        try:
            await asyncio.wait((over_now, serving), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        finally:
            for task in (over_now, serving):
                task.cancel()
            self._close()

    def _begin(self) -> None:
        roles = self._method.roles()
        for name, node in self.nodes.items():
            main = self.mains[name] = self.start(roles[node.role](self.faces[name]), name)
            main.event.callbacks.append(self._ended(name))

    def _ended(self, name: str) -> Callable[[simpy.Event], None]:
        return lambda _: self.views.ended(name)

    def _close(self) -> None:
        self._separations.end()
        self.noticing.end()
        for node in self.nodes.values():
            node.computing.stop()
        for task in list(self._tasks):
            task.close()
        self._device.shutdown(wait=True, cancel_futures=True)
        self.snapshots.end(self.ended)

    def tell_standing(self) -> None:
        """Where this host stands: enough for the driver to see that all is over, or that nothing goes on."""
        idle = (
            not self._computing
            and self.env.peek() == inf
            and not any(node.under_way for node in self.nodes.values())
        )
        self._tell(
            {
                "steps": self._budget.own,
                "idle": idle,
                "done": all(main.done for main in self.mains.values()),
                "sent": self.frames_sent,
                "received": self.frames_received,
                "bytes": self.bytes_sent,
                "active": self._active,
                "nodes": {name: node.standing for name, node in self.nodes.items()},
            }
        )

    def waiting(self) -> list[str]:
        """Which node waits for what, for people."""
        return [
            f"{name} waits for {one.what} since {one.since:.6g} s"
            for name, main in self.mains.items()
            if not main.done
            for one in self.nodes[name].waiting_for.values()
        ]

    def steps_everywhere(self, steps: int) -> None:
        """The driver told how many steps all workers have taken together."""
        self._budget.told(steps)
        self.snapshots.steps_everywhere(steps // len(self.members[self._trained_role]))

    # -- what nodes ask for ---------------------------------------------------------------------------

    def start(
        self, coroutine: Coroutine[Any, Any, T], owner: str | None = None, *, keep_errors: bool = False
    ) -> SimulatedTask[T]:
        """Run a coroutine on the clock; arguments as of `SimulatedTask`."""
        task = SimulatedTask(self.env, coroutine, owner, keep_errors=keep_errors)
        self._tasks[task] = None
        task.event.callbacks.append(lambda _: self._tasks.pop(task, None))
        return task

    def group_number(self, members: tuple[str, ...]) -> int:
        """A number for a group, on which all hosts agree without a message: a hash of its members' names."""
        found = self._group_numbers.get(members)
        if found is None:
            digest = blake2b("\n".join(members).encode(), digest_size=7).digest()
            found = self._group_numbers[members] = int.from_bytes(digest, "big")
        return found

    def host_of(self, name: str) -> str:
        """Where a node is."""
        return self.hosts[name]

    def may_continue(self, node: EmulatedNode) -> bool:
        """False once the step budget is spent: the node's own, or everybody's."""
        return self._budget.allows(node.id, node.steps)

    def steps_left(self, node: EmulatedNode) -> int:
        """How many optimizer steps the budget leaves this node."""
        return self._budget.left(node.id, node.steps)

    def ends_in_time(self, seconds: float) -> bool:
        """Whether work that begins now and takes `seconds` is done before the run's last instant."""
        return self.env.now + seconds < self._stop_time

    def active_until_now(self) -> None:
        """Something really happened now: the run lasts at least until here."""
        self._active = self.env.real_now

    def work_begins(self) -> None:
        """A computation starts: models are as the method left them, which is when they are evaluated."""
        self.snapshots.work_begins()

    def begin(self, job: Job[Any]) -> None:
        """Have the thread for computations do a job that was submitted to the engine."""
        if job in self._computing:
            return
        done = self._computing[job] = self.env.event()
        jobs = self.engine.take()
        future = self._device.submit(self.engine.run, jobs)
        loop = asyncio.get_running_loop()

        def arrived() -> None:
            error = future.exception()
            if error is None:
                self.env.inject(lambda: _fire(done))
            else:
                self.env.inject(lambda: _raise(error))

        future.add_done_callback(lambda _: loop.call_soon_threadsafe(arrived))

    async def finish(self, job: Job[Any], node: EmulatedNode, *, gradients: int = 0, steps: int = 0) -> Any:
        """Await the result of a job, and count what was done."""
        self.begin(job)
        done = self._computing[job]
        try:
            if not done.processed:
                await node.wait(done, "its result")
        finally:
            del self._computing[job]
        if isinstance(job, TrainJob) and job.result is not None:
            node.exchange_state(job.result.state)
        counted = job.computed()
        kind = "computed" if self.engine.has_values else "counted"
        self.counts["gradients_charged"] += gradients
        self.counts["steps_charged"] += steps
        self.counts[f"gradients_{kind}"] += counted[0]
        self.counts[f"steps_{kind}"] += counted[1]
        if node.role == self._trained_role and steps:
            node.steps += steps
            self._budget.take(node.id, steps)
        return job.result

    # -- messages -------------------------------------------------------------------------------------

    def post_frame(self, source: EmulatedNode, to: str, payload: Any, tag: Hashable) -> simpy.Event:
        """Put a message on the wire; gives an event that fires when the kernel has all of it."""
        if to not in self.hosts:
            raise ValueError(f"{source.id} sends to {to!r}, which is not a node: {', '.join(self.hosts)}")
        model_bytes, other_bytes = payload_bytes(payload)
        charged = payload.charged_bytes if isinstance(payload, Encoded) else None
        if charged is None:
            charged = self.cost.charged_bytes(model_bytes) + other_bytes
        message = Message(source.id, tag, payload, source.version, self.env.real_now, charged)
        left = self.env.event()
        self.counts["messages"] += 1
        if self.hosts[to] == self.host:
            left.succeed()
            self.nodes[to].deliver(message)
            return left
        self.frames_sent += 1
        self.bytes_sent += charged
        self.raw_bytes_sent += model_bytes + other_bytes
        frame = pack(message, to, source.steps)
        self._wire.send(self.hosts[to], frame, lambda: self.env.inject(lambda: _fire(left)))
        return left

    def arrived(self, arrival: Arrival | Beat) -> None:
        """The wire's end of `recv`."""
        if isinstance(arrival, Beat):
            self.env.inject(partial(self._heard, arrival))
            return
        message = arrival.message

        def deliver() -> None:
            self._budget.hear(message.sender, arrival.steps)
            self.frames_received += 1
            now = self.env.now
            self.recorder.transfer(
                kind_of(message.tag),
                self.hosts[message.sender],
                self.host,
                arrival.bytes,
                message.bytes,
                min(message.sent_at, now),
                now,
            )
            self.active_until_now()
            self.nodes[arrival.to].deliver(message)

        self.env.inject(deliver)

    def _heard(self, beat: Beat) -> None:
        now, kind = self.env.now, "heartbeat" if beat.gone is None else "gone"
        source = self.hosts[beat.sender]
        self.recorder.transfer(kind, source, self.host, beat.bytes, beat.bytes, min(beat.sent_at, now), now)
        self.noticing.arrived(beat)

    def fails(self, error: BaseException) -> None:
        """Something outside the clock went wrong: it ends this host's run with that error."""
        self.env.inject(partial(_raise, error))

    def lost(self, host: str) -> None:
        """A host's connections ended."""
        for name in self.nodes_on(host):
            self.env.inject(partial(self.failures.gone, name))

    def back(self, host: str) -> None:
        """A host that was lost can be reached again."""
        for name in self.nodes_on(host):
            self.env.inject(partial(self.failures.back, name))

    def nodes_on(self, host: str) -> list[str]:
        """The nodes of a host, this one or another."""
        return [name for name, where in self.hosts.items() if where == host]


def warm_up(engine: Engine | TimingEngine, worker: int) -> None:
    """Compute something whose result nobody gets: the first computation of a process takes far longer than
    all others, since torch prepares itself. Nothing that counts is changed by it."""
    if engine.has_values:
        start = engine.initial_params
        engine.submit_train(worker, start, engine.init_state(start), 1, 0)
        engine.submit_gradient(worker, start, 0)
        engine.flush()


def _fire(event: simpy.Event) -> None:
    if not event.triggered:
        event.succeed()


def _raise(error: BaseException) -> None:
    raise error
