"""How the nodes of an emulation agree on a new view: the driver is their coordinator.

The same agreement as `simnet.runtime.views`, by messages on the control sockets in place of the network:
nodes report, the driver waits until everybody who is up and at work has done so, and tells them the view.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from simnet.runtime.node import View

Side = tuple[str, Hashable]
"""A role, and which side of all partitions: whose nodes meet each other."""
Tell = Callable[[str, dict[str, Any]], None]
"""Tells a node's host something."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a node says when it wants a new view, and where a node stands that does not."""

    epoch: int
    version: int
    in_view: bool
    """Whether it has been a member of that view ever since."""


@dataclass
class _Meeting:
    quorum: int
    deadline: float | None
    here: dict[str, Report] = field(default_factory=dict)
    urgent: set[int] = field(default_factory=set)
    overdue: bool = False


class Meetings:
    """The meetings of one run.

    Args:
        members: The nodes of each role, in rank order.
        tell: Tells a node's host something.
        later: Calls something after so many seconds.
    """

    def __init__(
        self,
        members: Mapping[str, tuple[str, ...]],
        tell: Tell,
        later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self._members = members
        self._role = {name: role for role, names in members.items() for name in names}
        self._tell = tell
        self._later = later
        self._open: dict[Side, _Meeting] = {}
        self._sides: Mapping[str, Hashable] = {}
        self._epochs = dict.fromkeys(members, 0)
        self._standing = {name: Report(0, 0, in_view=True) for name in self._role}
        self._views = {
            (role, 0): View(0, names, names[0], 0, (), over=False) for role, names in members.items()
        }
        self._down: set[str] = set()
        self._ended: set[str] = set()

    # -- what nodes say -------------------------------------------------------------------------------

    def stands(self, name: str, report: Report) -> None:
        """Where a node is."""
        self._standing[name] = report

    def comes(self, name: str, report: Report, quorum: int, deadline: float | None) -> None:
        """A node asks for a new view, and waits for it."""
        self._standing[name] = report
        self._ask(name, report, self._meet(name, report, quorum, deadline))
        self._conclude_if_complete(self._side(name))

    def ended(self, name: str, report: Report) -> None:
        """A node has done all that its role is."""
        side = self._side(name)
        self._standing[name] = report
        self._ended.add(name)
        if report.epoch > 0:
            self._request(side, report.epoch, report.version)
        self._conclude_if_complete(side)

    def down(self, name: str) -> None:
        """A node is gone."""
        self._down.add(name)
        side = self._side(name)
        if side in self._open:
            self._open[side].here.pop(name, None)
        self._conclude_if_complete(side)

    def up(self, name: str) -> None:
        """A node is back, and knows nothing."""
        self._down.discard(name)
        self._ended.discard(name)
        self._standing[name] = Report(0, 0, in_view=False)

    def separate(self, sides: Mapping[str, Hashable]) -> None:
        """From now on each side goes on by itself: nodes meet those of their own. Sides that become one find
        back together, after the round that each of them is in."""
        self._sides = sides
        before, self._open = self._open, {}
        for meeting in before.values():
            for name, report in meeting.here.items():
                self._ask(name, report, self._meet(name, report, meeting.quorum, meeting.deadline))
        for side in dict.fromkeys(map(self._side, self._role)):
            furthest = self._furthest(self._expected(side))
            if len(furthest) > 1:
                for epoch, version in furthest.items():
                    self._request(side, epoch, version + 1)
            self._conclude_if_complete(side)

    # -- agreeing -------------------------------------------------------------------------------------

    def _side(self, name: str) -> Side:
        return self._role[name], self._sides.get(name)

    def _meet(self, name: str, report: Report, quorum: int, deadline: float | None) -> _Meeting:
        """Let a node come to its side's meeting."""
        side = self._side(name)
        meeting = self._open.get(side)
        if meeting is None:
            meeting = self._open[side] = _Meeting(quorum, deadline)
            if deadline is not None:
                self._later(deadline, partial(self._close, side, meeting))
        meeting.quorum = max(meeting.quorum, quorum)
        meeting.here[name] = report
        return meeting

    def _expected(self, side: Side) -> list[str]:
        gone = self._down | self._ended
        return [name for name in self._members[side[0]] if name not in gone and self._side(name) == side]

    def _furthest(self, names: Iterable[str]) -> dict[int, int]:
        """How far nodes in each view have come, by its epoch."""
        furthest: dict[int, int] = {}
        for name in names:
            stands = self._standing[name]
            furthest[stands.epoch] = max(furthest.get(stands.epoch, 0), stands.version)
        return furthest

    def _ask(self, name: str, report: Report, meeting: _Meeting) -> None:
        """Let everybody of the role know that a meeting is on; see `Views._ask`."""
        side = self._side(name)
        if report.in_view:
            if report.epoch in meeting.urgent:
                return
            meeting.urgent.add(report.epoch)
        for epoch, version in self._furthest(
            other for other in self._expected(side) if other != name
        ).items():
            if name in self._views[side[0], epoch].members:
                meeting.urgent.add(epoch)
                self._request(side, epoch, 0)
            else:
                self._request(side, epoch, version + 1)

    def _request(self, side: Side, epoch: int, at: int) -> None:
        for name in self._expected(side):
            self._tell(name, {"ask": [side[0], epoch, at]})

    def _close(self, side: Side, meeting: _Meeting) -> None:
        """The deadline has come: with those who are here if they are enough, or not at all."""
        if self._open.get(side) is not meeting:
            return
        meeting.overdue = True
        self._conclude_if_complete(side)
        if self._open.get(side) is meeting:
            del self._open[side]
            for name in meeting.here:
                missed = f"{len(meeting.here)} of at least {meeting.quorum} nodes of role {side[0]!r} came"
                self._tell(name, {"no_view": name, "why": f"{missed} to a new view before its deadline"})

    def _conclude_if_complete(self, side: Side) -> None:
        meeting = self._open.get(side)
        if meeting is None:
            return
        expected = self._expected(side)
        members = tuple(name for name in expected if name in meeting.here)
        missing = [name for name in expected if name not in meeting.here]
        if len(members) < meeting.quorum or (missing and not meeting.overdue):
            return
        del self._open[side]
        view = self._view(side[0], members)
        late = {self._standing[name].epoch for name in missing}
        for name in members:
            self._standing[name] = Report(view.epoch, self._standing[name].version, in_view=True)
            self._tell(name, {"view": asdict(view), "node": name})
        for epoch in late:
            self._request(side, epoch, 0)

    def _view(self, role: str, members: tuple[str, ...]) -> View:
        ranks = {name: rank for rank, name in enumerate(self._members[role])}
        stands = self._standing
        leader = max(members, key=lambda one: (stands[one].in_view, stands[one].version, -ranks[one]))
        at = stands[leader]
        behind = tuple(name for name in members if name != leader and not _alike(stands[name], at))
        gone = [stands[name] for name in self._members[role] if name in self._ended]
        over = bool(gone) and (not at.in_view or any(one.version <= at.version for one in gone))
        self._epochs[role] += 1
        view = View(self._epochs[role], members, leader, at.version, behind, over)
        self._views[role, view.epoch] = view
        return view


def _alike(one: Report, leader: Report) -> bool:
    """Whether both come from one view and have come as far."""
    same = (one.epoch, one.version) == (leader.epoch, leader.version)
    return one.in_view and leader.in_view and same


def view_of(told: Mapping[str, Any]) -> View:
    """A view as it comes out of JSON."""
    return View(**(dict(told) | {key: tuple(told[key]) for key in ("members", "behind")}))
