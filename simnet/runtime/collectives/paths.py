"""What the idle network between nodes is like, as far as choosing among collectives needs to know."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from simnet.network import Topology

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Cost:
    """The a and b of the alpha-beta model for messages that are under way together."""

    latency: float
    """Seconds, of the longest route."""
    seconds_per_byte: float
    """Of the busiest resource, for messages of one size."""

    def seconds(self, bytes: float) -> float:
        """a + n b, for messages of n bytes."""
        return self.latency + bytes * self.seconds_per_byte if bytes else self.latency


@dataclass(frozen=True, slots=True)
class Paths:
    """The routes between nodes: pure functions of the scenario, so all members come to the same choice.

    Capacities are those that the topology names; what changes them during a run is not foreseen.
    """

    topology: Topology
    hosts: Mapping[str, str]
    """The host of each node."""

    def cost(self, pairs: Iterable[Pair]) -> Cost:
        """What messages of one size cost that all start together, one from each pair's first to its second.

        Each resource divides its capacity among the messages that cross it; the one with the least for each
        paces all.
        """
        crossing: Counter[int] = Counter()
        latency = 0.0
        for source, target in pairs:
            route = self.topology.route(self.hosts[source], self.hosts[target])
            latency = max(latency, route.latency)
            crossing.update(route.resources)
        slowest = 0.0
        for resource, messages in crossing.items():
            if resource in self._unshared:
                messages = 1
            capacity = self.topology.capacities[resource]
            slowest = max(slowest, messages / capacity if capacity > 0 else inf)
        return Cost(latency, slowest)

    def beside_each_other(self, members: Sequence[str]) -> tuple[tuple[str, ...], ...]:
        """The members by the switch that their host hangs on: a site, a rack.

        Groups come in the order of their first member. A host with links to several nodes, or to another
        host, is a group of its own.
        """
        groups: dict[str, list[str]] = {}
        for member in members:
            groups.setdefault(self._place(self.hosts[member]), []).append(member)
        return tuple(tuple(group) for group in groups.values())

    def _place(self, host: str) -> str:
        graph = self.topology.graph
        beside = list(graph.successors(host))
        return beside[0] if len(beside) == 1 and graph.nodes[beside[0]]["switch"] else host

    @property
    def _unshared(self) -> frozenset[int]:
        """Resources that cap each message and are not divided among them."""
        return self.topology.fatpipes
