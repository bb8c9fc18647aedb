"""Views: which nodes of a role take part in its collectives, and how they agree on that anew."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import simpy

from simnet.runtime.node import GroupChanged, PeerLost, Timeout, View
from simnet.runtime.waiting import Ticket, Told

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun
    from simnet.runtime.simulated_node import SimulatedNode

REPORT_BYTES = 16.0
"""Of a member's message to the coordinator: its epoch and its version."""
VIEW_BYTES = 24.0
"""Of the coordinator's answer: epoch, leader and its version; and 8 more for each member."""
KIND = "regroup"


@dataclass(slots=True, eq=False)
class Meeting:
    """A rendezvous: who has come, whom it waits for, and what was agreed on."""

    role: str
    coordinator: str
    quorum: int
    missing: Callable[[], list[str]]
    here: dict[str, None] = field(default_factory=dict)
    told: dict[str, simpy.Event] = field(default_factory=dict)
    urgent: set[int] = field(default_factory=set)
    timed: bool = False
    overdue: bool = False
    concluded: bool = False

    def __str__(self) -> str:
        if self.concluded:
            return f"the new view of {self.role!r} from {self.coordinator}"
        missing = ", ".join(self.missing())
        waits = f"waits for {missing}" if missing else f"{len(self.here)} of at least {self.quorum} are here"
        return f"a new view of {self.role!r}, which {waits}"


class Views:
    """The views of one run, and the meetings at which nodes agree on new ones.

    A request for a new view reaches the members of the old one in two ways. A member's own (it was told of a
    loss) counts at once: whoever is in a collective leaves it with :class:`GroupChanged`. A newcomer's counts
    from the next version on: nobody loses work, since all members finish what they are in.
    """

    def __init__(self, run: "SimulatedRun") -> None:
        self._run = run
        self._inside: dict[simpy.Process, Ticket] = {}
        self._asked: dict[tuple[str, int], int] = {}
        self._meetings: list[Meeting] = []
        self._epochs: dict[str, int] = defaultdict(int)
        self._ended: dict[str, None] = {}
        self._first: dict[str, View] = {}
        run.failures.listeners.append(self._reunite)

    # -- what a node asks for -------------------------------------------------------------------------

    def first(self, role: str) -> View:
        """The view in which a run begins: all nodes of the role."""
        if role not in self._first:
            members = self._run.members[role]
            self._first[role] = View(0, members, members[0], 0, (), over=False)
        return self._first[role]

    def changing(self, node: "SimulatedNode") -> bool:
        """Whether a new view was asked for that `node` should help to agree on, now."""
        if not self._asked:
            return False
        at = self._asked.get((node.role, node.view.epoch))
        return at is not None and node.version >= at

    def enter(self, node: "SimulatedNode") -> Ticket:
        """The current process begins a collective. Raises :class:`GroupChanged` if it must not."""
        if self.changing(node):
            raise GroupChanged(f"a new view of {node.role!r} was asked for")
        process = self._run.env.active_process
        assert process is not None, "a collective is awaited by a coroutine"
        ticket = self._inside[process] = Ticket(node)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """The current process is through with the collective, one way or another."""
        ticket.open = False
        process = self._run.env.active_process
        if process is not None and self._inside.get(process) is ticket:
            del self._inside[process]

    async def regroup(self, node: "SimulatedNode", quorum: int, deadline: float | None) -> View:
        """See :meth:`simnet.runtime.node.Node.regroup`."""
        everybody = len(self._run.members[node.role])
        if not 1 <= quorum <= everybody:
            raise ValueError(f"a quorum of {quorum} among {everybody} nodes of role {node.role!r}")
        while True:
            meeting = self._meeting(node, quorum)
            self._ask(node, meeting)
            if deadline is not None:
                self._set_clock(node, meeting, deadline)
            told = meeting.told[node.id] = self._run.env.event()
            self._report(node, meeting)
            peer = meeting.coordinator if meeting.coordinator != node.id else None
            try:
                answer = await node.wait(told, meeting, peer)
            except PeerLost:
                self._withdraw(node.id, meeting)
                continue
            except BaseException:
                self._withdraw(node.id, meeting)
                raise
            if isinstance(answer, View):
                return answer
            if isinstance(answer, Timeout):
                raise answer

    # -- what happens to nodes ------------------------------------------------------------------------

    def crashed(self, node_id: str) -> None:
        """A node went down: it is at no meeting any more."""
        for meeting in self._meetings:
            self._withdraw(node_id, meeting)

    def lost(self, node_id: str) -> None:
        """It became known that a node is down: meetings do not wait for it any longer."""
        self._drop(node_id)
        self._settle(self._run.nodes[node_id].role)

    def split(self) -> None:
        """It became known that nodes are out of each other's reach: each side goes on by itself."""
        for role in {meeting.role for meeting in self._meetings}:
            self._settle(role)

    def _reunite(self) -> None:
        """Nodes can be reached again: views that know nothing of each other become one."""
        for role, epoch in self._epochs.items():
            if epoch == 0:
                continue
            apart = [one for one in self._meetings if one.role == role and not one.concluded][1:]
            for meeting in apart:
                self._dissolve(meeting)
            views, furthest = self._views_of(self._run.nodes[name] for name in self._run.members[role])
            if len(views) > 1:
                for view in views.values():
                    self._tell(view, role, furthest[view.epoch] + 1)

    def restarted(self, node_id: str) -> None:
        """A node that was down begins anew; what it coordinated begins anew as well."""
        self._ended.pop(node_id, None)
        self._drop(node_id)

    def begin_together(self) -> None:
        """All nodes of the run begin anew, in the view in which it began."""
        self._meetings.clear()
        self._ended.clear()
        self._asked.clear()
        for role, members in self._run.members.items():
            for name in members:
                self._run.nodes[name].join(self.first(role))

    def ended(self, node_id: str) -> None:
        """A node's coroutine returned: views go on without it, once they are as far as it was."""
        self._ended[node_id] = None
        node = self._run.nodes[node_id]
        for meeting in [one for one in self._meetings if one.coordinator == node_id and not one.concluded]:
            self._dissolve(meeting)
        if node.view.epoch > 0:
            self._tell(node.view, node.role, node.version)
        self._settle(node.role)

    # -- meetings -------------------------------------------------------------------------------------

    def _expected(self, role: str, observer: str) -> Iterator[str]:
        """The nodes of a role that are at work, as far as `observer` knows, in rank order."""
        up = self._run.failures.seen_up(observer, self._run.members[role])
        return (name for name in up if name not in self._ended)

    def _meeting(self, node: "SimulatedNode", quorum: int) -> Meeting:
        """The open meeting of the node's role, or a new one at the lowest rank that is up."""
        role = node.role
        expected = tuple(self._expected(role, node.id))
        for meeting in self._meetings:
            if meeting.role == role and not meeting.concluded and meeting.coordinator in expected:
                meeting.quorum = max(meeting.quorum, quorum)
                return meeting
        self._meetings = [
            one for one in self._meetings if any(not told.triggered for told in one.told.values())
        ]
        meeting = Meeting(role, expected[0], quorum, lambda: self._missing(meeting))
        self._meetings.append(meeting)
        return meeting

    def _set_clock(self, node: "SimulatedNode", meeting: Meeting, deadline: float) -> None:
        """The deadline counts from the first member of the latest view: newcomers wait for that view's next
        version, however long it takes."""
        if meeting.timed:
            return
        expected = [self._run.nodes[name] for name in self._expected(node.role, node.id)]
        latest = max((one.view.epoch for one in expected if one.in_view), default=None)
        if latest is None or (node.in_view and node.view.epoch == latest):
            meeting.timed = True
            self._run.env.timeout(deadline).callbacks.append(lambda _: self._close(meeting))

    def _missing(self, meeting: Meeting) -> list[str]:
        expected = self._expected(meeting.role, meeting.coordinator)
        return [name for name in expected if name not in meeting.here]

    def _report(self, node: "SimulatedNode", meeting: Meeting) -> None:
        """Tell the coordinator that one is here; one that is down hears nothing."""
        if meeting.coordinator == node.id:
            self._arrive(node.id, meeting, meeting.told[node.id])
        elif not self._run.failures.is_down(meeting.coordinator):
            coordinator, told = self._run.nodes[meeting.coordinator], meeting.told[node.id]
            report = self._run.carry(node, coordinator, 0.0, REPORT_BYTES, kind=KIND)
            report.delivered.callbacks.append(lambda _: self._arrive(node.id, meeting, told))

    def _arrive(self, node_id: str, meeting: Meeting, told: simpy.Event) -> None:
        if meeting.told.get(node_id) is told and not told.triggered:  # it still waits for this meeting
            meeting.here[node_id] = None
            self._conclude_if_complete(meeting)

    def _withdraw(self, node_id: str, meeting: Meeting) -> None:
        meeting.here.pop(node_id, None)
        meeting.told.pop(node_id, None)

    def _close(self, meeting: Meeting) -> None:
        """The deadline has come: with those who are here if they are enough, or not at all."""
        if meeting.concluded or meeting not in self._meetings:
            return
        meeting.overdue = True
        self._conclude_if_complete(meeting)
        self._give_up_if_too_few(meeting)

    def _give_up_if_too_few(self, meeting: Meeting) -> None:
        """After the deadline; where the coordinator is down they begin again; reports may be under way."""
        if meeting.concluded or not meeting.overdue or self._run.failures.is_down(meeting.coordinator):
            return
        if len(meeting.told) + self._done(meeting.role) < meeting.quorum:
            self._meetings.remove(meeting)
            missed = f"{len(meeting.here)} of at least {meeting.quorum} nodes of role {meeting.role!r} came"
            for told in meeting.told.values():
                told.succeed(Timeout(f"{missed} to a new view before its deadline"))

    def _done(self, role: str) -> int:
        """Nodes that have done all of their work: a quorum does not miss them."""
        return sum(self._run.nodes[name].role == role for name in self._ended)

    def _settle(self, role: str) -> None:
        for meeting in list(self._meetings):
            if meeting.role == role:
                self._conclude_if_complete(meeting)
                self._give_up_if_too_few(meeting)

    def _drop(self, coordinator: str) -> None:
        """Send away whoever waits for this coordinator: they meet again at another."""
        for meeting in [one for one in self._meetings if one.coordinator == coordinator]:
            self._dissolve(meeting)

    def _dissolve(self, meeting: Meeting) -> None:
        self._meetings.remove(meeting)
        for told in meeting.told.values():
            if not told.triggered:
                told.succeed(None)

    def _conclude_if_complete(self, meeting: Meeting) -> None:
        if meeting.concluded or self._run.failures.is_down(meeting.coordinator):
            return
        here = sum(name in meeting.here for name in self._expected(meeting.role, meeting.coordinator))
        if here + self._done(meeting.role) < meeting.quorum:
            return
        if meeting.overdue or not self._missing(meeting):
            self._conclude(meeting)

    def _conclude(self, meeting: Meeting) -> None:
        """Make the view, and let the coordinator tell the members."""
        meeting.concluded = True
        role, nodes = meeting.role, self._run.nodes
        expected = self._expected(role, meeting.coordinator)
        members = tuple(name for name in expected if name in meeting.here)
        leader = max((nodes[name] for name in members), key=lambda one: (one.in_view, one.version, -one.rank))
        behind = tuple(name for name in members if name != leader.id and not _alike(nodes[name], leader))
        gone = [nodes[name] for name in self._run.members[role] if name in self._ended]
        over = bool(gone) and (not leader.in_view or any(one.version <= leader.version for one in gone))
        self._epochs[role] += 1
        view = View(self._epochs[role], members, leader.id, leader.version, behind, over)
        late = {nodes[name].view for name in self._missing(meeting)}
        for name in members:
            nodes[name].join(view)
        for old in late:
            self._tell(old, role, 0)
        coordinator, size = nodes[meeting.coordinator], VIEW_BYTES + 8.0 * len(members)
        for name, told in meeting.told.items():
            if name not in members:  # its report is still under way: it begins again
                told.succeed(None)
            elif name == coordinator.id:
                told.succeed(view)
            else:
                answer = self._run.carry(coordinator, nodes[name], 0.0, size, kind=KIND)
                answer.delivered.callbacks.append(_telling(told, view))

    # -- requests -------------------------------------------------------------------------------------

    def _ask(self, node: "SimulatedNode", meeting: Meeting) -> None:
        """Let everybody of the role know that a meeting is on."""
        if node.in_view:
            if node.view.epoch in meeting.urgent:
                return
            meeting.urgent.add(node.view.epoch)
        others = (self._run.nodes[name] for name in self._expected(node.role, node.id) if name != node.id)
        views, furthest = self._views_of(others)
        for epoch, view in views.items():
            if node.id in view.members:  # they may be waiting for it, or for what it was before it went down
                meeting.urgent.add(epoch)
                self._tell(view, node.role, 0)
            else:
                self._tell(view, node.role, furthest[epoch] + 1)

    def _views_of(self, nodes: Iterable["SimulatedNode"]) -> tuple[dict[int, View], dict[int, int]]:
        """The views of nodes that are at work, by epoch, and how far those who share one have come."""
        views: dict[int, View] = {}
        furthest: dict[int, int] = defaultdict(int)
        for node in nodes:
            if node.id not in self._ended and not self._run.failures.is_down(node.id):
                views[node.view.epoch] = node.view
                furthest[node.view.epoch] = max(furthest[node.view.epoch], node.version)
        return views, furthest

    def _tell(self, view: View, role: str, at: int) -> None:
        """Members of a view leave its collectives once they are at version `at`."""
        key = (role, view.epoch)
        self._asked[key] = min(at, self._asked.get(key, at))
        for process, ticket in list(self._inside.items()):
            node: SimulatedNode = ticket.owner
            if (
                node.role == role
                and node.view.epoch == view.epoch
                and node.version >= at
                and process.is_alive
            ):
                process.interrupt(Told(GroupChanged(f"a new view of {role!r} was asked for"), ticket))


def _alike(node: "SimulatedNode", leader: "SimulatedNode") -> bool:
    """Whether both come from one view and have come as far."""
    return (
        node.in_view
        and leader.in_view
        and node.view.epoch == leader.view.epoch
        and node.version == leader.version
    )


def _telling(told: simpy.Event, view: View) -> Callable[[simpy.Event], None]:
    def tell(_: simpy.Event) -> None:
        if not told.triggered:
            told.succeed(view)

    return tell
