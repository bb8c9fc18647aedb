"""What Mininet's `TCLink` can make of a way over a link, and what it cannot."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from simnet.emulation.doctor import capabilities
from simnet.emulation.driver import EmulationError
from simnet.emulation.wiring import Hop, Wiring
from simnet.scenario.links import UniformJitter

if TYPE_CHECKING:
    from simnet.network import Topology

_MOST_MBIT = 1000
"""What `TCIntf` shapes at most."""
NETEM_LIMIT = 1_000_000
"""Packets: netem's own 1000 would drop what long or fast links hold."""


def refusals(wiring: Wiring) -> Iterator[str]:
    """What of a network the kernel's queues cannot emulate, or not on this machine."""
    topology = wiring.topology
    edges = list(topology.graph.edges(data=True))
    if topology.fatpipes:
        yield "links that are not shared (sharing: fatpipe)"
    if any(edge["duplex"] != "full" for _, _, edge in edges):
        yield "half-duplex and simplex links"
    if any("uplink" in node or "downlink" in node for _, node in topology.graph.nodes(data=True)):
        yield "an uplink or downlink of a node with several links"
    if topology.ecmp != "none":
        yield "several equal routes (network.ecmp)"
    if topology.rerouting:
        yield "routes that avoid links that have failed (network.rerouting)"
    if any(rate * 8e-6 > _MOST_MBIT for rate in map(wiring.rate, range(len(topology.capacities)))):
        yield f"links of more than {_MOST_MBIT} Mbit/s"
    if any(
        edge["config"].jitter and not isinstance(edge["config"].jitter, UniformJitter) for *_, edge in edges
    ):
        yield "jitter that is not uniform"
    if any(_needs_netem(wiring, way) for way in wiring.ways):
        (netem,) = capabilities(["netem"])
        if not netem.available:
            yield f"latency, jitter and loss, since this kernel has no netem ({netem.detail.strip('.')})"


def parameters(wiring: Wiring, way: Hop) -> dict[str, Any]:
    """The parameters of Mininet's `TCIntf` at the beginning of a way over a link."""
    edge = wiring.topology.graph.edges[way]
    chosen: dict[str, Any] = {"bw": wiring.rate(edge["resource"]) * 8e-6}
    if _needs_netem(wiring, way):
        latency, jitter = wiring.latency(way), edge["config"].jitter
        if isinstance(jitter, UniformJitter):
            latency += (jitter.low + jitter.high) / 2
            chosen["jitter"] = f"{(jitter.high - jitter.low) / 2 * 1e6:.0f}us"
        chosen["delay"] = f"{latency * 1e6:.0f}us"
        chosen["loss"] = 100 * edge["loss"]
        chosen["max_queue_size"] = NETEM_LIMIT
    return chosen


def is_tree(topology: "Topology") -> bool:
    """Whether bridges will do: no loops, and hosts at the ends only."""
    graph = topology.graph
    cables = {frozenset(way) for way in graph.edges}
    leaves = all(len(set(graph.successors(host))) == 1 for host in topology.hosts)
    return leaves and len(cables) == len(graph) - 1


def refuse(wiring: Wiring) -> None:
    """Raises `EmulationError`, which names the fabric, if the network cannot be emulated."""
    if found := list(refusals(wiring)):
        raise EmulationError(
            f"the mininet driver cannot emulate {'; '.join(found)}. The fabric driver can: --driver fabric"
        )


def _needs_netem(wiring: Wiring, way: Hop) -> bool:
    edge = wiring.topology.graph.edges[way]
    return bool(wiring.latency(way) or edge["loss"] or edge["config"].jitter)
