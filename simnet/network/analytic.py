"""Closed forms of communication times in the alpha-beta model: a message of n bytes takes a + n b seconds.

Arguments are in bytes, bytes per second (the inverse of b) and seconds (a, the latency of a whole route).
They hold on an uncongested network where every member has the same full-duplex link, for any number of
members p unless it says otherwise; simulations are tested against them. q stands for the largest power of two
that is not above p. Sources: Thakur, Rabenseifner and Gropp, "Optimization of Collective
Communication Operations in MPICH", IJHPCA 19(1), 2005; Chan et al., "Collective communication: theory,
practice, and experience", CCPE 19(13), 2007; Patarasu and Yuan, "Bandwidth optimal all-reduce algorithms",
JPDC 69(2), 2009; van de Geijn, "On global combine operations", JPDC 22(2), 1994.
"""

from collections.abc import Iterable, Sequence
from math import ceil, inf, log2, sqrt
from typing import Literal

import numpy as np


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


def ring_gather_seconds(members: int, bytes: float, bandwidth: float, latency: float) -> float:
    """(p-1) a + (p-1)/p n b (Thakur et al., 2005): a reduce-scatter or an all-gather around a ring.

    `bytes` is n, the size of the whole vector: all that is gathered, or what each brings to a reduction.
    """
    return (_checked(members) - 1) * (latency + bytes / (members * bandwidth))


def ring_arrivals(send_seconds: Sequence[float], latencies: Sequence[float], rounds: int) -> list[float]:
    """When the last message of each edge of a ring arrives, in seconds from the start of all members.

    A member passes on in each round what it got in the one before, once its own last message has left:
    it begins round k at max(end of its send k-1, arrival of k-1 from the member before). No more than
    rounds * max_i(s_i + a_i), the time of rounds that all wait for each other, and the same if all edges are
    alike.

    Args:
        send_seconds: s_i, what each member's message takes to leave; member i sends to i + 1.
        latencies: a_i, from there on until it arrives.
        rounds: How many messages each member sends.
    """
    send, latency = np.asarray(send_seconds), np.asarray(latencies)
    free, at_hand = np.zeros(len(send)), np.zeros(len(send))
    for _ in range(rounds):
        free = np.maximum(free, at_hand) + send
        at_hand = np.roll(free + latency, 1)
    arrivals: list[float] = (free + latency).tolist()
    return arrivals


def uneven_ring_all_reduce_seconds(bytes: float, links: Iterable[tuple[float, float]]) -> float:
    """A ring all-reduce over unequal links: the last of 2 (p-1) rounds of :func:`ring_arrivals`.

    Args:
        bytes: n, the size of the vector that each member has.
        links: Bandwidth B_i and latency a_i from each member to the next.
    """
    edges = list(links)
    size = _checked(len(edges))
    sending = [bytes / (size * bandwidth) for bandwidth, _ in edges]
    return max(ring_arrivals(sending, [latency for _, latency in edges], 2 * (size - 1))) if size > 1 else 0.0


def recursive_doubling_seconds(members: int, bytes: float, bandwidth: float, latency: float) -> float:
    """log2 p (a + n b) (Thakur et al., 2005); (log2 q + 2)(a + n b) unless p is a power of two."""
    rounds = _core(members).bit_length() - 1 + (2 if _core(members) < members else 0)
    return rounds * (latency + bytes / bandwidth)


def halving_doubling_seconds(members: int, bytes: float, bandwidth: float, latency: float) -> float:
    """2 log2 p a + 2 (p-1)/p n b (Rabenseifner); that of q and 2 (a + n b) unless p is a power of two."""
    core = _core(members)
    folding = 2 * (latency + bytes / bandwidth) if core < members else 0.0
    return 2 * (core.bit_length() - 1) * latency + 2 * (core - 1) / core * bytes / bandwidth + folding


def tree_all_reduce_seconds(members: int, bytes: float, bandwidth: float, latency: float) -> float:
    """2 ceil(log2 p) (a + n b) (Thakur et al., 2005): a binomial reduce to one member, then a broadcast.

    Of rounds that wait for each other. Without that it holds for powers of two, and is a bound for other p:
    see :func:`binomial_broadcast_seconds`.
    """
    return 2 * ceil(log2(_checked(members))) * (latency + bytes / bandwidth)


def binomial_broadcast_seconds(members: int, bytes: float, bandwidth: float, latency: float) -> float:
    """ceil(log2 p) n b + floor(log2 p) a: members pass on what they got to one other after another.

    For powers of two this is ceil(log2 p) (a + n b) (Thakur et al., 2005), as for any p if rounds wait for
    each other. No path of a tree that is not full has a message of every round: it saves one latency. A bound
    for the reduction the other way, which may save more.
    """
    return ceil(log2(_checked(members))) * bytes / bandwidth + (_core(members).bit_length() - 1) * latency


def scatter_all_gather_broadcast_seconds(
    members: int, bytes: float, bandwidth: float, latency: float
) -> float:
    """(floor(log2 p) + p - 1) a + 2 (p-1)/p n b (van de Geijn): a binomial scatter, then a ring."""
    hops = _core(members).bit_length() - 1 + members - 1
    return hops * latency + 2 * (members - 1) / members * bytes / bandwidth


def pipelined_seconds(depth: int, chunks: int, bytes: float, bandwidth: float, latency: float) -> float:
    """h a + (h + k - 1) n b/k: a chain of h hops passes a vector on in k chunks.

    A sender goes on with the next chunk when one has left, so that all chunks but the first travel in the
    shadow of others. :func:`textbook_pipelined_seconds` is an upper bound and equal for a = 0 or k = 1.
    """
    return depth * latency + (depth + _checked(chunks) - 1) * bytes / (chunks * bandwidth)


def textbook_pipelined_seconds(
    depth: int, chunks: int, bytes: float, bandwidth: float, latency: float
) -> float:
    """(h + k - 1)(a + n b/k) (Chan et al., 2007): the same if a sender waits for each chunk to arrive."""
    return (depth + _checked(chunks) - 1) * (latency + bytes / (chunks * bandwidth))


def best_chunks(depth: int, bytes: float, bandwidth: float, latency: float) -> float:
    """k = sqrt((h-1) n b / a): :func:`textbook_pipelined_seconds` is least; infinite without latency."""
    if depth <= 1 or bytes <= 0:
        return 1.0
    return max(1.0, sqrt((depth - 1) * bytes / (bandwidth * latency))) if latency > 0 else inf


def pairwise_all_to_all_seconds(members: int, bytes: float, bandwidth: float, latency: float) -> float:
    """(p-1)(a + m b) (Thakur et al., 2005) for m bytes per pair: one partner after another."""
    return (_checked(members) - 1) * (latency + bytes / bandwidth)


def all_to_all_at_once_seconds(members: int, bytes: float, bandwidth: float, latency: float) -> float:
    """a + (p-1) m b for m bytes per pair: all messages under way together; nothing for one member."""
    return latency + (members - 1) * bytes / bandwidth if _checked(members) > 1 else 0.0


def hierarchical_all_reduce_seconds(
    group_size: int, groups: int, bytes: float, bandwidth: float, latency: float
) -> float:
    """RS_local(n) + AR_global(n/m) + AG_local(n), with rings: 2 (m + g - 2) a + 2 (m g - 1)/(m g) n b.

    Args:
        group_size: m, the members of each local group.
        groups: g.
        bytes: n, the size of the vector that each member has.
        bandwidth: What each member sends and receives at, within its group and beyond.
        latency: a, within a group and beyond.
    """
    within = 2 * ring_gather_seconds(group_size, bytes, bandwidth, latency)
    return within + ring_all_reduce_seconds(groups, bytes / group_size, bandwidth, latency)


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


def member_server_seconds(
    members: int, servers: int, bytes: float, bandwidth: float, latency: float
) -> float:
    """2 a + 2 (p-1)/s n b: s of the p members serve too, and keep their own parts to themselves."""
    if _checked(members) == 1:
        return 0.0
    return 2 * (latency + (members - 1) / _checked(servers) * bytes / bandwidth)


def pair_exchange_seconds(
    bytes: float, bandwidth: float, latency: float, duplex: Literal["full", "half"] = "full"
) -> float:
    """a + n b, or a + 2 n b where both directions share the link: two members send each other n bytes."""
    return latency + (1 if duplex == "full" else 2) * bytes / bandwidth


def _core(members: int) -> int:
    """q, the largest power of two that is not above the number of members."""
    return 1 << (_checked(members).bit_length() - 1)


def _checked(number: int) -> int:
    if number < 1:
        raise ValueError(f"a group has at least one member, not {number}")
    return number
