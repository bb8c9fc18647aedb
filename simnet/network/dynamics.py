"""What changes in a network while it runs: part of its topology, a pure function of scenario and seed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import networkx as nx

from simnet.network.events import scheduled
from simnet.network.noise import Hop
from simnet.network.profiles import Constant, Profile, Steps
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
    def changing(self) -> Mapping[int, Profile]:
        """The profiles of capacities and latencies that change, and of the routes where failures change
        these."""
        slowing = {number: self.latencies[hop] for hop, number in self.slowing.items()}
        changing = {**self.capacities, **slowing}
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
        scenario: Its `network.events`, `network.rerouting` and `seed` matter.
        graph: The topology's graph.
        rates: Reads what the scenario says.
        capacities: What each resource has without events.
        latencies: What each way over a link has without events.
        absent: Nodes that only the network of other algorithms has.

    Raises:
        ScenarioError: As :func:`~simnet.network.events.scheduled` does.
    """
    network = scenario.network
    efficiency = network.link.efficiency if network.link else 1.0
    schedule = scheduled(network.events, graph, rates, capacities, latencies, efficiency, absent)
    changing = dict(enumerate(capacities)) | dict(schedule.capacities)
    slowing = {**latencies, **schedule.latencies}
    jitters = {
        (a, b): edge["config"].jitter for a, b, edge in graph.edges(data=True) if edge["config"].jitter
    }
    noisy = bool(jitters) or not all(isinstance(profile, Constant) for profile in slowing.values())
    dynamics = Dynamics(
        scenario.seed,
        {index: profile for index, profile in changing.items() if not isinstance(profile, Constant)},
        slowing if noisy else {},
        jitters,
        schedule.outages if network.rerouting else (),
    )
    return dynamics if dynamics.capacities or noisy else None
