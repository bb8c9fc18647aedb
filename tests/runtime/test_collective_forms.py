"""Collectives on uniform stars take the closed forms of `network.analytic`, and exactly their bytes."""

from math import ceil, fsum

import pytest
import torch
from collective_runs import ALL_REDUCES, BANDWIDTH, LATENCY, name_of, star

from simnet.network import analytic
from simnet.runtime.collectives import parameter_server_all_reduce

SIZE = 250_003  # floats: no multiple of any number of members, so that pieces are uneven
BYTES = 4 * SIZE
MEMBERS = [2, 3, 4, 6, 7, 8, 12]


@pytest.fixture
def timed(simulate):
    """When the last worker is done with what `call` does, and the bytes of all messages."""

    def run(n, call, **network):
        ends = []

        async def worker(node):
            await call(node)
            ends.append(node.now)

        done = simulate(worker, star(n, **network))
        assert len(ends) == n
        sent = done.recorder.tables()["transfers"]["bytes"].to_pylist()
        assert done.outcome.bytes_sent == pytest.approx(fsum(sent), abs=len(sent) * 2**-20), (
            "the ledger's units"
        )
        return max(ends), fsum(sent)

    return run


async def all_reduce(node):
    await node.all_reduce(torch.ones(SIZE))


async def broadcast(node):
    await node.broadcast(torch.ones(SIZE) if node.rank == 1 else None, node.members("worker")[1])


FORMS = {
    "ring": analytic.ring_all_reduce_seconds,
    "recursive-doubling": analytic.recursive_doubling_seconds,
    "halving-doubling": analytic.halving_doubling_seconds,
}


@pytest.mark.parametrize("n", MEMBERS)
@pytest.mark.parametrize("algorithm", FORMS)
@pytest.mark.parametrize("collectives", ["fluid", "stepwise"])
def test_all_reduce_for_any_number_of_members(timed, n, algorithm, collectives):
    seconds, _ = timed(n, all_reduce, all_reduce=algorithm, collectives=collectives)
    assert seconds == pytest.approx(FORMS[algorithm](n, BYTES, BANDWIDTH, LATENCY), abs=1e-9, rel=1e-9)


@pytest.mark.parametrize("n", MEMBERS)
def test_tree(timed, n):
    """The textbook's for powers of two; else the broadcast has its own form and the reduction a bound."""
    seconds, sent = timed(n, all_reduce, all_reduce="tree")
    textbook = analytic.tree_all_reduce_seconds(n, BYTES, BANDWIDTH, LATENCY)
    each_way = analytic.binomial_broadcast_seconds(n, BYTES, BANDWIDTH, LATENCY)
    if n & (n - 1):
        assert seconds <= 2 * each_way + 1e-9 < textbook
    else:
        assert seconds == pytest.approx(textbook, rel=1e-9)
        assert 2 * each_way == pytest.approx(textbook, rel=1e-12)
    assert sent == pytest.approx(2 * (n - 1) * BYTES, rel=1e-12)
    seconds, sent = timed(n, broadcast)
    assert seconds == pytest.approx(each_way, rel=1e-9)
    assert sent == pytest.approx((n - 1) * BYTES, rel=1e-12)


@pytest.mark.parametrize("n", MEMBERS)
def test_scatter_all_gather_broadcast(timed, n):
    seconds, _ = timed(n, broadcast, broadcast="scatter-all-gather")
    form = analytic.scatter_all_gather_broadcast_seconds(n, BYTES, BANDWIDTH, LATENCY)
    assert seconds == pytest.approx(form, rel=1e-9)


@pytest.mark.parametrize("chunks", [1, 2, 7])
@pytest.mark.parametrize("n", [2, 5, 8])
def test_pipelined_chain(timed, n, chunks):
    chain = {"name": "pipelined-chain", "chunks": chunks}
    shape = (n - 1, chunks, BYTES, BANDWIDTH, LATENCY)
    form, textbook = analytic.pipelined_seconds(*shape), analytic.textbook_pipelined_seconds(*shape)
    seconds, sent = timed(n, broadcast, broadcast=chain)
    assert seconds == pytest.approx(form, rel=1e-9)
    assert sent == pytest.approx((n - 1) * BYTES, rel=1e-12)
    assert form <= textbook * (1 + 1e-12)
    seconds, sent = timed(n, all_reduce, all_reduce=chain)
    assert seconds == pytest.approx(2 * form, rel=1e-9)
    assert sent == pytest.approx(2 * (n - 1) * BYTES, rel=1e-12)


@pytest.mark.parametrize("n", [2, 4, 8])
def test_pipelines_without_latency_take_the_textbook_time(timed, n):
    link = {"bandwidth": "100 Mbps", "latency": "0 s"}
    chain = {"name": "pipelined-chain", "chunks": 5}
    seconds, _ = timed(n, broadcast, broadcast=chain, link=link)
    assert seconds == pytest.approx(
        analytic.textbook_pipelined_seconds(n - 1, 5, BYTES, BANDWIDTH, 0.0), rel=1e-9
    )


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_full_pipelined_tree_sends_every_chunk_twice(timed, depth):
    tree = {"name": "pipelined-tree", "chunks": 4}
    form = analytic.pipelined_seconds(depth, 4, 2 * BYTES, BANDWIDTH, LATENCY)
    seconds, _ = timed(2 ** (depth + 1) - 1, broadcast, broadcast=tree)
    assert seconds == pytest.approx(form, rel=1e-9)
    seconds, _ = timed(2 ** (depth + 1) - 1, all_reduce, all_reduce=tree)
    assert seconds == pytest.approx(2 * form, rel=1e-9)


@pytest.mark.parametrize("collectives", ["fluid", "stepwise"])
@pytest.mark.parametrize(("size", "groups"), [(2, 2), (2, 4), (4, 2), (3, 3), (5, 1), (1, 4)])
def test_hierarchical(timed, collectives, size, groups):
    seconds, sent = timed(
        size * groups,
        all_reduce,
        all_reduce={"name": "hierarchical", "group_size": size},
        collectives=collectives,
    )
    form = analytic.hierarchical_all_reduce_seconds(size, groups, BYTES, BANDWIDTH, LATENCY)
    assert seconds == pytest.approx(form, rel=1e-9)
    assert sent == pytest.approx(2 * (size * groups - 1) * BYTES, rel=1e-12)


@pytest.mark.parametrize("servers", [1, 2, 4])
@pytest.mark.parametrize("n", [4, 7])
def test_parameter_servers_among_the_members(timed, n, servers):
    seconds, sent = timed(n, all_reduce, all_reduce={"name": "parameter-server", "servers": servers})
    form = analytic.member_server_seconds(n, servers, BYTES, BANDWIDTH, LATENCY)
    assert seconds == pytest.approx(form, rel=1e-9)
    assert sent == pytest.approx(2 * (n - 1) * BYTES, rel=1e-12)


@pytest.mark.parametrize("servers", [1, 2, 3, 6])
def test_parameter_servers_of_their_own(timed, servers):
    """2 a + 2 max(n b_worker, p n b_server / s), with 4 workers."""

    async def call(node):
        names = node.members("worker")
        mine = torch.full((SIZE,), float(node.rank)) if node.rank < 4 else None
        result = await parameter_server_all_reduce(node, mine, "sum", names[:4], names[4:], "round")
        assert result is None if mine is None else torch.equal(result, torch.full((SIZE,), 6.0))

    seconds, sent = timed(4 + servers, call)
    form = analytic.parameter_server_seconds(4, BYTES, BANDWIDTH, BANDWIDTH, LATENCY, servers)
    assert seconds == pytest.approx(form, rel=1e-9)
    assert sent == pytest.approx(2 * 4 * BYTES, rel=1e-12)


@pytest.mark.parametrize("n", MEMBERS)
def test_all_to_all(timed, n):
    async def call(node):
        await node.all_to_all([torch.ones(SIZE)] * n)

    pairwise, sent = timed(n, call, all_to_all="pairwise")
    assert pairwise == pytest.approx(
        analytic.pairwise_all_to_all_seconds(n, BYTES, BANDWIDTH, LATENCY), rel=1e-9
    )
    at_once, also_sent = timed(n, call, all_to_all="at-once")
    assert at_once == pytest.approx(
        analytic.all_to_all_at_once_seconds(n, BYTES, BANDWIDTH, LATENCY), rel=1e-9
    )
    assert sent == also_sent == n * (n - 1) * BYTES


@pytest.mark.parametrize("collectives", ["fluid", "stepwise"])
@pytest.mark.parametrize("n", MEMBERS)
def test_reduce_scatter_and_all_gather(timed, n, collectives):
    async def scatter(node):
        await node.reduce_scatter(torch.ones(SIZE))

    async def gather(node):
        await node.all_gather(torch.ones(n * SIZE // n // 4))

    seconds, sent = timed(n, scatter, collectives=collectives)
    assert seconds == pytest.approx(analytic.ring_gather_seconds(n, BYTES, BANDWIDTH, LATENCY), rel=1e-9)
    assert sent == pytest.approx((n - 1) * BYTES, rel=1e-12)
    seconds, _ = timed(n, gather, collectives=collectives)
    whole = n * 4 * (SIZE // 4)
    assert seconds == pytest.approx(analytic.ring_gather_seconds(n, whole, BANDWIDTH, LATENCY), rel=1e-9)


@pytest.mark.parametrize("size", [0, 1, 3, SIZE])
@pytest.mark.parametrize("n", [3, 4, 6])
def test_bytes_are_those_of_the_formulas(timed, n, size):
    """Also for tensors with fewer elements than there are members."""
    whole, core = 4 * size, 1 << (n.bit_length() - 1)
    rounds, folded = core.bit_length() - 1, n - core
    expected = {
        "ring": 2 * (n - 1) * whole,
        "tree": 2 * (n - 1) * whole,
        "recursive-doubling": (core * rounds + 2 * folded) * whole,
        "halving-doubling": (2 * (core - 1) + 2 * folded) * whole,
    }

    async def call(node):
        await node.all_reduce(torch.ones(size))

    for algorithm, sent in expected.items():
        assert timed(n, call, all_reduce=algorithm)[1] == pytest.approx(sent, rel=1e-12)


@pytest.mark.parametrize("algorithm", ALL_REDUCES, ids=name_of)
@pytest.mark.parametrize("n", [2, 5, 8])
def test_fluid_and_stepwise_agree(timed, algorithm, n):
    fluid = timed(n, all_reduce, all_reduce=algorithm, collectives="fluid")
    stepwise = timed(n, all_reduce, all_reduce=algorithm, collectives="stepwise")
    assert fluid[1] == pytest.approx(stepwise[1], rel=1e-12)
    size = algorithm.get("group_size", n) if isinstance(algorithm, dict) else n
    if (
        n % size == 0 or size >= n
    ):  # the ring of the leaders of unequal groups begins while others still reduce
        assert fluid[0] == pytest.approx(stepwise[0], abs=1e-9)


def test_the_default_number_of_chunks_is_the_textbooks(timed):
    best = analytic.best_chunks(7, BYTES, BANDWIDTH, LATENCY)
    given = {"name": "pipelined-chain", "chunks": 7}
    assert best == pytest.approx((6 * BYTES / BANDWIDTH / LATENCY) ** 0.5)
    chosen = timed(8, broadcast, broadcast="pipelined-chain")
    assert chosen == timed(8, broadcast, broadcast=given)
    times = [
        analytic.textbook_pipelined_seconds(7, k, BYTES, BANDWIDTH, LATENCY) for k in range(1, 4 * ceil(best))
    ]
    assert abs(times.index(min(times)) + 1 - best) < 1
