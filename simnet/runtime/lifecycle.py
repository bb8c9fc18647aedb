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
        self._finished: set[str] = set()  # what they had to do before they went down
        self.held_back = False
        """Whether all wait to begin together (see :class:`~simnet.runtime.rollback.Rollback`)."""

    def begin(self) -> None:
        """The run begins: everybody who is there does what its role is."""
        for name in self._run.nodes:
            if not self._run.failures.is_down(name):
                self._start(name)

    def down(self, node_id: str) -> None:
        """A node goes down now. Raises `ValueError` for an unknown node and for one that is down."""
        nodes, failures = self._run.nodes, self._run.failures
        if node_id not in nodes:
            raise ValueError(f"{node_id!r} cannot go down: it is not a node: {', '.join(nodes)}")
        if failures.is_down(node_id):
            raise ValueError(f"{node_id} is down already")
        if self._mains[node_id].done:
            self._finished.add(node_id)
        failures.down(node_id)
        self.halt(node_id)
        if self._run.rollback is not None:
            self._run.rollback.lost()

    def halt(self, node_id: str) -> None:
        """All that runs on a node ends now."""
        node = self._run.nodes[node_id]
        node.cut_computation()
        if self._run.checkpoints is not None:
            self._run.checkpoints.drop(node_id)
        # From an event of its own: a process cannot interrupt itself, and this may be called by one of these.
        ending, life = simpy.Event(self._run.env), node.incarnation
        ending._ok, ending._value = True, None
        ending.callbacks.append(lambda _: self._run.end_tasks(node_id, life))
        self._run.env.schedule(ending, priority=URGENT)

    def up(self, node_id: str, *, disk: bool = False) -> None:
        """A node that is down comes up now, with what is on its disk or with the model of the run's start.

        Raises `ValueError` for a node that is not down.
        """
        if not self._run.failures.is_down(node_id):
            raise ValueError(f"{node_id!r} cannot come up: it is not down")
        self._run.failures.up(node_id)
        if self.held_back:
            assert self._run.rollback is not None
            self._run.rollback.returned()
            return
        self._run.nodes[node_id].begin_again(disk=disk or self._run.checkpoints is not None)
        self._start(node_id)

    def hold_back(self) -> None:
        """From now on nothing runs on any node, whoever comes up, until all of them begin together."""
        self.held_back = True
        for name in self._run.nodes:
            if not self._run.failures.is_down(name):
                self.halt(name)

    def begin_together(self) -> None:
        """All nodes do what their role is, as at the begin of the run."""
        self.held_back = False
        self._finished.clear()
        for name in self._run.nodes:
            self._start(name, together=True)

    @property
    def unfinished(self) -> list[str]:
        """The nodes that are up and have not finished what their role is."""
        if self.held_back:
            return [name for name in self._run.nodes if not self._run.failures.is_down(name)]
        return [
            name
            for name, main in self._mains.items()
            if not main.done and name not in self._finished and not self._run.failures.is_down(name)
        ]

    def _start(self, node_id: str, *, together: bool = False) -> None:
        node, checkpoints = self._run.nodes[node_id], self._run.checkpoints
        main = self._roles[node.role](node)
        if checkpoints is not None and node.incarnation > 0 and not together:
            main = checkpoints.alone(node, main)
        self._mains[node_id] = self._run.start(main, node_id)
