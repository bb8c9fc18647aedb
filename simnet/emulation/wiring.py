"""From a topology to what the fabric process is told: plain numbers, without the simulator behind them.

Rates here are those of the wire: the simulator's capacities are what of a link carries payload (its
`efficiency`), and here real headers take the rest.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from simnet.emulation.driver import DriverOptions, EmulationError
from simnet.network.profiles import Profile
from simnet.network.routing import NoRouteError
from simnet.scenario.links import GammaJitter, Jitter, LognormalJitter

if TYPE_CHECKING:
    from simnet.network import Topology

_FLOWS = 16
"""Among how many numbers of flows routes are looked for, where equal ones are chosen per flow."""
_MOST_CHANGES = 200_000
_LEAST_WINDOW, _LARGEST_WINDOW = 128 * 1024, 4 * 1024 * 1024
_LONGEST_ADDED = 3e-3
"""Seconds that trains may become longer than the millisecond that Linux makes them."""
_LARGEST_TRAIN = 65_536
_OWN_ROUND_TRIP = 200
"""Microseconds of a round trip over links without latency: what a kernel and the fabric take at least."""
_MOST_SHIFT = 31
Hop = tuple[str, str]
Routes = list[list[list[list[tuple[int, int]]]]]
"""Per source and target (indices of hosts) the alternatives, each a list of (link, way or -1)."""


@dataclass(frozen=True, slots=True)
class Sending:
    """What the kernel of a host is told about its routes."""

    window: int
    """The bytes that a connection may have in flight: four times what the host's longest route holds.

    Twice would do for a full pipe; the rest is the kernel's bookkeeping, which counts as well.
    """
    train_shift: int
    """`net.ipv4.tcp_tso_rtt_log`, as :func:`train_shift` chooses it."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """The links and ways of a topology as the fabric numbers them."""

    topology: "Topology"
    hosts: tuple[str, ...]
    ways: Mapping[Hop, int]
    efficiencies: Sequence[float]
    """Per resource the part of its wire rate that the simulator counts."""

    def rate(self, resource: int, time: float = 0.0) -> float:
        """Bytes per second on the wire at a time of the scenario."""
        dynamics = self.topology.dynamics
        changing = dynamics.capacities.get(resource) if dynamics else None
        capacity = self.topology.capacities[resource] if changing is None else changing.at(time)
        return capacity / self.efficiencies[resource]

    def latency(self, way: Hop, time: float = 0.0) -> float:
        """Seconds from one end of a link to the other."""
        dynamics = self.topology.dynamics
        changing = dynamics.latencies.get(way) if dynamics else None
        nominal: float = self.topology.graph.edges[way]["latency"]
        return nominal if changing is None else changing.at(time)

    @property
    def loses(self) -> bool:
        """Whether any link loses packets."""
        return any(edge["loss"] > 0 for _, _, edge in self.topology.graph.edges(data=True))

    @property
    def trembles(self) -> bool:
        """Whether any link has jitter."""
        return any(edge["config"].jitter for _, _, edge in self.topology.graph.edges(data=True))

    def links(self) -> list[dict[str, Any]]:
        """Every resource: name, rate, whether it is shared."""
        return [
            {"name": name, "rate": self.rate(index), "shared": index not in self.topology.fatpipes}
            for index, name in enumerate(self.topology.resource_names)
        ]

    def descriptions(self) -> list[dict[str, Any]]:
        """Every way over a link: name, latency, loss, jitter."""
        edges = self.topology.graph.edges
        return [
            {
                "name": f"{a}->{b}",
                "latency": self.latency((a, b)),
                "loss": edges[a, b]["loss"],
                "jitter": _jitter(edges[a, b]["config"].jitter),
            }
            for a, b in self.ways
        ]

    def routes(self, failed: frozenset[int] = frozenset()) -> Routes:
        """The ways that packets take to avoid `failed` resources; the usual ones where none is left."""
        usual = self.topology
        topology = usual.without(failed) if failed else usual
        flows = range(_FLOWS if usual.ecmp == "flow" else 1)
        table: Routes = []
        for source in self.hosts:
            row = []
            for target in self.hosts:
                found = []
                for flow in flows:
                    try:
                        hops = topology.route(source, target, flow).hops
                    except NoRouteError:
                        hops = usual.route(source, target, flow).hops
                    if hops not in found:
                        found.append(hops)
                row.append([self._stages(hops) for hops in found])
            table.append(row)
        return table

    def _stages(self, hops: Sequence[str]) -> list[tuple[int, int]]:
        graph = self.topology.graph
        stages = []
        for a, b in pairwise(hops):
            own = graph.nodes[a].get("uplink"), graph.edges[a, b]["resource"], graph.nodes[b].get("downlink")
            resources = [resource for resource in own if resource is not None]
            stages += [(resource, -1) for resource in resources[:-1]]
            stages.append((resources[-1], self.ways[a, b]))
        return stages

    def sending(self, changes: Sequence[tuple[float, str, Any, Any]] = ()) -> dict[str, Sending]:
        """How each host is to send: windows for its routes as large as they become by `changes`, trains for
        its routes as small as they become."""
        rates = [self.rate(resource) for resource in range(len(self.efficiencies))]
        latencies = [self.latency(way) for way in self.ways]
        greatest = {"rate": list(rates), "latency": list(latencies)}
        least = {"rate": rates, "latency": latencies}
        for _, kind, which, value in changes:
            if kind in greatest:
                greatest[kind][which] = max(greatest[kind][which], value)
                if value > 0.0:
                    least[kind][which] = min(least[kind][which], value)
        found = {}
        for source, row in zip(self.hosts, self.routes(), strict=True):
            routes = [stages for stages, *_ in row if stages]
            most = max((rate * trip for rate, trip in _rates_and_trips(routes, greatest)), default=0.0)
            window = int(min(max(4 * most, _LEAST_WINDOW), _LARGEST_WINDOW))
            found[source] = Sending(window, train_shift(_rates_and_trips(routes, least)))
        return found

    def changes(self, horizon: float) -> list[tuple[float, str, Any, Any]]:
        """What changes from time 0 on, in order: `(time, "rate", link, bytes per second)`,
        `(time, "latency", way, seconds)` and `(time, "routes", None, routes)`.

        Raises `EmulationError` if that is too much to be told at once.
        """
        dynamics = self.topology.dynamics
        if dynamics is None:
            return []
        series: list[Iterator[tuple[float, str, Any, Any]]] = [
            _steps("rate", resource, profile, horizon, self.efficiencies[resource])
            for resource, profile in dynamics.capacities.items()
        ]
        series += [
            _steps("latency", self.ways[way], profile, horizon) for way, profile in dynamics.latencies.items()
        ]
        series.append(
            (time, "routes", None, self.routes(failed))
            for time, failed in dynamics.outages
            if 0 < time <= horizon
        )
        found: list[tuple[float, str, Any, Any]] = []
        for change in merge(*series, key=lambda change: change[0]):
            found.append(change)
            if len(found) > _MOST_CHANGES:
                raise EmulationError(
                    f"links change more than {_MOST_CHANGES:,} times in {horizon:g} s: give the driver a "
                    "shorter horizon, or the traces a longer window"
                )
        return found


def wiring_of(topology: "Topology", hosts: Sequence[str]) -> Wiring:
    """Number what there is of a topology."""
    graph = topology.graph
    efficiencies = [1.0] * len(topology.capacities)
    for a, b, edge in graph.edges(data=True):
        for resource in (edge["resource"], graph.nodes[a].get("uplink"), graph.nodes[b].get("downlink")):
            if resource is not None:
                efficiencies[resource] = edge["config"].efficiency
    ways = {way: index for index, way in enumerate(graph.edges)}
    return Wiring(topology, tuple(hosts), ways, efficiencies)


def train_shift(routes: Iterable[tuple[float, float]]) -> int:
    """The `tcp_tso_rtt_log` of a host with routes of these bytes per second and round trips in seconds.

    Linux makes the trains of a paced sender a millisecond long, a thousand a second whatever the rate, and
    adds `64 kB >> (round trip in microseconds >> tcp_tso_rtt_log)` (`tcp_tso_autosize`, since 5.18). Every
    train costs the fabric the same. So this is the largest number that adds 3 ms at most on each route; a
    small one adds nothing. Routes with longer round trips get shorter trains.

    Without latency the round trip is this machine's, here taken as 200 us; where it is longer trains are
    shorter, down to the millisecond.
    """
    known = [(rate, max(round(1e6 * trip), _OWN_ROUND_TRIP)) for rate, trip in routes]

    def fits(shift: int) -> bool:
        return all(
            _LARGEST_TRAIN >> (microseconds >> shift) <= _LONGEST_ADDED * rate for rate, microseconds in known
        )

    return max((shift for shift in range(_MOST_SHIFT + 1) if known and fits(shift)), default=0)


def _rates_and_trips(
    routes: Sequence[list[tuple[int, int]]], values: Mapping[str, Sequence[float]]
) -> list[tuple[float, float]]:
    """Per route the rate of its slowest link and the seconds there and back."""
    rates, latencies = values["rate"], values["latency"]
    return [
        (
            min(rates[link] for link, _ in stages),
            2 * sum(latencies[way] for _, way in stages if way >= 0),
        )
        for stages in routes
    ]


def trains(wiring: Wiring, options: DriverOptions) -> bool:
    """Whether packets may travel in trains: losing or dropping one would lose dozens of packets at once.

    So where links lose packets, where each packet has its own delay, and where queues hold less than a
    second, every packet goes by itself.
    """
    if options.segmentation_offload is not None:
        return options.segmentation_offload
    long = options.queue is None or options.queue >= 1.0
    return long and not wiring.loses and not wiring.trembles


def _steps(
    kind: str, which: int, profile: Profile, horizon: float, efficiency: float = 1.0
) -> Iterator[tuple[float, str, Any, Any]]:
    """The changes of one profile after time 0."""
    time = profile.next_change(0.0)
    while time <= horizon:
        yield time, kind, which, profile.at(time) / efficiency
        time = profile.next_change(time)


def _jitter(jitter: Jitter | None) -> list[Any] | None:
    """As `queues.jitter_of` reads it."""
    if jitter is None:
        return None
    if isinstance(jitter, LognormalJitter):
        return ["lognormal", jitter.sigma]
    if isinstance(jitter, GammaJitter):
        return ["gamma", jitter.mean, jitter.shape]
    return ["uniform", jitter.low, jitter.high]
