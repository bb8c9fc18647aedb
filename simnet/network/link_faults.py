"""What `faults.links` says, as profiles of the links that are named there.

A fault is a factor over time of a link's capacity (0 while it is down) or latency, or a loss over time. It
comes on top of what the link does anyway, by its own profile and by `network.events`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from simnet.network.link_names import LinkNames
from simnet.network.noise import Hop
from simnet.network.profiles import AnyOf, Constant, OnOff, Product, Profile, Switches, during
from simnet.scenario import Scenario
from simnet.scenario.errors import Path
from simnet.scenario.link_faults import LinkDegraded, LinkDown, LinkFault, LinkFlapping, LinkLossy
from simnet.streams import Streams

PURPOSE = "link faults"
"""What the random streams are for; further keys are the fault's index and the link."""


@dataclass(frozen=True)
class FaultCourse:
    """One fault of one link over time."""

    link: str
    """The link's name, or a->b where only this way is affected."""
    kind: str
    """The kind of fault: down, degraded, lossy, flapping."""
    wrong: Profile
    """1 while something is wrong, else 0."""


@dataclass(frozen=True)
class LinkFaults:
    """What goes wrong with links, and when; all by what is affected."""

    capacities: Mapping[int, Sequence[Profile]] = field(default_factory=dict)
    """Factors of the capacity of each resource."""
    latencies: Mapping[Hop, Sequence[Profile]] = field(default_factory=dict)
    """Factors of the latency of each way over a link."""
    losses: Mapping[Hop, Profile] = field(default_factory=dict)
    """The fraction of packets that is lost on each way over a link, beside what it loses anyway."""
    switches: Mapping[int, Sequence[Switches]] = field(default_factory=dict)
    """Of each resource, (when, whether it is down) of each fault that takes it down at a known time."""
    courses: tuple[FaultCourse, ...] = ()
    """Each fault of each link by itself, in the order of the scenario."""


def link_faults(scenario: Scenario, names: LinkNames) -> LinkFaults:
    """The faults of a scenario's links.

    Args:
        scenario: Its `faults.links` and `seed` matter.
        names: The links of its network.

    Raises:
        ScenarioError: A name is unknown or stands for several links, or half of a half-duplex link is to
            fail.
    """
    streams = Streams(scenario.seed)
    capacities: dict[int, list[Profile]] = {}
    latencies: dict[Hop, list[Profile]] = {}
    losses: dict[Hop, list[Profile]] = {}
    switches: dict[int, list[Switches]] = {}
    courses: list[FaultCourse] = []
    for index, fault in enumerate(scenario.faults.links):
        path: Path = ("faults", "links", index)
        ways = _ways(fault, names, path)
        if not isinstance(fault, LinkFlapping):
            wrong = during(fault.at, fault.end, 1.0, 0.0)
            courses += [FaultCourse(link, fault.kind, wrong) for link in _named(ways, names)]
        match fault:
            case LinkDown():
                for resource in _resources(fault, ways, names, path):
                    capacities.setdefault(resource, []).append(during(fault.at, fault.end, 0.0))
                    switches.setdefault(resource, []).append(((fault.at, True), (fault.end, False)))
            case LinkDegraded():
                if fault.bandwidth is not None:
                    for resource in _resources(fault, ways, names, path):
                        slower = during(fault.at, fault.end, fault.bandwidth)
                        capacities.setdefault(resource, []).append(slower)
                if fault.latency is not None:
                    for way in ways:
                        latencies.setdefault(way, []).append(during(fault.at, fault.end, fault.latency))
            case LinkLossy():
                for way in ways:
                    losses.setdefault(way, []).append(during(fault.at, fault.end, fault.loss, 0.0))
            case LinkFlapping():
                luck: dict[str, Profile] = {}
                for resource, name in _resources(fault, ways, names, path).items():
                    if name not in luck:
                        luck[name] = _flaps(fault, streams, index, name, up=1.0, down=0.0)
                        wrong = _flaps(fault, streams, index, name, up=0.0, down=1.0)
                        courses.append(FaultCourse(name, fault.kind, wrong))
                    capacities.setdefault(resource, []).append(luck[name])
    lost = {
        way: chances[0] if len(chances) == 1 else AnyOf(tuple(chances)) for way, chances in losses.items()
    }
    return LinkFaults(capacities, latencies, lost, switches, tuple(courses))


def _ways(fault: LinkFault, names: LinkNames, path: Path) -> tuple[Hop, ...]:
    if fault.link is not None:
        return names.ways(fault.link, path)
    return names.all_ways if fault.node is None else names.ways_of(fault.node, (*path, "node"))


def _named(ways: Sequence[Hop], names: LinkNames) -> Iterable[str]:
    """The links of the ways, each once; a->b where its other way is not among them."""
    every, chosen = frozenset(names.all_ways), frozenset(ways)
    both = {(a, b): (b, a) in chosen or (b, a) not in every for a, b in ways}
    return dict.fromkeys(names.link_of(way) if both[way] else f"{way[0]}->{way[1]}" for way in ways)


def _resources(fault: LinkFault, ways: Iterable[Hop], names: LinkNames, path: Path) -> dict[int, str]:
    """The resources of the ways, each once, with the name of its link."""
    if fault.link is not None:
        names.resources(fault.link, path)  # which refuses half of a half-duplex link
    return {names.resource_of(way): names.link_of(way) for way in ways}


def _flaps(
    fault: LinkFlapping, streams: Streams, index: int, link: str, *, up: float, down: float
) -> Profile:
    """One value while the link is up, the other one while it is down: always at the same times."""
    start = {"up": "on", "down": "off"}.get(fault.start, fault.start)
    return OnOff(up, down, fault.mean_up, fault.mean_down, streams.generator(PURPOSE, index, link), start)


def with_factors(before: Profile, factors: Sequence[Profile]) -> Profile:
    """A profile times some factors."""
    if all(isinstance(profile, Constant) for profile in (before, *factors)):
        value = before.at(0.0)
        for factor in factors:
            value *= factor.at(0.0)
        return Constant(value)
    return Product((before, *factors)) if factors else before
