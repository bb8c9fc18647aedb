"""What `network.events` says, as profiles of the links that are named there."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import networkx as nx

from simnet.network.noise import Hop
from simnet.network.profiles import Constant, Profile, Switched
from simnet.network.rates import Rates
from simnet.scenario import NetworkEvent, ScenarioError, Varying, nearest

_PATH = ("network", "events")
_LISTED = 8


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
    outages: tuple[tuple[float, frozenset[int]], ...]
    """From when on which resources are down; the first at time 0."""


def scheduled(
    events: Sequence[NetworkEvent],
    graph: "nx.DiGraph[str]",
    rates: Rates,
    capacities: Sequence[Profile],
    latencies: Mapping[Hop, Profile],
    efficiency: float = 1.0,
    absent: Iterable[str] = (),
) -> Schedule:
    """The profiles of what events change.

    Args:
        events: What happens when.
        graph: The topology's graph.
        rates: Reads what links have from then on.
        capacities: What each resource has before.
        latencies: What each way over a link has before.
        efficiency: The part of a node's own up- or downlink that carries payload.
        absent: Nodes that this network lacks, but that of another algorithm has: their events do not matter.

    Raises:
        ScenarioError: A name is unknown or stands for several links, or an event makes no sense.
    """
    if not events:
        return Schedule({}, {}, ())
    names = _Names(graph, frozenset(absent), efficiency)
    resources: dict[int, _Resource] = {}
    delays: dict[Hop, list[tuple[float, Profile]]] = {}
    for index, event in sorted(enumerate(events), key=lambda entry: entry[1].at):
        path = (*_PATH, index)
        for key, value, resource, name, part in names.bandwidths(event, path):
            profile = rates.bandwidth(value, part, name, (*path, key)) if value else Constant(0.0)
            resources.setdefault(resource, _Resource()).settings.append((event.at, profile))
        for way in names.ways(event, path):
            if event.latency is not None:
                link = graph.edges[way]["link"]
                delay = rates.latency(event.latency, link, (*path, "latency"))
                delays.setdefault(way, []).append((event.at, delay))
        if event.down or event.up:
            _switch(event, names.resources(event, path), resources, path)
    return Schedule(
        {
            index: _combined(capacities[index], resource.settings, resource.switches)
            for index, resource in resources.items()
        },
        {way: _combined(latencies[way], settings, ()) for way, settings in delays.items()},
        _outages({index: resource.switches for index, resource in resources.items()}),
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


def _outages(
    switches: Mapping[int, Sequence[tuple[float, bool]]],
) -> tuple[tuple[float, frozenset[int]], ...]:
    times = sorted({time for changes in switches.values() for time, _ in changes})
    if not times:
        return ()

    def down_at(changes: Sequence[tuple[float, bool]], time: float) -> bool:
        past = bisect_right(changes, time, key=lambda change: change[0])
        return past > 0 and changes[past - 1][1]

    return tuple(
        (time, frozenset(index for index, changes in switches.items() if down_at(changes, time)))
        for time in ([0.0] if times[0] > 0 else []) + times
    )


class _Names:
    """The names by which events know the links of a network."""

    def __init__(self, graph: "nx.DiGraph[str]", absent: frozenset[str], efficiency: float) -> None:
        self._graph = graph
        self._efficiency = efficiency
        self._absent = absent
        self._ways: dict[str, tuple[Hop, ...]] = {}
        self._ambiguous: set[str] = set()
        for a, b in graph.edges:
            both: tuple[Hop, ...] = ((a, b), (b, a)) if graph.has_edge(b, a) else ((a, b),)
            self._add(f"{a}->{b}", ((a, b),))
            self._add(f"{a}-{b}", both)
            self._add(f"{b}-{a}", both)
        for node in graph:
            near = {*graph.successors(node), *graph.predecessors(node)}
            if len(near) == 1:
                (other,) = near
                both = tuple(way for way in ((node, other), (other, node)) if graph.has_edge(*way))
                self._add(node, both)

    def _add(self, name: str, ways: tuple[Hop, ...]) -> None:
        known = self._ways.setdefault(name, ways)
        if set(known) != set(ways):
            self._ambiguous.add(name)

    def ways(self, event: NetworkEvent, path: tuple[str | int, ...]) -> tuple[Hop, ...]:
        """The ways over the link that an event names; none where it names a node."""
        name = event.link
        if name is None or name in self._absent or self._is_of_absent(name):
            return ()
        if name in self._ambiguous:
            raise ScenarioError.at(
                (*path, "link"),
                "could be more than one link",
                given=name,
                expected="one direction each, as a->b",
            )
        if name not in self._ways:
            raise ScenarioError.at(
                (*path, "link"),
                "there is no link of this name",
                given=name,
                expected=f"a-b, a->b, or a node with one link; links: {self._listed()}",
                suggestion=nearest(name, self._ways),
            )
        return self._ways[name]

    def resources(self, event: NetworkEvent, path: tuple[str | int, ...]) -> list[int]:
        """The resources of the link that an event names, each once."""
        ways = self.ways(event, path)
        for way in ways:
            if self._graph.edges[way]["duplex"] == "half" and len(ways) == 1:
                raise ScenarioError.at(
                    (*path, "link"),
                    "a half-duplex link has one bandwidth for both directions",
                    given=event.link,
                    expected=f"{way[0]}-{way[1]}",
                )
        return list(dict.fromkeys(self._graph.edges[way]["resource"] for way in ways))

    def bandwidths(
        self, event: NetworkEvent, path: tuple[str | int, ...]
    ) -> list[tuple[str, float | Varying, int, str, float]]:
        """What gets another bandwidth: the event's key, its value, the resource, its name and efficiency."""
        found: list[tuple[str, float | Varying, int, str, float]] = []
        if event.bandwidth is not None:
            self.resources(event, path)
            for way in self.ways(event, path):
                edge = self._graph.edges[way]
                found.append(
                    ("bandwidth", event.bandwidth, edge["resource"], edge["link"], edge["config"].efficiency)
                )
        for key, value in (("uplink", event.uplink), ("downlink", event.downlink)):
            if value is not None and event.node is not None and event.node not in self._absent:
                resource, name, efficiency = self._own(event.node, key, (*path, "node"))
                found.append((key, value, resource, name, efficiency))
        return found

    def _own(self, node: str, key: str, path: tuple[str | int, ...]) -> tuple[int, str, float]:
        """A node's up- or downlink: one of its own, or its one link."""
        if node not in self._graph:
            raise ScenarioError.at(
                path,
                "there is no node of this name",
                given=node,
                expected=f"a node such as {', '.join(list(self._graph)[:_LISTED])}",
                suggestion=nearest(node, self._graph),
            )
        properties = self._graph.nodes[node]
        if key in properties:
            return properties[key], f"{node} {key}", self._efficiency
        ways = list(self._graph.out_edges(node) if key == "uplink" else self._graph.in_edges(node))
        if len(ways) != 1:
            raise ScenarioError.at(
                path,
                f"{node} has no {key} of its own, but {len(ways)} links",
                given=node,
                expected="link: a->b",
            )
        edge = self._graph.edges[ways[0]]
        if edge["duplex"] == "half":
            raise ScenarioError.at(
                path,
                "a half-duplex link has one bandwidth for both directions",
                given=node,
                expected=f"link: {node}",
            )
        return edge["resource"], edge["link"], edge["config"].efficiency

    def _is_of_absent(self, name: str) -> bool:
        return any(
            name.startswith(f"{node}-") or name.endswith((f"-{node}", f">{node}")) for node in self._absent
        )

    def _listed(self) -> str:
        names = list(dict.fromkeys(edge["link"] for _, _, edge in self._graph.edges(data=True)))
        more = f", ... ({len(names)} in all)" if len(names) > _LISTED else ""
        return ", ".join(names[:_LISTED]) + more
