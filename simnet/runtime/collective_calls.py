"""Which collectives a simulated node takes part in: with whom, under which tag, and what ends them."""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from simnet.runtime.node import GroupChanged
from simnet.runtime.rings import CollectiveTag

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun
    from simnet.runtime.simulated_node import SimulatedNode


class CollectiveCalls:
    """The calls of collectives by one node.

    Args:
        node: Whose they are.
        run: The run that it is in.
        everybody: The number of the group of all nodes of its role.
    """

    def __init__(self, node: "SimulatedNode", run: "SimulatedRun", everybody: int) -> None:
        self._node = node
        self._run = run
        self._everybody = everybody
        self.made: dict[Hashable, int] = {}
        """How many of each kind, in each group and view."""

    def next(self, kind: str, group: Sequence[str] | None) -> tuple[tuple[str, ...], CollectiveTag]:
        """The members, and a tag that the n-th call of this kind in this view shares at each of them.

        Raises :class:`GroupChanged` if this node is not in its view any more: it was down; and `ValueError`
        if it is not in the group.
        """
        node = self._node
        view = node.view
        epoch = view.epoch
        if group is None:
            if not node.in_view:
                raise GroupChanged(f"{node.id} was down: it must regroup() before it takes part again")
            members = view.members
            number = self._everybody if epoch == 0 else self._run.group_number(members)
        else:
            members = tuple(group)
            if node.id not in members:
                raise ValueError(f"{node.id} called {kind} of a group that it is not in: {members}")
            number = self._run.group_number(members)
        key: Hashable = (kind, number) if epoch == 0 else (kind, number, epoch)
        turn = self.made.get(key, 0)
        self.made[key] = turn + 1
        return members, (kind, number if epoch == 0 else (number, epoch), turn)

    @contextmanager
    def together(self, name: str, members: tuple[str, ...]) -> Iterator[None]:
        """Around the steps of a collective: it ends with the loss of a member, and leaves a span."""
        node, run = self._node, self._run
        ticket = run.views.enter(node)
        try:
            with run.failures.together(node.id, members):
                started = node.now
                yield
                run.recorder.span(node.id, "collective", name, started, node.now)
        finally:
            run.views.leave(ticket)
