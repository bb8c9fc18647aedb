"""Which algorithm is the fastest: the alpha-beta forms, with what the network gives each round.

The time of an algorithm is the sum over its rounds of a + n b, where a is the worst latency among the
messages of the round, and b the inverse of the bandwidth at its bottleneck, with all of them under way at
once. On a uniform star that is the closed form of `network.analytic` and the simulated time, so there the
choice is the best of the candidates; elsewhere it is the time of rounds that wait for each other.

Parameter servers and pipelined chains are not candidates. The first would always win, with every member a
server, because p - 1 messages that arrive together are as good as one in a fluid network, which is where it
flatters most; the second never would.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from simnet.runtime.collectives.doubling import Fold, core_size
from simnet.runtime.collectives.paths import Cost, Pair, Paths


@dataclass(frozen=True, slots=True)
class Rounds:
    """So many rounds alike, in each of which every message carries a fraction of the tensor."""

    count: int
    fraction: float
    cost: Cost

    def seconds(self, bytes: float) -> float:
        """The time of all of them for a tensor of so many bytes."""
        return self.count * self.cost.seconds(self.fraction * bytes)


Plan = tuple[Rounds, ...]


def fastest(plans: dict[str, Plan], bytes: float) -> str:
    """The name of the plan that takes the least time for so many bytes; the first of equals."""
    return min(plans, key=lambda name: sum(rounds.seconds(bytes) for rounds in plans[name]))


def all_reduce_plans(
    members: Sequence[str], ring: Sequence[str], groups: Sequence[Sequence[str]], paths: Paths
) -> dict[str, Plan]:
    """The candidates for an all-reduce: hierarchical only where there are several equal groups of several."""
    plans = {
        "ring": (Rounds(2 * (len(members) - 1), 1 / len(members), paths.cost(_around(ring))),),
        "halving-doubling": _halving_doubling(members, paths),
        "recursive-doubling": _recursive_doubling(members, paths),
        "tree": _tree(members, paths),
    }
    sizes = {len(group) for group in groups}
    if len(groups) > 1 and len(sizes) == 1 and sizes != {1}:
        plans["hierarchical"] = _hierarchical(groups, paths)
    return plans


def broadcast_plans(members: Sequence[str], root: str, paths: Paths) -> dict[str, Plan]:
    """The candidates for a broadcast."""
    first = members.index(root)
    ring = [*members[first:], *members[:first]]
    size = len(ring)
    levels = _levels(ring, paths)
    scatter = [Rounds(1, (min(2 * distance, size) - distance) / size, cost) for distance, cost in levels]
    gather = Rounds(size - 1, 1 / size, paths.cost(_around(ring)))
    return {
        "binomial": tuple(Rounds(1, 1.0, cost) for _, cost in levels),
        "scatter-all-gather": (*scatter, gather),
    }


def _around(ring: Sequence[str]) -> list[Pair]:
    return list(zip(ring, [*ring[1:], ring[0]], strict=True))


def _levels(ring: Sequence[str], paths: Paths) -> list[tuple[int, Cost]]:
    """The levels of a binomial tree, the farthest first: distance, and what its messages cost.

    A tree that is not full has no path with a message of every level: the last byte travels one
    latency less.
    """
    size, distance = len(ring), 1
    levels: list[tuple[int, Cost]] = []
    while distance < size:
        pairs = [(ring[low], ring[low + distance]) for low in range(0, size - distance, 2 * distance)]
        levels.insert(0, (distance, paths.cost(pairs)))
        distance *= 2
    if size != core_size(size):
        place = min(range(len(levels)), key=lambda index: levels[index][1].latency)
        far, cost = levels[place]
        levels[place] = far, Cost(0.0, cost.seconds_per_byte)
    return levels


def _tree(members: Sequence[str], paths: Paths) -> Plan:
    down = tuple(Rounds(1, 1.0, cost) for _, cost in _levels(members, paths))
    return down + down


def _fold(members: Sequence[str], paths: Paths) -> list[Rounds]:
    """Into the core and out of it again; each extra member's link carries its whole tensor."""
    fold = Fold(len(members))
    firsts = [(members[extra], members[fold.block(extra).start]) for extra in range(fold.core, fold.size)]
    if not firsts:
        return []
    back = [(core, extra) for extra, core in firsts]
    return [Rounds(1, 1.0, paths.cost(firsts)), Rounds(1, 1.0, paths.cost(back))]


def _partners(members: Sequence[str], distance: int, paths: Paths) -> Cost:
    core = core_size(len(members))
    return paths.cost((members[rank], members[rank ^ distance]) for rank in range(core))


def _distances(members: Sequence[str]) -> list[int]:
    return [1 << level for level in range(len(members).bit_length() - 1)]


def _recursive_doubling(members: Sequence[str], paths: Paths) -> Plan:
    doubling = [Rounds(1, 1.0, _partners(members, distance, paths)) for distance in _distances(members)]
    return (*doubling, *_fold(members, paths))


def _halving_doubling(members: Sequence[str], paths: Paths) -> Plan:
    core = core_size(len(members))
    halving = [
        Rounds(2, distance / core, _partners(members, distance, paths)) for distance in _distances(members)
    ]
    return (*halving, *_fold(members, paths))


def _hierarchical(groups: Sequence[Sequence[str]], paths: Paths) -> Plan:
    size, count = len(groups[0]), len(groups)
    within = paths.cost(pair for group in groups for pair in _around(group))
    across = paths.cost(
        pair for position in range(size) for pair in _around([group[position] for group in groups])
    )
    return (
        Rounds(2 * (size - 1), 1 / size, within),
        Rounds(2 * (count - 1), 1 / (size * count), across),
    )
