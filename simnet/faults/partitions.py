"""Partitions: groups of hosts that cannot reach each other for a while."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf

from simnet.faults.places import Places
from simnet.network import Topology
from simnet.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Split:
    """From `at` to `until` (infinite if it never heals) only hosts of one group reach each other."""

    at: float
    until: float
    group: Mapping[str, int]
    """The group of each host."""


def build_partitions(scenario: Scenario, topology: Topology) -> tuple[Split, ...]:
    """The partitions of a scenario, on the hosts of `topology`.

    Raises :class:`~simnet.scenario.ScenarioError` for names that are not there and hosts in two groups.
    """
    if not scenario.faults.partitions:
        return ()
    places = Places(scenario, topology)
    splits = []
    for index, config in enumerate(scenario.faults.partitions):
        groups = places.groups(config.groups, ("faults", "partitions", index, "groups"))
        of_host = {host: number for number, hosts in enumerate(groups) for host in hosts}
        splits.append(Split(config.at, inf if config.until is None else config.until, of_host))
    return tuple(splits)
