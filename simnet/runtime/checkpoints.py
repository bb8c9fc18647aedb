"""Checkpoints in a simulated run: when they are due, what they stall, and when storage has them."""

from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Any

import simpy
from torch import Tensor

from simnet.faults.checkpoint import CheckpointCost, optimal_interval
from simnet.runtime.payload import payload_bytes
from simnet.runtime.storage import Access, Storage
from simnet.runtime.waiting import Turn, Until
from simnet.scenario import CheckpointConfig, Interval, ScenarioError

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun
    from simnet.runtime.simulated_node import SimulatedNode

Memory = tuple[Tensor, Any, int, Mapping[str, Any]]
"""Parameters, optimizer state, version, and what the method keeps."""


@dataclass(frozen=True, slots=True)
class NodeState:
    """All that a node goes back to: values, which nobody changes in place."""

    memory: Memory
    steps: int
    batches_drawn: int
    luck: Mapping[str, Any]
    """Where `node.rng` stood."""
    incarnation: int
    useful_seconds: float
    """Computed until then, without what turned out to be for nothing."""

    def bytes(self) -> float:
        """Of all tensors, as they are held here."""
        return payload_bytes(self.memory)[0]


@dataclass(slots=True, eq=False)
class Checkpoint:
    """One node's checkpoint."""

    number: int
    """Of the safe point at which it was taken."""
    state: NodeState
    bytes: float
    in_buffer: bool = False
    access: Access | None = None


@dataclass(slots=True)
class _Own:
    """What is known of one node."""

    points: int = 0
    """Safe points that it has passed."""
    began: float = 0.0
    """When its last checkpoint did."""
    at_steps: int = 0
    """Its steps then."""
    committed: dict[int, Checkpoint] = field(default_factory=dict)
    under_way: list[Checkpoint] = field(default_factory=list)
    freed: simpy.Event | None = None
    """Fires when the host's memory has room again."""


class Checkpoints:
    """Takes checkpoints at safe points: each time a method's coroutine asks whether it is `running`.

    With `on_failure: restart` the first node that gets to its n-th safe point decides for all of them, so
    that checkpoints of one number fit together; otherwise each node decides alone.
    """

    def __init__(self, run: "SimulatedRun", config: CheckpointConfig) -> None:
        self._run = run
        mode = run.scenario.algorithms[0].checkpoint or config.mode
        self.config = config = config.model_copy(update={"mode": mode})
        together = config.shared_bandwidth or inf
        self.storage = Storage(run.env, config.storage_bandwidth, together)
        self._share = min(config.storage_bandwidth, together / len(run.nodes))
        # The start of the run counts as a checkpoint, which every node makes anew out of nothing.
        self._own = {
            name: _Own(committed={0: Checkpoint(0, node.state(), 0.0)}) for name, node in run.nodes.items()
        }
        self._decided: dict[int, bool] = {}
        self._began = 0.0
        self._at_steps = 0
        self._interval = config.interval if isinstance(config.interval, Interval) else self._optimal()

    # -- when -----------------------------------------------------------------------------------------

    def _optimal(self) -> Interval:
        between_failures = self._run.faults.mean_seconds_between_failures
        if between_failures is None:
            raise ScenarioError.at(
                ("faults", "checkpoint", "interval"),
                "there is no mean time between failures to work it out from",
                given="optimal",
                expected="a time or a number of steps, or `faults.churn` with exponential up times",
            )
        costs = [self.cost(node, self.bytes_of(node.state())) for node in self._run.nodes.values()]
        dearest = max(costs, key=lambda cost: (cost.stall_seconds(), cost.commit_seconds))
        return Interval(seconds=optimal_interval(dearest, between_failures))

    def bytes_of(self, state: NodeState) -> float:
        """What a checkpoint is charged."""
        return self.config.size or self._run.cost.charged_bytes(state.bytes())

    def cost(self, node: "SimulatedNode", size: float) -> CheckpointCost:
        """What a checkpoint of this node takes when all nodes write at once."""
        config = self.config
        return CheckpointCost(size, config.device_to_host, self._share, config.mode, node.pass_seconds())

    def safe_point(self, node: "SimulatedNode") -> None:
        """`node` is at a safe point now: take a checkpoint if it is time."""
        own = self._own[node.id]
        own.points += 1
        if self.config.on_failure == "restart":
            if own.points not in self._decided:
                due = self._decided[own.points] = self._due(self._began, node.steps - self._at_steps)
                if due:
                    self._began, self._at_steps = node.now, node.steps
            due = self._decided[own.points]
        else:
            due = self._due(own.began, node.steps - own.at_steps)
        if due:
            own.began, own.at_steps = node.now, node.steps
            self._take(node, own)

    def _due(self, began: float, steps: int) -> bool:
        if self._interval.steps is not None:
            return steps >= self._interval.steps
        assert self._interval.seconds is not None
        return float(self._run.env.now) - began >= self._interval.seconds

    # -- taking one -----------------------------------------------------------------------------------

    def _take(self, node: "SimulatedNode", own: _Own) -> None:
        state = node.state()
        checkpoint = Checkpoint(own.points, state, self.bytes_of(state))
        self._run.counts["checkpoints_begun"] += 1
        own.under_way.append(checkpoint)
        # The device is asked for now, so that whatever the coroutine computes next comes after the stall.
        turn = node.computing.turn()
        self._run.start(self._stall(node, own, checkpoint, turn), node.id)

    async def _stall(self, node: "SimulatedNode", own: _Own, checkpoint: Checkpoint, turn: Turn) -> None:
        env, cost = self._run.env, self.cost(node, checkpoint.bytes)
        with turn:
            await Until(turn)
            started = float(env.now)
            try:
                if cost.mode == "synchronous":
                    await Until(env.timeout(cost.copy_seconds))
                    await self._write(checkpoint)
                    self._commit(node, own, checkpoint)
                    return
                while not self._has_room(own, checkpoint):
                    own.freed = env.event()
                    await Until(own.freed)
                checkpoint.in_buffer = True
                copied = env.timeout(cost.copy_seconds)
                self._run.start(self._flush(node, own, checkpoint, copied), node.id)
                await Until(env.timeout(cost.stall_seconds()))
            finally:
                self._run.recorder.span(node.id, "checkpoint", cost.mode, started, float(env.now))
                node.computing.stalled_seconds += float(env.now) - started

    async def _flush(
        self, node: "SimulatedNode", own: _Own, checkpoint: Checkpoint, copied: simpy.Event
    ) -> None:
        """From the host's memory to storage: a lazy checkpoint while it is copied there, a snapshot after
        that."""
        if self.config.mode == "snapshot":
            await Until(copied)
            await self._write(checkpoint)
        else:
            await self._write(checkpoint)
            await Until(copied)
        self._commit(node, own, checkpoint)

    async def _write(self, checkpoint: Checkpoint) -> None:
        checkpoint.access = self.storage.access(checkpoint.bytes)
        await Until(checkpoint.access.done)

    def _has_room(self, own: _Own, checkpoint: Checkpoint) -> bool:
        room = self.config.host_buffer or checkpoint.bytes
        if checkpoint.bytes > room:
            raise ScenarioError.at(
                ("faults", "checkpoint", "host_buffer"),
                "too small for one checkpoint",
                given=room,
                expected=f"at least {checkpoint.bytes:g} bytes",
            )
        return sum(one.bytes for one in own.under_way if one.in_buffer) + checkpoint.bytes <= room

    def _commit(self, node: "SimulatedNode", own: _Own, checkpoint: Checkpoint) -> None:
        own.under_way.remove(checkpoint)
        own.committed[checkpoint.number] = checkpoint
        self._run.counts["checkpoints_committed"] += 1
        if self.config.on_failure == "continue":
            node.put_on_disk(checkpoint.state)
        if own.freed is not None:
            own.freed.succeed()
            own.freed = None
        self._forget_older()

    def _forget_older(self) -> None:
        """Nobody goes back behind the last checkpoint that all have (or, alone, behind a node's last one)."""
        if self.config.on_failure == "restart":
            last = self.last_common()
            for own in self._own.values():
                own.committed = {number: one for number, one in own.committed.items() if number >= last}
        else:
            for own in self._own.values():
                last = max(own.committed)
                own.committed = {last: own.committed[last]}

    # -- going back -----------------------------------------------------------------------------------

    def drop(self, node_id: str) -> None:
        """What storage does not have yet is lost: the node or its process is gone."""
        own = self._own[node_id]
        for checkpoint in own.under_way:
            if checkpoint.access is not None:
                self.storage.abandon(checkpoint.access)
        self._run.counts["checkpoints_lost"] += len(own.under_way)
        own.under_way.clear()
        own.freed = None

    def last_common(self) -> int:
        """The number of the last checkpoint that every node has in storage; 0 for the start of the run."""
        return max(set.intersection(*(set(own.committed) for own in self._own.values())))

    async def read(self, node_id: str, number: int) -> None:
        """Let the time pass that reading a checkpoint takes, from storage to the device."""
        size = self._own[node_id].committed[number].bytes
        if size > 0:
            await Until(self.storage.access(size).done)
            await Until(self._run.env.timeout(size / self.config.device_to_host))

    def go_back(self, number: int) -> None:
        """All nodes are as they were at that safe point, and will come to it next."""
        self._decided = {number: False}
        self._began, self._at_steps = float(self._run.env.now), 0
        for name, own in self._own.items():
            own.points = max(0, number - 1)
            own.committed = {number: own.committed[number]}
            node, state = self._run.nodes[name], own.committed[number].state
            self._at_steps = max(self._at_steps, state.steps)
            self._run.undo_steps(node, node.steps - state.steps)
            _go_back(node, state)

    async def alone(self, node: "SimulatedNode", main: Coroutine[Any, Any, None]) -> None:
        """A node that came back on its own: it starts, reads its last checkpoint, and does what its role
        is."""
        own = self._own[node.id]
        try:
            await Until(self._run.env.timeout(self.config.restart_time))
            await self.read(node.id, max(own.committed))
        except BaseException:
            main.close()
            raise
        own.began, own.at_steps = node.now, node.steps
        await main


def _go_back(node: "SimulatedNode", state: NodeState) -> None:
    """A node comes up as it was then, with everything since undone."""
    node.put_on_disk(state)
    node.begin_again(disk=True)
    node.incarnation = state.incarnation
    node.steps, node.batches_drawn = state.steps, state.batches_drawn
    node.rng.bit_generator.state = dict(state.luck)
    node.computing.undone_seconds += node.computing.useful_seconds - state.useful_seconds
