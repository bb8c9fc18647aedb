"""Going back together: what a run does when a node is lost and its checkpoints say `restart`."""

from collections.abc import Hashable
from typing import TYPE_CHECKING

import simpy

from simnet.runtime.checkpoints import Checkpoints
from simnet.runtime.waiting import Until

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun


class Rollback:
    """All nodes stop when the loss of one is noticed, and begin anew together.

    They wait until every node is up, start (`restart_time`), read the last checkpoint that all of them have
    in storage, and their roles' coroutines begin again from there. A node that goes down meanwhile makes them
    wait for it and start once more. What was computed since that checkpoint is undone: charged, done, and for
    nothing.
    """

    def __init__(self, run: "SimulatedRun", checkpoints: Checkpoints) -> None:
        self._run = run
        self._checkpoints = checkpoints
        self._returned: simpy.Event | None = None
        self._losses = 0
        self._lost: str | None = None

    def begins(self, node_id: str) -> bool:
        """A node is noticed to be lost: stop everything. False where nobody has anything left to do."""
        run = self._run
        if run.lifecycle.held_back:
            return True
        if not run.lifecycle.work_left:
            return False
        run.counts["rollbacks"] += 1
        run.recorder.fault(float(run.env.now), node_id, "rollback", "checkpoint")
        self._lost = node_id
        self.stop_all()
        return True

    def stop_all(self) -> None:
        """Nothing runs any more until all nodes are there."""
        run = self._run
        run.lifecycle.hold_back()
        for name, node in run.nodes.items():
            run.failures.cut(name)
            run.rings.lost(name)
            node.note(self)
        run.start(self._recover())

    def lost(self) -> None:
        """A node went down, noticed or not."""
        self._losses += 1

    def returned(self) -> None:
        """A node is up again."""
        if self._returned is not None and not self._absent():
            self._returned.succeed()
            self._returned = None

    def __str__(self) -> str:
        """What everybody waits for meanwhile."""
        absent = self._absent()
        return f"{', '.join(absent)} to come back" if absent else "the last checkpoint to be read"

    def _absent(self) -> list[str]:
        return [name for name in self._run.nodes if self._run.failures.is_down(name)]

    def _collectives_called(self) -> dict[Hashable, int]:
        """The most calls of each collective by any node, so that what was left half done is never met
        again."""
        most: dict[Hashable, int] = {}
        for node in self._run.nodes.values():
            for key, calls in node.calls.made.items():
                most[key] = max(calls, most.get(key, 0))
        return most

    async def _recover(self) -> None:
        run, checkpoints = self._run, self._checkpoints
        number, losses = checkpoints.last_common(), -1
        while losses != self._losses:
            if self._absent():
                self._returned = run.env.event()
                await Until(self._returned)
            losses = self._losses
            await Until(run.env.timeout(checkpoints.config.restart_time))
            reading = [run.start(checkpoints.read(name, number)) for name in run.nodes]
            for task in reading:
                await task
        calls = self._collectives_called()
        checkpoints.go_back(number)
        for node in run.nodes.values():
            node.calls.made = dict(calls)  # all number their next ones alike
            node.unnote(self)
        run.active_until_now()
        if self._lost is not None:
            run.recorder.fault(float(run.env.now), self._lost, "restarted", "checkpoint")
            self._lost = None
        run.lifecycle.begin_together()
