"""What a run's faults say beforehand about links and slow hosts, as rows of its table of faults.

Who goes and comes is recorded as it happens. Faults of links and factors of stragglers over time touch
nobody's life: they act where something is sent or computed, so they are told of by themselves.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from math import prod
from typing import NamedTuple

from simnet.faults.stragglers import timed_factors
from simnet.network import Topology
from simnet.network.link_faults import FaultCourse
from simnet.network.profiles import Profile
from simnet.scenario import Scenario

MOST_ROWS = 100_000
"""Of one run: every link and host tells of an equal share of them at most, and of one change at least."""

_BEGINS = {"down": "link-down", "flapping": "link-down", "degraded": "link-degraded", "lossy": "link-lossy"}
_ENDS = {"link-down": "link-up", "link-degraded": "link-restored", "link-lossy": "link-lossless"}


class Planned(NamedTuple):
    """A row of the table of faults."""

    time: float
    node: str
    """The node, or the link."""
    event: str
    cause: str


def planned_events(
    scenario: Scenario, topology: Topology, hosts: Mapping[str, str], end: float, most: int = MOST_ROWS
) -> list[Planned]:
    """What happens to links and slow hosts before `end`, in the order of time.

    Links go `link-down` and come `link-up`, are `link-degraded` and `link-restored`, `link-lossy` and
    `link-lossless`; nodes are `slow` and go at `full-speed`. The cause is the kind of fault; of stragglers,
    which multiply, with the factor of each. Where one link or node changes too often (see `MOST_ROWS`), an
    event `unlisted` says from when on its further changes are left out.

    Args:
        scenario: What it says under `faults`.
        topology: Of the run.
        hosts: The host of each node of the run; those of others are left out.
        end: Of the run, in virtual seconds.
        most: How many rows there may be, but for the least that every link and node tells.
    """
    courses = topology.dynamics.faults if topology.dynamics is not None else ()
    factors = timed_factors(scenario, topology)
    slowed = [(node, factors[host]) for node, host in hosts.items() if host in factors]
    share = max(1, most // max(1, len(courses) + len(slowed)))
    rows = [row for course in courses for row in _short(_of_link(course, end), share)]
    for node, found in slowed:
        rows += _short(_of_node(node, found, end), share)
    return sorted(rows, key=lambda row: row.time)


def _of_link(course: FaultCourse, end: float) -> Iterator[Planned]:
    begins = _BEGINS[course.kind]
    wrong = False
    for time in _changes([course.wrong], end):
        if (course.wrong.at(time) > 0) != wrong:
            wrong = not wrong
            yield Planned(time, course.link, begins if wrong else _ENDS[begins], course.kind)


def _of_node(node: str, found: Iterable[tuple[str, Profile]], end: float) -> Iterator[Planned]:
    entries = list(found)
    before = ""
    for time in _changes([profile for _, profile in entries], end):
        now = [(kind, profile.at(time)) for kind, profile in entries]
        cause = " and ".join(f"{kind} ({factor:g})" for kind, factor in now if factor != 1)
        if cause != before:
            slow = prod(factor for _, factor in now) != 1
            yield Planned(time, node, "slow" if slow else "full-speed", cause)
            before = cause


def _changes(profiles: Iterable[Profile], end: float) -> Iterator[float]:
    """The start of the run, and when any of the profiles changes before its end."""
    every: list[Callable[[float], float]] = [profile.next_change for profile in profiles]
    time = 0.0
    while time < end:
        yield time
        time = min(change(time) for change in every)


def _short(rows: Iterable[Planned], most: int) -> Iterator[Planned]:
    """So many of the rows; in place of the next one, if there is one, that there are more."""
    for number, row in enumerate(rows):
        if number == most:
            yield row._replace(event="unlisted")
            return
        yield row
