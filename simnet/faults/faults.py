"""All faults of one run, drawn before it starts: the same for every algorithm under one seed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from simnet.faults.byzantine import Byzantine, byzantine_nodes
from simnet.faults.churn import Churn, build_churn, mean_seconds_between_failures
from simnet.faults.partitions import Split, build_partitions
from simnet.faults.slowdown import Slowdown
from simnet.faults.stragglers import build_slowdowns
from simnet.network import Topology
from simnet.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong in a run, and when."""

    churn: Churn | None = None
    """Who goes and comes."""
    mean_seconds_between_failures: float | None = None
    """Of all nodes together, where churn is exponential."""
    partitions: tuple[Split, ...] = ()
    """Who cannot reach whom."""
    slowdowns: Mapping[str, Slowdown] = field(default_factory=dict)
    """What slows hosts down, by their names; the others work at the speed of their device."""
    byzantine: Mapping[str, Byzantine] = field(default_factory=dict)
    """The Byzantine workers by name."""


NO_FAULTS = Faults()


def build_faults(scenario: Scenario, topology: Topology) -> Faults:
    """The faults of `scenario` on the hosts of `topology`: a pure function of both and the seed.

    Faults of links are part of the topology (see :mod:`simnet.network.link_faults`). Raises
    :class:`~simnet.scenario.ScenarioError` where a fault names what the network does not have.
    """
    return Faults(
        churn=build_churn(scenario, topology),
        mean_seconds_between_failures=mean_seconds_between_failures(scenario, topology),
        partitions=build_partitions(scenario, topology),
        slowdowns=build_slowdowns(scenario, topology),
        byzantine=byzantine_nodes(scenario, topology),
    )
