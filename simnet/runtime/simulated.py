"""One run under the simulated clock: coroutines on SimPy, flows on the fluid network, work in the engine."""

import time
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable, Sequence
from contextlib import nullcontext
from math import ceil, inf
from typing import Any, TypeVar

from simnet.compute import Engine, Job, TimingEngine
from simnet.compute.charging import even_layers
from simnet.compute.memory import rare_collections
from simnet.network import Clock, FluidNetwork, InvariantError, Transfer, transport_of
from simnet.results import Recorder
from simnet.runtime.accounts import record_accounts, record_transfer
from simnet.runtime.adversary import Adversary
from simnet.runtime.byzantine_node import honest, seen_by_its_method
from simnet.runtime.checkpoints import Checkpoints
from simnet.runtime.churning import Churning
from simnet.runtime.collectives import Collectives, SteppedRings
from simnet.runtime.ending import check_work, close_network, outcome, target_moment, work_seconds
from simnet.runtime.evaluation import Evaluation, HasModel
from simnet.runtime.failures import Failures
from simnet.runtime.flushes import Flushes
from simnet.runtime.lifecycle import DeadlockError as DeadlockError
from simnet.runtime.lifecycle import Lifecycle
from simnet.runtime.node import Aborted, Encoded, Message, Node
from simnet.runtime.partitions import Partitions
from simnet.runtime.payload import kind_of, payload_bytes
from simnet.runtime.placement import Placed, members_by_role, placements
from simnet.runtime.rings import FluidRings
from simnet.runtime.rollback import Rollback
from simnet.runtime.shared_steps import SharedSteps
from simnet.runtime.simulated_node import SimulatedNode
from simnet.runtime.simulated_stage import SimulatedStage, whole_models
from simnet.runtime.stage_node import STAGE
from simnet.runtime.views import Views
from simnet.runtime.waiting import SimulatedTask
from simnet.runtime.world import Method, Outcome, Progress, World
from simnet.scenario import FaultsConfig
from simnet.streams import Streams

T = TypeVar("T")

REPORT_SECONDS = 0.1
STUCK_EVENTS = 2_000_000
"""So many events without the clock moving are a loop that never waits."""


class SimulatedRun:
    """Runs one method in one world; :meth:`run` once."""

    def __init__(
        self,
        world: World,
        method: Method,
        engine: Engine | TimingEngine,
        recorder: Recorder,
        watch: Callable[[Progress], None] | None = None,
    ) -> None:
        self.scenario = world.scenario
        self.topology = world.topology
        self.task = world.task
        self.cost = world.cost
        self.faults = world.faults
        self.pipeline = world.pipeline
        self.engine = engine
        self.layers = (
            engine.layers if world.cost.layers is None else even_layers(engine.parameters, world.cost.layers)
        )
        self.recorder = recorder
        self.streams = Streams(world.scenario.seed)
        self.env = Clock()
        transport = transport_of(world.scenario.network.model)
        self.network = FluidNetwork(self.env, world.topology, transport, on_end=self._transfer_ended)
        self.rings = FluidRings(self)
        self.failures = Failures(self)
        self.views = Views(self)
        self.counts: Counter[str] = Counter()
        self.shared_steps = SharedSteps()
        self._method = method
        self._watch = watch
        self._stop = world.scenario.stop
        self._stop_time = inf if self._stop.time is None else self._stop.time
        self._tasks: dict[SimulatedTask[Any], None] = {}
        self._flushes = Flushes(
            self.env, engine, self.shared_steps, self.counts, self._stepped, self._flushed
        )
        self._last_activity = 0.0
        self._reported = 0.0
        self.raw_bytes_sent = 0.0
        self.worker_steps = 0
        self._group_numbers: dict[tuple[str, ...], int] = {}
        placed = placements(method.roles(), world.topology, world.pipeline)
        self.members = members_by_role(placed)
        self.nodes = {one.name: self._made(one) for one in placed}
        self.lifecycle = Lifecycle(self, method.roles())
        self._churning = None if self.faults.churn is None else Churning(self, self.faults.churn)
        self._partitions = Partitions(self, self.faults.partitions) if self.faults.partitions else None
        self.microbatches = int(getattr(method, "microbatches", 1))
        checkpoint = world.scenario.faults.checkpoint
        self.checkpoints = None if checkpoint is None else Checkpoints(self, checkpoint)
        self.rollback = None
        if self.checkpoints is not None and self.checkpoints.config.on_failure == "restart":
            self.rollback = Rollback(self, self.checkpoints)
        self.adversary = Adversary(self, world.faults.byzantine) if world.faults.byzantine else None
        self.faces: dict[str, Node] = {
            name: seen_by_its_method(node, self.adversary) for name, node in self.nodes.items()
        }
        section = world.scenario.faults
        self.weather_ahead = bool(section.churn or section.partitions or section.detection)
        """Whether nodes may yet go, come or be separated, or watch each other."""
        self.collectives = Collectives(
            world.scenario.network,
            world.topology,
            {name: node.host for name, node in self.nodes.items()},
            world.cost.charged_bytes,
            self.rings if world.scenario.network.collectives == "fluid" else SteppedRings(),
        )
        self._trained_role = STAGE if STAGE in self.members else "worker"
        self._workers = [self.nodes[name] for name in self.members[self._trained_role]]
        local, evaluated = self._models(method.evaluated_role)
        has_model, stepping = self.lifecycle.has_model, len(self._workers)
        self._evaluation = Evaluation(
            engine, recorder, world.scenario.evaluate, local, evaluated, stepping, has_model
        )

    def _made(self, one: Placed) -> SimulatedNode:
        everybody = self.group_number(self.members[one.role])
        if one.role == STAGE:
            assert self.pipeline is not None, "a world for a method with stages has a pipeline"
            return SimulatedStage(self, self.pipeline, one, everybody)
        return SimulatedNode(self, one, everybody)

    def _models(self, evaluated_role: str) -> tuple[Sequence[HasModel], Sequence[HasModel]]:
        """Whose models are evaluated: the workers' own, and those that the method hands over."""
        if self.pipeline is not None and self._trained_role == STAGE:
            whole = whole_models(self.pipeline, self.nodes, self.engine.initial_params)
            return whole, whole
        handing_over = [self.nodes[name] for name in self.members[evaluated_role]]
        return honest(self._workers, self.adversary), honest(handing_over, self.adversary)

    # -- the loop -------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Run to the end, or until the method aborts, and give the outcome.

        Raises :class:`DeadlockError` if nothing can happen any more before the scenario's `stop`,
        `InvariantError` if clock and work disagree, and whatever a coroutine raises, such as a `PeerLost`
        that the method does not handle.
        """
        with rare_collections() if not self.engine.has_values else nullcontext():
            try:
                return self._run()
            except BaseException:
                for task in list(self._tasks):
                    task.close()
                raise

    def _run(self) -> Outcome:
        if self._churning is not None:
            self._churning.begin()
        if self._churning is not None or self._partitions is not None:
            self.lifecycle.record_start()
        self.failures.begin(self._partitions)
        self.lifecycle.begin()
        self._evaluation.stage(0.0, 0, 0.0)
        self._report()
        env, events, target = self.env, 0, inf
        while True:
            upcoming = env.peek()
            if upcoming > env.now:
                events = 0
                if self._evaluation.due(upcoming):
                    last = self._last_activity if upcoming == inf else min(upcoming, self._stop_time)
                    for moment in self._evaluation.moments(env.now, last):
                        self._evaluation.stage(moment, self.worker_steps, self.network.bytes_sent_at(moment))
                    self._report()
                loss, until = self._evaluation.latest.get("loss", inf), min(upcoming, self._stop_time)
                target = target_moment(self._stop, loss, self.network, env.now, until)
                if upcoming == inf or upcoming >= self._stop_time or target < inf:
                    break
            events += 1
            if events > STUCK_EVENTS:
                raise InvariantError(f"{STUCK_EVENTS} events at {env.now} s without the clock moving")
            try:
                env.step()
            except Aborted as aborted:
                return self._close(float(env.now), str(aborted))
        unfinished = self.lifecycle.unfinished
        if upcoming == inf and unfinished and not self._spent():
            raise DeadlockError(self.lifecycle.explanation())
        return self._close(self._end(upcoming, target, unfinished))

    def _end(self, upcoming: float, target: float, unfinished: list[str]) -> float:
        """When the run ended: at its target, at `stop.time`, or with the last thing that happened."""
        idle = not any(node.under_way for node in self.nodes.values()) and not self.network.flows_in_flight
        if target == inf and (upcoming == inf or (idle and (self._spent() or not unfinished))):
            return self._last_activity
        ended = min(target, self._stop_time)
        if ended > self.env.now:
            self.env.run(until=ended)
        return ended

    def _close(self, ended: float, aborted: str = "") -> Outcome:
        unfinished = sum(node.computing.stop() for node in self.nodes.values())
        for task in list(self._tasks):
            task.close()
        in_flight = close_network(self.network, self.recorder)
        self._evaluation.finish(ended, self.worker_steps, self.network.bytes_sent)
        self._report()
        check_work(self.counts, self._flushes.done)
        work = work_seconds(self.nodes.values(), unfinished)
        if self.scenario.faults != FaultsConfig():
            record_accounts(self.nodes.values(), self.recorder, ended)
        known = {"bytes_in_flight_at_end": in_flight, **work}
        return outcome(self, self._workers, ended, self._evaluation.latest, known, aborted)

    # -- what nodes ask for ---------------------------------------------------------------------------

    def start(
        self, coroutine: Coroutine[Any, Any, T], owner: str | None = None, *, keep_errors: bool = False
    ) -> SimulatedTask[T]:
        """Run a coroutine as a SimPy process; arguments as of `SimulatedTask`."""
        task = SimulatedTask(self.env, coroutine, owner, keep_errors=keep_errors)
        if owner is not None:
            task.incarnation = self.nodes[owner].incarnation
        self._tasks[task] = None
        task.event.callbacks.append(lambda _: self._tasks.pop(task, None))
        return task

    def fail(self, node_id: str) -> None:
        """A node goes down now (see :class:`Lifecycle`). Raises `ValueError` unless it is there and up."""
        self.lifecycle.down(node_id)

    def end_tasks(self, node_id: str, incarnation: int) -> None:
        """End all coroutines of one life of a node."""
        for task in list(self._tasks):
            if task.owner == node_id and task.incarnation == incarnation:
                task.go_down()

    def group_number(self, members: tuple[str, ...]) -> int:
        """A number for a group, the same each time: tags with thousands of names are slow to compare."""
        return self._group_numbers.setdefault(members, len(self._group_numbers))

    def host_of(self, name: str) -> str:
        """Where a node is."""
        return self.nodes[name].host

    def may_continue(self, node: SimulatedNode) -> bool:
        """False once the step budget is spent: the node's own, or everybody's."""
        if self._stop.steps is None:
            return True
        if node.role == self._trained_role and self._method.step_budget == "each":
            return node.steps < self._stop.steps
        return not self._spent()

    def _spent(self) -> bool:
        if self._stop.steps is None:
            return False
        return self.worker_steps >= self._stop.steps * len(self._workers)

    def steps_left(self, node: SimulatedNode) -> int:
        """How many optimizer steps the budget leaves this node."""
        if self._stop.steps is None:
            return 1 << 62
        done = node.steps if self._method.step_budget == "each" else self.worker_steps / len(self._workers)
        return max(0, ceil(self._stop.steps - done))

    def undo_steps(self, node: SimulatedNode, steps: int) -> None:
        """So many steps of a node no longer count: it goes back behind them."""
        self.counts["steps_undone"] += steps
        if node.role == self._trained_role:
            self.worker_steps -= steps

    def ends_in_time(self, seconds: float) -> bool:
        """Whether work that begins now and takes `seconds` is done before the run's last instant."""
        return self.env.now + seconds < self._stop_time

    @property
    def is_over(self) -> bool:
        """Whether everybody has finished, but for nodes that are down and will not return."""
        may_return = (lambda _: False) if self._churning is None else self._churning.may_return
        return self.lifecycle.is_over(may_return)

    def stop_weather(self) -> None:
        """There is nothing more to do: nobody goes or comes any more, but who has gone is still noticed."""
        self.weather_ahead = False
        self.failures.stop()
        if self._churning is not None:
            self._churning.stop()

    @property
    def has_last_instant(self) -> bool:
        """Whether the scenario says when the run ends at the latest."""
        return self._stop_time < inf

    @property
    def last_activity(self) -> float:
        """When something really happened for the last time."""
        return self._last_activity

    def active_until_now(self) -> None:
        """Something really happened now: the run lasts at least until here."""
        self._last_activity = float(self.env.now)
        self._evaluation.commit(self._last_activity)

    def work_begins(self) -> None:
        """A computation starts: models are as the method left them, which is when they are evaluated."""
        self._evaluation.work_begins()

    def finish(
        self, job: Job[Any], node: SimulatedNode, *, gradients: int = 0, steps: int = 0
    ) -> Coroutine[Any, Any, Any]:
        """Await the result of a job whose time has passed."""
        return self._flushes.finish(job, node, gradients, steps)

    def _stepped(self, node: SimulatedNode, steps: int) -> None:
        """A node has taken so many steps in one piece of work."""
        if node.role == self._trained_role:
            node.steps += steps
            self.worker_steps += steps
            if steps and self._churning is not None:
                self._churning.stepped(node)

    def _flushed(self) -> None:
        """All work of an instant is done."""
        self._evaluation.steps_taken(self.worker_steps // len(self._workers))
        if self.weather_ahead and self._spent():
            self.stop_weather()
        self._report(urgent=False)

    # -- messages -------------------------------------------------------------------------------------

    def post(self, source: SimulatedNode, to: str, payload: Any, tag: Hashable) -> Transfer:
        """Put a message on the network; it reaches the receiver's mailbox when it is delivered."""
        if to not in self.nodes:
            raise ValueError(f"{source.id} sends to {to!r}, which is not a node: {', '.join(self.nodes)}")
        target = self.nodes[to]
        model_bytes, other_bytes = payload_bytes(payload)
        charged = payload.charged_bytes if isinstance(payload, Encoded) else None
        transfer = self.carry(source, target, model_bytes, other_bytes, kind=kind_of(tag), charged=charged)
        message = Message(source.id, tag, payload, source.version, source.now, transfer.bytes)
        transfer.delivered.callbacks.append(lambda _: target.deliver(message))
        return transfer

    def carry(
        self,
        source: SimulatedNode,
        target: SimulatedNode,
        model_bytes: float,
        other_bytes: float,
        *,
        kind: str,
        rounds: int = 1,
        charged: float | None = None,
        chained: bool = False,
    ) -> Transfer:
        """Start a flow for so many raw bytes, for `rounds` messages in a row; `chained` as of the network.

        Charged as `charge_as` says, unless it is known what is `charged`.
        """
        raw = model_bytes + other_bytes
        if charged is None:
            charged = self.cost.charged_bytes(model_bytes) + other_bytes
        self.counts["messages"] += 1
        transfer = self.network.send(
            source.host, target.host, charged, raw_bytes=raw, kind=kind, rounds=rounds, chained=chained
        )
        self.failures.watch(transfer, source.id, target.id)
        transfer.delivered.callbacks.append(lambda _: self.active_until_now())
        return transfer

    def _transfer_ended(self, transfer: Transfer) -> None:
        self.failures.ended(transfer)
        left = transfer.bytes - transfer.remaining
        if transfer.bytes > 0 and not transfer.local:
            self.raw_bytes_sent += transfer.raw_bytes * (left / transfer.bytes)
        record_transfer(self.recorder, transfer)

    # -- watching -------------------------------------------------------------------------------------

    def _report(self, urgent: bool = True) -> None:
        """Tell the watcher where the run stands, at most ten times a second unless it is urgent."""
        if self._watch is not None and (urgent or time.monotonic() > self._reported + REPORT_SECONDS):
            self._reported = time.monotonic()
            self._watch(
                Progress(
                    float(self.env.now),
                    self.worker_steps / len(self._workers),
                    self.worker_steps,
                    self.network.bytes_sent,
                    self._evaluation.latest.get("loss", inf),
                )
            )
