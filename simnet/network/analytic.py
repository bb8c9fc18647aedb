"""Closed forms of communication times in the alpha-beta model: a message of n bytes takes a + n b seconds.

Arguments are in bytes, bytes per second (the inverse of b) and seconds (a, the latency of a whole route).
They hold on an uncongested network where every member has the same link; simulations are tested against them
and collectives are chosen by them. Sources: Thakur, Rabenseifner and Gropp, "Optimization of Collective
Communication Operations in MPICH", IJHPCA 19(1), 2005; Chan et al., "Collective communication: theory,
practice, and experience", CCPE 19(13), 2007; Patarasu and Yuan, "Bandwidth optimal all-reduce algorithms",
JPDC 69(2), 2009.
"""

from math import ceil, log2
from typing import Literal


def ring_all_reduce_seconds(members: int, bytes: float, bandwidth: float, latency: float) -> float:
    """2 (p-1) a + 2 (p-1)/p n b (Patarasu and Yuan, 2009): reduce-scatter, then all-gather, around a ring.

    Args:
        members: p, at least 1.
        bytes: n, the size of the vector that each member has.
        bandwidth: What each member sends and receives at, both at once.
        latency: a, from one member to the next.
    """
    rounds = 2 * (_checked(members) - 1)
    return rounds * (latency + bytes / (members * bandwidth))


def tree_all_reduce_seconds(members: int, bytes: float, bandwidth: float, latency: float) -> float:
    """2 ceil(log2 p) (a + n b) (Thakur et al., 2005): a binomial reduce to one member, then a broadcast."""
    return 2 * ceil(log2(_checked(members))) * (latency + bytes / bandwidth)


def parameter_server_seconds(
    workers: int,
    bytes: float,
    worker_bandwidth: float,
    server_bandwidth: float,
    latency: float,
    servers: int = 1,
) -> float:
    """2 a + 2 max(n b_worker, p n b_server / s): all workers push n bytes at once, then all pull n bytes.

    Args:
        workers: p, at least 1.
        bytes: n, the size of the vector; each of the servers keeps an equal part of it.
        worker_bandwidth: What one worker's link gives, each way.
        server_bandwidth: What one server's link gives, each way, to all workers together.
        latency: a, between a worker and a server.
        servers: s, at least 1.
    """
    through_server = _checked(workers) * bytes / (_checked(servers) * server_bandwidth)
    return 2 * (latency + max(bytes / worker_bandwidth, through_server))


def pair_exchange_seconds(
    bytes: float, bandwidth: float, latency: float, duplex: Literal["full", "half"] = "full"
) -> float:
    """a + n b, or a + 2 n b where both directions share the link: two members send each other n bytes."""
    return latency + (1 if duplex == "full" else 2) * bytes / bandwidth


def _checked(number: int) -> int:
    if number < 1:
        raise ValueError(f"a group has at least one member, not {number}")
    return number
