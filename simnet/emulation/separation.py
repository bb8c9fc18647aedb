"""Partitions for real: between whom packets stand still when, and from when on nodes know of it.

The fabric holds what is sent between groups, as a link that is down does. If the partition heals before
anybody notices, TCP goes on. Otherwise hosts break off their connections across the cut at the instant at
which simulated nodes would notice, each side goes on by itself, and they connect again when it heals.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from simnet.faults.partitions import Split
from simnet.faults.planned import Planned

Groups = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Separation:
    """Who is apart from a time on."""

    time: float
    """Seconds since the run's start."""
    groups: tuple[Groups, ...]
    """The group of each host in every partition that there is; hosts that are in none have none."""

    def side(self, host: str) -> Hashable:
        """Hosts of one side reach each other."""
        return tuple(group.get(host) for group in self.groups)


def separations(
    splits: Sequence[Split], noticed_after: Callable[[float], float] = lambda _: 0.0
) -> tuple[Separation, ...]:
    """What partitions come to over time. With `noticed_after`, as far as nodes know of them: it gives the
    seconds until one is noticed that begins then."""
    known = [(split.at + noticed_after(split.at), split.until, split.group) for split in splits]
    known = [one for one in known if one[0] < one[1]]
    times = sorted({time for begins, ends, _ in known for time in (begins, ends) if time < inf})
    return tuple(
        Separation(time, tuple(group for begins, ends, group in known if begins <= time < ends))
        for time in times
    )


def partition_rows(splits: Iterable[Split], hosts: Mapping[str, str], end: float) -> list[Planned]:
    """The rows of partitions in a run's table of faults, as a simulated run has them."""
    rows = [
        Planned(time, name, event, f"partition, group {split.group.get(host, 0)}")
        for split in splits
        for time, event in ((split.at, "split"), (split.until, "healed"))
        for name, host in hosts.items()
        if time <= end
    ]
    return sorted(rows, key=lambda row: row.time)
