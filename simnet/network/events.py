"""What `network.events` says, as profiles of the links that are named there."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import networkx as nx

from simnet.network.link_names import LinkNames
from simnet.network.noise import Hop
from simnet.network.profiles import Constant, Profile, Switched, Switches
from simnet.network.rates import Rates
from simnet.scenario import NetworkEvent, ScenarioError

_PATH = ("network", "events")


@dataclass
class _Resource:
    """What happens to one resource: (when, profile) and (when, whether it is down), in the order of time."""

    settings: list[tuple[float, Profile]] = field(default_factory=list)
    switches: list[tuple[float, bool]] = field(default_factory=list)


@dataclass(frozen=True)
class Schedule:
    """The profiles that result from events."""

    capacities: Mapping[int, Profile]
    latencies: Mapping[Hop, Profile]
    switches: Mapping[int, Switches]
    """Of each resource, when it goes down and comes up."""


def scheduled(
    events: Sequence[NetworkEvent],
    graph: "nx.DiGraph[str]",
    names: LinkNames,
    rates: Rates,
    capacities: Sequence[Profile],
    latencies: Mapping[Hop, Profile],
) -> Schedule:
    """The profiles of what events change.

    Args:
        events: What happens when.
        graph: The topology's graph.
        names: The names of its links.
        rates: Reads what links have from then on.
        capacities: What each resource has before.
        latencies: What each way over a link has before.

    Raises:
        ScenarioError: A name is unknown or stands for several links, or an event makes no sense.
    """
    if not events:
        return Schedule({}, {}, {})
    resources: dict[int, _Resource] = {}
    delays: dict[Hop, list[tuple[float, Profile]]] = {}
    for index, event in sorted(enumerate(events), key=lambda entry: entry[1].at):
        path = (*_PATH, index)
        for key, value, resource, name, part in names.bandwidths(event, path):
            profile = rates.bandwidth(value, part, name, (*path, key)) if value else Constant(0.0)
            resources.setdefault(resource, _Resource()).settings.append((event.at, profile))
        for way in names.ways(event.link, path):
            if event.latency is not None:
                link = graph.edges[way]["link"]
                delay = rates.latency(event.latency, link, (*path, "latency"))
                delays.setdefault(way, []).append((event.at, delay))
        if event.down or event.up:
            _switch(event, names.resources(event.link, path), resources, path)
    return Schedule(
        {
            index: _combined(capacities[index], resource.settings, resource.switches)
            for index, resource in resources.items()
        },
        {way: _combined(latencies[way], settings, ()) for way, settings in delays.items()},
        {index: resource.switches for index, resource in resources.items()},
    )


def _switch(
    event: NetworkEvent, affected: Iterable[int], resources: dict[int, _Resource], path: tuple[str | int, ...]
) -> None:
    found = [resources.setdefault(resource, _Resource()) for resource in affected]
    down = bool(event.down)
    if found and all(bool(resource.switches and resource.switches[-1][1]) == down for resource in found):
        key, state = ("down", "down already") if down else ("up", "not down")
        raise ScenarioError.at((*path, key), f"{event.link} is {state} at that time", given=True)
    for resource in found:
        resource.switches.append((event.at, down))


def _combined(
    before: Profile, settings: Sequence[tuple[float, Profile]], switches: Sequence[tuple[float, bool]]
) -> Profile:
    """`before`, then each of the settings from its time on; zero while down."""
    profiles = {0.0: before} | dict(settings)
    downs = {0.0: False} | dict(switches)
    times = sorted(profiles.keys() | downs.keys())
    parts: list[Profile] = []
    for time in times:
        down = downs[max(since for since in downs if since <= time)]
        parts.append(Constant(0.0) if down else profiles[max(since for since in profiles if since <= time)])
    return Switched(tuple(times), tuple(parts)) if len(parts) > 1 else parts[0]


def outages(
    switches: Mapping[int, Sequence[Switches]],
) -> tuple[tuple[float, frozenset[int]], ...]:
    """From when on which resources are down, the first at time 0; empty if none ever is.

    `switches` has, for each resource, one or more reasons to be down, each with its times.
    """
    times = sorted(
        {time for reasons in switches.values() for changes in reasons for time, _ in changes if time < inf}
    )
    if not times:
        return ()

    def down_at(changes: Switches, time: float) -> bool:
        past = bisect_right(changes, time, key=lambda change: change[0])
        return past > 0 and changes[past - 1][1]

    return tuple(
        (
            time,
            frozenset(
                index
                for index, reasons in switches.items()
                if any(down_at(changes, time) for changes in reasons)
            ),
        )
        for time in ([0.0] if times[0] > 0 else []) + times
    )
