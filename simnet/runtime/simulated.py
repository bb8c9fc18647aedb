"""One run under the simulated clock: coroutines on SimPy, flows on the fluid network, work in the engine."""

import gc
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from math import ceil, inf
from typing import Any, TypeVar

import simpy
from simpy.events import EventPriority

from simnet.compute import Engine, Job, TimingEngine, TrainJob
from simnet.compute.charging import even_layers
from simnet.network import Clock, FluidNetwork, InvariantError, Transfer, transport_of
from simnet.results import Recorder
from simnet.runtime.accounts import record_accounts
from simnet.runtime.adversary import Adversary
from simnet.runtime.byzantine_node import honest, seen_by_its_method
from simnet.runtime.checkpoints import Checkpoints
from simnet.runtime.churning import Churning
from simnet.runtime.collectives import Collectives, SteppedRings
from simnet.runtime.evaluation import Evaluation, HasModel
from simnet.runtime.failures import Failures
from simnet.runtime.lifecycle import DeadlockError as DeadlockError
from simnet.runtime.lifecycle import Lifecycle
from simnet.runtime.node import Aborted, Cancelled, Encoded, Message, Node
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

FLUSH_PRIORITY = EventPriority(2)
"""SimPy priority of the engine's flush: after an instant's normal events, before the network's solve."""
REPORT_SECONDS = 0.1
STUCK_EVENTS = 2_000_000
"""So many events without the clock moving are a loop that never waits."""


@dataclass(slots=True, eq=False)
class _Finishing:
    job: Job[Any]
    node: SimulatedNode
    gradients: int
    steps: int
    event: simpy.Event


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
        self.faults = world.faults
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
        self._finishing: list[_Finishing] = []
        self._last_activity = 0.0
        self._reported = 0.0
        self._raw_bytes_sent = 0.0
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
        local: Sequence[HasModel]
        evaluated: Sequence[HasModel]
        if self.pipeline is not None and self._trained_role == STAGE:
            local = evaluated = whole_models(self.pipeline, self.nodes, engine.initial_params)
        else:
            local = honest(self._workers, self.adversary)
            evaluated = honest(
                [self.nodes[name] for name in self.members[method.evaluated_role]], self.adversary
            )
        self._evaluation = Evaluation(
            engine,
            recorder,
            world.scenario.evaluate,
            local,
            evaluated,
            stepping=len(self._workers),
            has_model=self.lifecycle.has_model,
        )

    def _made(self, one: Placed) -> SimulatedNode:
        everybody = self.group_number(self.members[one.role])
        if one.role == STAGE:
            assert self.pipeline is not None, "a world for a method with stages has a pipeline"
            return SimulatedStage(self, self.pipeline, one, everybody)
        return SimulatedNode(self, one, everybody)

    # -- the loop -------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Run to the end, or until the method aborts, and give the outcome.

        Raises :class:`DeadlockError` if nothing can happen any more before the scenario's `stop`,
        `InvariantError` if clock and work disagree, and whatever a coroutine raises, such as a `PeerLost`
        that the method does not handle.
        """
        with _rare_collections() if not self.engine.has_values else nullcontext():
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
                target = self._target_moment(min(upcoming, self._stop_time))
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

    def _target_moment(self, until: float) -> float:
        """When the loss or the bytes of `stop` are reached, if that is before the next event at `until`."""
        stop, now = self._stop, float(self.env.now)
        if stop.loss is not None and self._evaluation.latest.get("loss", inf) <= stop.loss:
            return now
        if stop.bytes is None:
            return inf
        sent = self.network.bytes_sent
        if sent >= stop.bytes:
            return now
        by_then = self.network.bytes_sent_at(until) if until < inf else sent
        if by_then < stop.bytes:
            return inf
        return now + (until - now) * (stop.bytes - sent) / (by_then - sent)  # bytes flow steadily till then

    def _close(self, ended: float, aborted: str = "") -> Outcome:
        unfinished = sum(node.computing.stop() for node in self.nodes.values())
        for task in list(self._tasks):
            task.close()
        self.network.check()
        in_flight = self.network.bytes_in_flight
        self.network.close()
        self.network.check()
        use = self.network.link_use()
        self.recorder.links(
            use.resource, use.start.tolist(), use.end.tolist(), use.bytes.tolist(), use.capacity.tolist()
        )
        self._evaluation.finish(ended, self.worker_steps, self.network.bytes_sent)
        self._report()
        self._check_work()
        work = self._work_seconds(unfinished)
        if self.scenario.faults != FaultsConfig():
            record_accounts(self.nodes.values(), self.recorder, ended)
        busy = sum(node.computing.busy_seconds for node in self._workers)
        return Outcome(
            virtual_seconds=ended,
            steps=self.worker_steps / len(self._workers),
            worker_steps=self.worker_steps,
            bytes_sent=self.network.bytes_sent,
            raw_bytes_sent=self._raw_bytes_sent,
            utilization=busy / (ended * len(self._workers)) if ended > 0 else 0.0,
            final=self._evaluation.latest,
            invariants={
                **self.counts,
                "bytes_sent": self.network.bytes_sent,
                "bytes_received": self.network.bytes_received,
                "bytes_lost": self.network.bytes_lost,
                "bytes_in_flight_at_end": in_flight,
                **work,
            },
            aborted=aborted,
        )

    def _check_work(self) -> None:
        """The clock and the work agree: every charged step was really taken; if only timed, counted."""
        for kind in ("gradients", "steps"):
            charged, done = self.counts[f"{kind}_charged"], self.counts[f"{kind}_{self._done}"]
            if charged != done:
                raise InvariantError(f"{charged} {kind} were charged, {done} were {self._done}")

    def _work_seconds(self, unfinished: float) -> dict[str, float]:
        """Computing time of all nodes, as far as it was charged, and what became of it."""
        charged = sum(node.computing.busy_seconds for node in self.nodes.values())
        wasted = sum(node.computing.wasted_seconds for node in self.nodes.values())
        undone = sum(node.computing.undone_seconds for node in self.nodes.values())
        used = sum(node.computing.used_seconds for node in self.nodes.values()) - unfinished - undone
        if abs(charged - used - wasted - undone - unfinished) > 1e-9 * max(1.0, charged):
            raise InvariantError(
                f"{charged} s of work were charged, but {used} s were used, {wasted} s wasted, "
                f"{undone} s undone and {unfinished} s unfinished"
            )
        return {
            "work_seconds_charged": charged,
            "work_seconds_used": used,
            "work_seconds_wasted": wasted,
            "work_seconds_undone": undone,
            "work_seconds_unfinished": unfinished,
        }

    @property
    def _done(self) -> str:
        """What became of work: a timing-only run computes nothing."""
        return "computed" if self.engine.has_values else "counted"

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

    async def finish(self, job: Job[Any], node: SimulatedNode, *, gradients: int = 0, steps: int = 0) -> Any:
        """Await the result of a job whose time has passed: all of an instant are computed in one flush."""
        entry = _Finishing(job, node, gradients, steps, self.env.event())
        if not self._finishing:
            flush = simpy.Event(self.env)
            flush._ok, flush._value = True, None
            flush.callbacks.append(self._flush)
            self.env.schedule(flush, priority=FLUSH_PRIORITY)
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
        self.shared_steps.forget()
        training = [entry for entry in finishing if isinstance(entry.job, TrainJob)]
        if any(entry.job.result is None for entry in finishing):
            for entry in training:  # their time has passed: nothing can take them back to the old state
                entry.node.exchange_state({})
            self.engine.flush()
        for entry in training:
            if entry.job.result is not None:
                entry.node.exchange_state(entry.job.result.state)
        for entry in finishing:
            result = entry.job.result
            if result is None:
                raise InvariantError(f"a job of {entry.node.id} was charged but not computed")
            self.counts["gradients_charged"] += entry.gradients
            self.counts["steps_charged"] += entry.steps
            gradients, steps = entry.job.computed()
            self.counts[f"gradients_{self._done}"] += gradients
            self.counts[f"steps_{self._done}"] += steps
            if entry.node.role == self._trained_role:
                entry.node.steps += entry.steps
                self.worker_steps += entry.steps
                if entry.steps and self._churning is not None:
                    self._churning.stepped(entry.node)
        self._evaluation.steps_taken(self.worker_steps // len(self._workers))
        if self.weather_ahead and self._spent():
            self.stop_weather()
        self._report(urgent=False)
        for entry in finishing:
            entry.event.succeed(entry.job.result)

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
    ) -> Transfer:
        """Start a flow for so many raw bytes, for `rounds` messages in a row.

        Charged as `charge_as` says, unless it is known what is `charged`.
        """
        raw = model_bytes + other_bytes
        if charged is None:
            charged = self.cost.charged_bytes(model_bytes) + other_bytes
        self.counts["messages"] += 1
        transfer = self.network.send(
            source.host, target.host, charged, raw_bytes=raw, kind=kind, rounds=rounds
        )
        self.failures.watch(transfer, source.id, target.id)
        transfer.delivered.callbacks.append(lambda _: self.active_until_now())
        return transfer

    def _transfer_ended(self, transfer: Transfer) -> None:
        self.failures.ended(transfer)
        left = transfer.bytes - transfer.remaining
        if transfer.bytes > 0 and not transfer.local:
            self._raw_bytes_sent += transfer.raw_bytes * (left / transfer.bytes)
        self.recorder.transfer(
            transfer.id,
            transfer.kind,
            transfer.source,
            transfer.target,
            transfer.raw_bytes,
            transfer.bytes,
            transfer.start,
            transfer.left_at,
            transfer.delivered_at,
            transfer.status,
            transfer.mean_rate,
            transfer.bound,
        )

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


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for garbage in cycles less often: with millions of live events each look takes long.

    Where nothing is computed such garbage holds no tensors, so it may wait.
    """
    before = gc.get_threshold()
    gc.set_threshold(500_000, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
