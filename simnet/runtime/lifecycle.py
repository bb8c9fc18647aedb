"""The lives of a run's nodes: their roles' coroutines start, end with a crash, and start anew."""

from collections.abc import Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import simpy
from simpy.events import URGENT

from simnet.runtime.node import Node
from simnet.runtime.waiting import SimulatedTask

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun

Roles = Mapping[str, Callable[[Node], Coroutine[Any, Any, None]]]

STALLED = 500
"""After so many changes per node in which nobody took a step, a run without a last instant is given up."""
_LISTED = 20


class DeadlockError(Exception):
    """Nothing can happen any more, yet some coroutine waits; the message says which node waits for what."""


class Lifecycle:
    """Starts and ends what runs on nodes.

    A node that goes down computes nothing any more: what it was computing is wasted, as far as it had come,
    and all its coroutines end with :class:`~simnet.runtime.node.NodeDown`. When it is up again, its role's
    coroutine starts anew on the same node.

    Args:
        run: The run whose nodes these are.
        roles: The coroutine of each role.
    """

    def __init__(self, run: "SimulatedRun", roles: Roles) -> None:
        self._run = run
        self._roles = roles
        self._mains: dict[str, SimulatedTask[None]] = {}
        self._finished: set[str] = set()  # what they had to do, before they went down
        self._gone: dict[str, tuple[float, str]] = {}  # since when, and why
        self._steps_seen, self._changes_since = 0, 0
        self.held_back = False
        """Whether all wait to begin together (see :class:`~simnet.runtime.rollback.Rollback`)."""

    def begin(self) -> None:
        """The run begins: everybody who is there does what its role is."""
        if self._gone and self._run.rollback is not None:
            self._run.rollback.stop_all()
            return
        for name in self._run.nodes:
            if name not in self._gone:
                self._start(name)

    def record_start(self) -> None:
        """Write down who is there at the start."""
        for name in self._run.nodes:
            event, cause = ("absent", self._gone[name][1]) if name in self._gone else ("present", "")
            self._run.recorder.fault(0.0, name, event, cause)

    # -- going and coming -----------------------------------------------------------------------------

    def absent(self, node_id: str, cause: str) -> None:
        """Before the run begins: a node is not there, and everybody knows."""
        self._gone[node_id] = 0.0, cause
        self._run.failures.absent(node_id)

    def down(self, node_id: str, cause: str = "crash", *, says_so: bool = False) -> None:
        """A node goes down now; if it says so, what it is sending still leaves, and the others are told.

        Nothing happens if all have finished: the run is over. Raises `ValueError` for an unknown node and for
        one that is down.
        """
        nodes, env = self._run.nodes, self._run.env
        if node_id not in nodes:
            raise ValueError(f"{node_id!r} cannot go down: it is not a node: {', '.join(nodes)}")
        if node_id in self._gone:
            raise ValueError(f"{node_id} is down already")
        if self._run.is_over:
            return
        if not self.held_back and self._mains[node_id].done:
            self._finished.add(node_id)
        self._gone[node_id] = float(env.now), cause
        self._run.recorder.fault(float(env.now), node_id, "down", cause)
        self._run.failures.down(node_id, says_so=says_so)
        self._run.views.crashed(node_id)
        self.halt(node_id)
        if self._run.rollback is not None:
            self._run.rollback.lost()

    def halt(self, node_id: str) -> None:
        """All that runs on a node ends now."""
        node, env = self._run.nodes[node_id], self._run.env
        node.computing.cut()
        if self._run.checkpoints is not None:
            self._run.checkpoints.drop(node_id)
        # From an event of its own: a process cannot interrupt itself, and this may be called by one of these.
        ending, life = simpy.Event(env), node.incarnation
        ending._ok, ending._value = True, None
        ending.callbacks.append(lambda _: self._run.end_tasks(node_id, life))
        env.schedule(ending, priority=URGENT)
        self._stop_if_over()

    def up(self, node_id: str, cause: str = "crash", *, disk: bool = False) -> None:
        """A node that is down comes up now, with what is on its disk or with the model of the run's start.

        One that had finished still has its result: a model that was handed over is not lost with a machine.

        Nothing happens if all have finished, this one too. Raises `ValueError` for a node that is not down.
        """
        if self._run.is_over and (node_id in self._finished or node_id not in self._gone):
            return
        if node_id not in self._gone:
            raise ValueError(f"{node_id!r} cannot come up: it is not down")
        del self._gone[node_id]
        self._run.recorder.fault(float(self._run.env.now), node_id, "up", cause)
        self._run.failures.up(node_id)
        if self.held_back:
            assert self._run.rollback is not None
            self._run.rollback.returned()
            return
        disk = disk or self._run.checkpoints is not None
        self._run.nodes[node_id].begin_again(disk=disk, finished=node_id in self._finished)
        self._run.views.restarted(node_id)
        self._start(node_id)

    def hold_back(self) -> None:
        """From now on nothing runs on any node, whoever comes up, until all of them begin together."""
        self.held_back = True
        for name in self._run.nodes:
            if name not in self._gone:
                self.halt(name)

    def begin_together(self) -> None:
        """All nodes do what their role is, as at the begin of the run."""
        self.held_back = False
        self._finished.clear()
        self._run.views.begin_together()
        for name in self._run.nodes:
            self._start(name, together=True)

    def _start(self, node_id: str, *, together: bool = False) -> None:
        node, checkpoints = self._run.nodes[node_id], self._run.checkpoints
        coroutine = self._roles[node.role](self._run.faces[node_id])
        alone = node.incarnation > 0 and not together and node_id not in self._finished
        if checkpoints is not None and alone:
            coroutine = checkpoints.alone(node, coroutine)
        main = self._mains[node_id] = self._run.start(coroutine, node_id)
        main.event.callbacks.append(lambda _: self._returned(node_id, main))

    def _returned(self, node_id: str, main: SimulatedTask[None]) -> None:
        if self._mains[node_id] is main and self.is_up(node_id) and not self.held_back:
            self._run.views.ended(node_id)
            self._stop_if_over()

    def _stop_if_over(self) -> None:
        if (self._gone or self._run.weather_ahead) and self._run.is_over:
            self._run.stop_weather()
            if self._gone.keys() <= self._finished:
                self._run.failures.notice_no_more()

    # -- whether anything can still happen ------------------------------------------------------------

    def is_up(self, node_id: str) -> bool:
        """Whether a node is there now."""
        return node_id not in self._gone

    def has_model(self, node_id: str) -> bool:
        """Whether a node's model can be had: it is there, or had finished and handed its model over."""
        return node_id not in self._gone or node_id in self._finished

    @property
    def unfinished(self) -> list[str]:
        """The nodes that are up and have not finished what their role is."""
        if self.held_back:
            return [name for name in self._run.nodes if name not in self._gone]
        return [
            name
            for name, main in self._mains.items()
            if not main.done and name not in self._finished and name not in self._gone
        ]

    @property
    def work_left(self) -> bool:
        """Whether any node, up or down, has not finished what its role is."""
        return any(
            name not in self._finished and (name in self._gone or not main.done)
            for name, main in self._mains.items()
        )

    def is_over(self, may_return: Callable[[str], bool]) -> bool:
        """Whether all have finished but those that are down and will not return."""
        if self.held_back:
            return False
        return not self.unfinished and not any(
            name not in self._finished and may_return(name) for name in self._gone
        )

    def changed(self) -> None:
        """Something came or went, as it may do for ever.

        Raises :class:`DeadlockError` where nobody has taken a step for very long, and no last instant of the
        run is given that would end it.
        """
        if self._run.worker_steps != self._steps_seen or self._run.has_last_instant:
            self._steps_seen, self._changes_since = self._run.worker_steps, 0
        self._changes_since += 1
        if self._changes_since > STALLED * len(self._run.nodes):
            raise DeadlockError(self.explanation(f"{self._changes_since} nodes went or came"))

    def explanation(self, before: str = "") -> str:
        """Who waits for what, since when, and who is down."""
        unfinished = self.unfinished
        since = f"nothing can happen after {self._run.last_activity:.6g} s, but"
        if before:
            since = f"{before} without anybody taking a step:"
        lines = [
            f"  {name} waits for {what} since {moment:.6g} s"
            for name in unfinished
            for what, moment, *_ in self._run.nodes[name].waiting_for.values()
        ]
        gone = self._gone.items()
        lines += [f"  {name} is down since {moment:.6g} s ({cause})" for name, (moment, cause) in gone]
        if len(lines) > _LISTED:
            lines = [*lines[:_LISTED], f"  and {len(lines) - _LISTED} more"]
        head = f"{since} {len(unfinished)} of {len(self._run.nodes)} nodes have not finished:\n"
        return head + "\n".join(lines)
