"""What changes in a network while it runs: part of its topology, a pure function of scenario and seed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import networkx as nx

from simnet.network.events import outages, scheduled
from simnet.network.link_faults import FaultCourse, link_faults, with_factors
from simnet.network.link_names import LinkNames
from simnet.network.noise import Hop
from simnet.network.profiles import Constant, Profile, Steps, Switches
from simnet.network.rates import Rates
from simnet.scenario import Scenario
from simnet.scenario.links import Jitter

ROUTES = -1
"""Stands for the routes among the resources that change: its value counts the failures and repairs so far.

Numbers below stand for ways over links whose latency changes (see `Dynamics.slowing`).
"""


@dataclass(frozen=True, eq=False)
class Dynamics:
    """Profiles of capacities and latencies, jitter, and links that are down."""

    seed: int = 0
    capacities: Mapping[int, Profile] = field(default_factory=dict)
    """Bytes of payload per second of each resource that changes."""
    latencies: Mapping[Hop, Profile] = field(default_factory=dict)
    """Seconds of each way over a link: of all of them, if one changes or has jitter."""
    jitters: Mapping[Hop, Jitter] = field(default_factory=dict)
    """The jitter of each way over a link that has some."""
    outages: tuple[tuple[float, frozenset[int]], ...] = ()
    """From when on which resources are down, where routes are to avoid these; the first at time 0."""
    losses: Mapping[Hop, Profile] = field(default_factory=dict)
    """The fraction of packets that a way over a link loses beside what it loses always, where it does."""
    faults: tuple[FaultCourse, ...] = ()
    """The faults of links by themselves, for those who tell of them."""

    @property
    def reorders(self) -> bool:
        """Whether a message could overtake an earlier one of its pair if nobody prevented it."""
        return bool(self.latencies or self.jitters or self.outages)

    @cached_property
    def slowing(self) -> Mapping[Hop, int]:
        """What stands among the resources that change for each way over a link whose latency changes."""
        moving = [hop for hop, latency in self.latencies.items() if not isinstance(latency, Constant)]
        return {hop: ROUTES - 1 - index for index, hop in enumerate(moving)}

    @cached_property
    def losing(self) -> Mapping[Hop, int]:
        """What stands among the resources that change for each way over a link whose loss changes."""
        first = ROUTES - 1 - len(self.slowing)
        return {hop: first - index for index, hop in enumerate(self.losses)}

    @cached_property
    def changing(self) -> Mapping[int, Profile]:
        """The profiles of capacities, latencies and losses that change, and of the routes where failures
        change these."""
        slowing = {number: self.latencies[hop] for hop, number in self.slowing.items()}
        losing = {number: self.losses[hop] for hop, number in self.losing.items()}
        changing = {**self.capacities, **slowing, **losing}
        if self.outages:
            starts = tuple(time for time, _ in self.outages)
            changing[ROUTES] = Steps(starts, tuple(map(float, range(len(starts)))))
        return changing


def dynamics_of(
    scenario: Scenario,
    graph: "nx.DiGraph[str]",
    rates: Rates,
    capacities: Sequence[Profile],
    latencies: Mapping[Hop, Profile],
    absent: Iterable[str] = (),
) -> Dynamics | None:
    """What changes in a scenario's network, or None if nothing does.

    Args:
        scenario: Its `network.events`, `network.rerouting`, `faults.links` and `seed` matter.
        graph: The topology's graph.
        rates: Reads what the scenario says.
        capacities: What each resource has without events.
        latencies: What each way over a link has without events.
        absent: Nodes that only the network of other algorithms has.

    Raises:
        ScenarioError: As :func:`~simnet.network.events.scheduled` and
            :func:`~simnet.network.link_faults.link_faults` do.
    """
    network = scenario.network
    efficiency = network.link.efficiency if network.link else 1.0
    names = LinkNames(graph, frozenset(absent), efficiency)
    schedule = scheduled(network.events, graph, names, rates, capacities, latencies)
    faults = link_faults(scenario, names)
    changing = dict(enumerate(capacities)) | dict(schedule.capacities)
    changing |= {index: with_factors(changing[index], found) for index, found in faults.capacities.items()}
    slowing = {**latencies, **schedule.latencies}
    slowing |= {way: with_factors(slowing[way], found) for way, found in faults.latencies.items()}
    changing = {index: _from_the_start(capacities[index], profile) for index, profile in changing.items()}
    slowing = {way: _from_the_start(latencies[way], profile) for way, profile in slowing.items()}
    jitters = {
        (a, b): edge["config"].jitter for a, b, edge in graph.edges(data=True) if edge["config"].jitter
    }
    noisy = bool(jitters) or not all(isinstance(profile, Constant) for profile in slowing.values())
    dynamics = Dynamics(
        scenario.seed,
        {index: profile for index, profile in changing.items() if not isinstance(profile, Constant)},
        slowing if noisy else {},
        jitters,
        _outages(schedule.switches, faults.switches) if network.rerouting else (),
        faults.losses,
        faults.courses,
    )
    return dynamics if dynamics.capacities or noisy or dynamics.losses else None


def _from_the_start(usual: Profile, profile: Profile) -> Profile:
    """A profile that differs from what is usual from the start on, and stays so, counts as one that changes.

    The rest of the network takes what never changes from the topology, which has the usual value.
    """
    if isinstance(profile, Constant) and not (isinstance(usual, Constant) and usual.value == profile.value):
        return Steps((0.0,), (profile.value,))
    return profile


def _outages(
    events: Mapping[int, Switches], faults: Mapping[int, Sequence[Switches]]
) -> tuple[tuple[float, frozenset[int]], ...]:
    resources = dict.fromkeys([*events, *faults])
    return outages(
        {
            index: [*([events[index]] if index in events else []), *faults.get(index, ())]
            for index in resources
        }
    )
