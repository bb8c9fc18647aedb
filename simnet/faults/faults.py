"""All faults of one run, drawn before it starts: the same for every algorithm under one seed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from simnet.faults.byzantine import Byzantine, byzantine_nodes
from simnet.faults.churn import Churn, build_churn
from simnet.faults.partitions import Split, build_partitions
from simnet.network import Topology
from simnet.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong in a run, and when."""

    byzantine: Mapping[str, Byzantine] = field(default_factory=dict)
    """The Byzantine workers by name."""
    churn: Churn | None = None
    """Who goes and comes."""
    partitions: tuple[Split, ...] = ()
    """Who cannot reach whom."""


NO_FAULTS = Faults()


def build_faults(scenario: Scenario, topology: Topology) -> Faults:
    """The faults of `scenario` on the hosts of `topology`: a pure function of both and the seed.

    Raises :class:`~simnet.scenario.ScenarioError` where a fault names what the network does not have.
    """
    return Faults(
        churn=build_churn(scenario, topology),
        partitions=build_partitions(scenario, topology),
        byzantine=byzantine_nodes(scenario, topology),
    )
