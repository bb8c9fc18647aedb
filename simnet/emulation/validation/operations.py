"""Which operations a network is held against, for so many workers of a topology."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import permutations

from simnet.emulation.validation.probe import Flow, Operation
from simnet.network import Topology

MB = 1e6
TIGHT = 0.05
"""The relative error that is promised for transfers of 1 MB and more on warm connections, and for rings."""
LOOSE = 0.10
"""The same where flows share a link, and for training."""
LEAST_PROMISED_BYTES = MB
"""Of a transfer or a tensor for which anything is promised."""
LEAST_WARM_UP_BYTES = 256e3


def promised(limit: float, size: float) -> float | None:
    """The relative error that is promised for so many bytes; none for small messages, which hosts delay."""
    return limit if size >= LEAST_PROMISED_BYTES else None


@dataclass(frozen=True, slots=True)
class Planned:
    """An operation, and how it is told about; one that only warms connections up is not."""

    operation: Operation
    title: str = ""
    bytes: float = 0.0
    limit: float | None = None

    @property
    def size(self) -> str:
        """For people."""
        return f"{self.bytes / MB:g} MB"


def planned(topology: Topology, sizes: Sequence[float]) -> tuple[list[Planned], list[str]]:
    """What is done, in order, and notes on what this topology has no place for.

    Cold transfers come first, each between two hosts that have not spoken yet; then all connections are
    warmed up.
    """
    workers, notes = topology.workers, []
    ranks = {host: rank for rank, host in enumerate(workers)}
    found: list[Planned] = []
    # The first node's connections carry the word that all begin: the others' are as cold as they get.
    pairs = sorted(permutations(range(len(workers)), 2), key=lambda pair: 0 in pair)
    if len(pairs) < len(sizes):
        notes.append(f"cold transfers of {len(pairs)} sizes only: there are no more pairs of hosts")
    for size, (source, target) in zip(sizes, pairs, strict=False):
        found.append(_flows("cold transfer", [Flow(source=source, target=target, bytes=size)], size, None))
    found.append(_warm_up(topology, pairs))
    source, target = pairs[0]
    alone = {size: [Flow(source=source, target=target, bytes=size)] for size in sizes}
    found += [_flows("transfer", flow, size, promised(TIGHT, size)) for size, flow in alone.items()]
    found.append(Planned(Operation(name="warm ring", kind="all-reduce", bytes=min(sizes))))
    for size in sizes:
        operation = Operation(name=f"ring {size:g}", kind="all-reduce", bytes=size)
        found.append(Planned(operation, "ring all-reduce", size, promised(TIGHT, size)))
    middle = sorted(sizes)[len(sizes) // 2]
    if len(workers) > 2:
        operation = Operation(name="gossip", kind="gossip", bytes=middle)
        found.append(Planned(operation, "gossip round", middle, promised(LOOSE, middle)))
        incast = [Flow(source=rank, target=0, bytes=middle) for rank in range(1, len(workers))]
        found.append(_flows(f"incast of {len(incast)}", incast, middle, promised(LOOSE, middle)))
    else:
        notes.append("no gossip round and no incast: there are only two workers")
    crossing = _crossing(topology, workers)
    if crossing is None:
        notes.append("no crossing flows: no two disjoint pairs of hosts share a bottleneck here")
    else:
        flows = [
            Flow(source=ranks[a], target=ranks[b], bytes=size)
            for (a, b), size in zip(crossing, (middle, middle / 2), strict=True)
        ]
        found.append(_flows("two flows on a shared link", flows, middle, promised(LOOSE, middle)))
    return found, notes


def small_rings(workers: int, times: int) -> Operation:
    """Messages of a few bytes, one after another: all that they take is what hosts take for a message."""
    return Operation(name="small messages", kind="all-reduce", bytes=4.0 * workers, times=times)


def _flows(title: str, flows: Sequence[Flow], size: float, limit: float | None) -> Planned:
    operation = Operation(name=f"{title} {size:g}", kind="flows", flows=tuple(flows))
    return Planned(operation, title, size, limit)


def _warm_up(topology: Topology, pairs: Iterable[tuple[int, int]]) -> Planned:
    """Every connection carries what it takes to find its pace: a few windows."""
    flows = []
    for source, target in pairs:
        a, b = topology.workers[source], topology.workers[target]
        in_flight = topology.nominal_bandwidth(a, b) * topology.route(a, b).rtt
        flows.append(Flow(source=source, target=target, bytes=max(LEAST_WARM_UP_BYTES, 2 * in_flight)))
    return Planned(Operation(name="warm up", kind="flows", flows=tuple(flows)))


def _crossing(topology: Topology, workers: Sequence[str]) -> tuple[tuple[str, str], tuple[str, str]] | None:
    """Two pairs of four hosts whose routes share the resource with the least bandwidth on both."""

    def bottlenecks(pair: tuple[str, str]) -> set[int]:
        resources = topology.route(*pair).resources
        least = min(topology.capacities[resource] for resource in resources)
        return {resource for resource in resources if topology.capacities[resource] == least}

    pairs = list(permutations(workers, 2))
    for first in pairs:
        least = bottlenecks(first)
        for second in pairs:
            if not set(first) & set(second) and bottlenecks(second) & least:
                return first, second
    return None
