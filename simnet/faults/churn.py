"""Which machines go and come when: drawn before a run begins, the same for every algorithm under one seed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from heapq import merge
from math import gamma, inf
from pathlib import Path

import numpy as np

from simnet.faults.places import Places
from simnet.faults.traces import Availability, AvailabilityError, read_availability
from simnet.network import Topology
from simnet.scenario import Scenario, ScenarioError, nearest
from simnet.scenario.churn import (
    ChurnConfig,
    Crash,
    DiurnalChurn,
    ExponentialChurn,
    Join,
    Leave,
    Rejoin,
    TraceChurn,
    WeibullChurn,
)
from simnet.streams import Streams

SCHEDULED = -1
"""The reason to be down that a crash, leave or join without an end gives, and a rejoin takes away."""


@dataclass(frozen=True, slots=True)
class Switch:
    """At a time, hosts get or lose a reason to be down; a host is up when it has none."""

    time: float
    hosts: tuple[str, ...]
    reason: int
    """Which of a host's reasons."""
    down: bool
    cause: str
    """The kind of churn."""
    disk: bool = False
    """Whether a host that goes down has its model when it comes back."""
    says_so: bool = False
    """Whether the others are told, and what is being sent still leaves."""
    lasts: float = inf
    """When a reason that came with a step goes away, counted from then."""


Timeline = Callable[[], Iterator[Switch]]


@dataclass(frozen=True)
class Churn:
    """Everything that goes and comes in one run."""

    timelines: tuple[Timeline, ...] = ()
    """Each gives one sequence of switches, in the order of time; some never end."""
    by_step: Mapping[str, tuple[tuple[int, Switch], ...]] = field(default_factory=dict)
    """What happens to a host after how many steps, in the order of steps; their `time` says nothing."""
    last_up: Mapping[str, float] = field(default_factory=dict)
    """When a host may lose a reason to be down for the last time; infinite where that never ends."""
    on_disk: frozenset[str] = frozenset()
    """The hosts that may keep their model when they go down."""

    def switches(self) -> Iterator[Switch]:
        """All switches at times, in their order."""
        return merge(*(timeline() for timeline in self.timelines), key=lambda switch: switch.time)


def build_churn(scenario: Scenario, topology: Topology) -> Churn | None:
    """The churn of a scenario on the hosts of `topology`; None if there is none.

    Raises :class:`~simnet.scenario.ScenarioError` for nodes and sites that are not there, files that make no
    sense, and nodes that come back without having gone.
    """
    if not scenario.faults.churn:
        return None
    places = Places(scenario, topology)
    timelines: list[Timeline] = []
    by_step: dict[str, list[tuple[int, Switch]]] = {}
    last_up: dict[str, float] = {}
    on_disk: set[str] = set()
    _check_rejoins(scenario, places)
    for index, entry in enumerate(scenario.faults.churn):
        path = ("faults", "churn", index)
        groups = _groups(entry, index, places, Streams(scenario.seed))
        if entry.memory == "disk":
            on_disk.update(host for hosts in groups.values() for host in hosts)
        if isinstance(entry, Crash | Leave) and entry.step is not None:
            switch = _scheduled(entry, index, ())[0]
            for hosts in groups.values():
                for host in hosts:
                    if places.trains(host):
                        by_step.setdefault(host, []).append((entry.step, switch))
                    else:
                        raise ScenarioError.at((*path, "step"), f"{host} takes no steps", expected="`at`")
            continue
        devices = _devices(entry, scenario, path, tuple(groups)) if isinstance(entry, TraceChurn) else {}
        for name, hosts in groups.items():
            last = inf
            timeline: Timeline
            if isinstance(entry, Crash | Leave | Join | Rejoin):
                switches = _scheduled(entry, index, hosts)
                timeline = partial(iter, switches)
                last = max((switch.time for switch in switches if not switch.down), default=0.0)
            else:
                times: Callable[[], Iterator[tuple[float, bool]]]
                if isinstance(entry, TraceChurn):
                    device = devices[name]
                    times = partial(device.switches, entry.at)
                    if device.period is None:
                        last = max((time for time, on in device.switches(entry.at) if on), default=0.0)
                elif isinstance(entry, DiurnalChurn):
                    times = partial(_daily, entry, Streams(scenario.seed), index, name)
                else:
                    times = partial(_renewal, entry, Streams(scenario.seed), index, name)
                timeline = partial(_switches, times, hosts, index, entry.kind, entry.memory == "disk")
            timelines.append(timeline)
            for host in hosts:
                last_up[host] = max(last, last_up.get(host, 0.0))
    ordered = {host: tuple(sorted(entries, key=lambda entry: entry[0])) for host, entries in by_step.items()}
    return Churn(tuple(timelines), ordered, last_up, frozenset(on_disk))


def _groups(entry: ChurnConfig, index: int, places: Places, streams: Streams) -> dict[str, tuple[str, ...]]:
    """The hosts that an entry is about, by the name of those who share their luck."""
    path = ("faults", "churn", index)
    if entry.count is not None:
        if entry.count > len(places.workers):
            raise ScenarioError.at(
                (*path, "count"),
                f"there are only {len(places.workers)} workers",
                given=entry.count,
                expected=f"at most {len(places.workers)}",
            )
        order = streams.generator("churn", index, "who").permutation(len(places.workers))
        hosts = tuple(places.workers[place] for place in sorted(order[: entry.count]))
    elif entry.sites is not None:
        hosts = places.at_sites(entry.sites, (*path, "sites"))
    elif entry.named:
        hosts = places.named(entry.named, (*path, "node" if entry.node is not None else "nodes"))
    else:
        hosts = places.workers
    if entry.together == "all":
        return {"all": hosts} if hosts else {}
    if entry.together == "alone":
        return {host: (host,) for host in hosts}
    groups: dict[str, list[str]] = {}
    for host in hosts:
        groups.setdefault(places.site_of(host, (*path, "together")), []).append(host)
    return {site: tuple(members) for site, members in groups.items()}


def _scheduled(
    entry: Crash | Leave | Join | Rejoin, index: int, hosts: tuple[str, ...]
) -> tuple[Switch, ...]:
    """What happens at times that the scenario says."""
    disk = entry.memory == "disk"
    if isinstance(entry, Join):
        return (
            Switch(0.0, hosts, SCHEDULED, True, entry.kind, disk),
            Switch(entry.at, hosts, SCHEDULED, False, entry.kind),
        )
    if isinstance(entry, Rejoin):
        return (Switch(entry.at, hosts, SCHEDULED, False, entry.kind),)
    says_so, lasts = isinstance(entry, Leave), inf if entry.down is None else entry.down
    reason = SCHEDULED if entry.down is None else index
    at = entry.at or 0.0
    gone = Switch(at, hosts, reason, True, entry.kind, disk, says_so, lasts)
    return (gone,) if entry.down is None else (gone, Switch(at + lasts, hosts, reason, False, entry.kind))


def _check_rejoins(scenario: Scenario, places: Places) -> None:
    """Raises `ScenarioError` where somebody comes back who cannot have gone."""
    entries = scenario.faults.churn
    streams = Streams(scenario.seed)
    goes: dict[str, float] = {}
    for index, entry in enumerate(entries):
        if isinstance(entry, Crash | Leave) and entry.down is None:
            for hosts in _groups(entry, index, places, streams).values():
                for host in hosts:
                    goes[host] = min(goes.get(host, inf), entry.at or 0.0)
    for index, entry in enumerate(entries):
        if isinstance(entry, Rejoin):
            for hosts in _groups(entry, index, places, streams).values():
                for host in hosts:
                    if goes.get(host, inf) >= entry.at:
                        raise ScenarioError.at(
                            ("faults", "churn", index, "at"),
                            f"{host} has not gone by then",
                            given=entry.at,
                            expected="a crash or leave of it before, without `down`",
                        )


def _devices(
    entry: TraceChurn, scenario: Scenario, path: tuple[str | int, ...], names: tuple[str, ...]
) -> dict[str, Availability]:
    """Which device of the file stands for whom."""
    folder = scenario.folder_of((*path, "trace")) or Path()
    try:
        devices = read_availability(folder / entry.trace, scale=entry.scale, period=entry.period)
    except AvailabilityError as error:
        raise ScenarioError.at((*path, "trace"), str(error), given=entry.trace) from None
    if entry.match == "name":
        for name in names:
            if name not in devices:
                raise ScenarioError.at(
                    (*path, "match"),
                    f"the file has no device called {name}",
                    given="name",
                    expected="drawn or order, or a file with a device for each",
                    suggestion=nearest(name, devices),
                )
        return {name: devices[name] for name in names}
    listed = list(devices.values())
    order: Sequence[int] = range(len(listed))
    if entry.match == "drawn":
        draws = Streams(scenario.seed).generator("churn", path[-1], "devices")
        order = draws.permutation(len(listed)).tolist()
    return {name: listed[order[place % len(listed)]] for place, name in enumerate(names)}


# -- when they go and come ----------------------------------------------------------------------------


def _switches(
    times: Callable[[], Iterator[tuple[float, bool]]],
    hosts: tuple[str, ...],
    reason: int,
    cause: str,
    disk: bool,
) -> Iterator[Switch]:
    """The switches of hosts that are up (True) or down from when on; all begin up if nothing else is said."""
    up = True
    for time, now_up in times():
        if now_up != up:
            up = now_up
            yield Switch(time, hosts, reason, not up, cause, disk)


def _renewal(
    entry: ExponentialChurn | WeibullChurn, streams: Streams, index: int, name: str
) -> Iterator[tuple[float, bool]]:
    """Up and down times one after the other, drawn independently."""
    rng = streams.generator("churn", index, name)
    shapes = (entry.down_shape, entry.shape) if isinstance(entry, WeibullChurn) else (1.0, 1.0)
    means = (entry.mean_down, entry.mean_up)
    up, time = True, 0.0
    if entry.start == "random":
        up = bool(rng.random() < entry.mean_up / (entry.mean_up + entry.mean_down))
        time = _rest(rng, means[up], shapes[up])
        yield 0.0, up
        up = not up
        yield time, up
    while True:
        time += _weibull(rng, means[up], shapes[up])
        up = not up
        yield time, up


def _weibull(rng: np.random.Generator, mean: float, shape: float) -> float:
    """A Weibull distributed time with this mean; exponential with shape 1."""
    return mean / gamma(1 + 1 / shape) * float(rng.weibull(shape))


def _rest(rng: np.random.Generator, mean: float, shape: float) -> float:
    """What is left of such a time at a moment in the long run: part of one that is drawn by its length.

    A Weibull variable to the power of its shape is exponential; drawn by length it is Gamma(1 + 1/shape).
    """
    whole = mean / gamma(1 + 1 / shape) * float(rng.gamma(1 + 1 / shape)) ** (1 / shape)
    return whole * float(rng.random())


def _daily(entry: DiurnalChurn, streams: Streams, index: int, name: str) -> Iterator[tuple[float, bool]]:
    """Up from each morning on for a share of the day."""
    morning = entry.rises + entry.spread * float(streams.generator("churn", index, name).random())
    first = (morning % 1.0) * entry.period
    lasts = entry.on * entry.period
    yield 0.0, first + lasts - entry.period > 0 or first == 0
    if first + lasts > entry.period:
        yield first + lasts - entry.period, False
    day = 0
    while True:
        yield first + day * entry.period, True
        yield first + day * entry.period + lasts, False
        day += 1
