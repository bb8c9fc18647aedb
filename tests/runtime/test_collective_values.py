"""Collectives give what torch gives, for any number of members and any size, the same bits to all."""

import pytest
import torch
from collective_runs import ALL_REDUCES, BROADCASTS, name_of, star, vector
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simnet.runtime.node import Encoded

some = settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
members = st.integers(2, 9)
sizes = st.integers(0, 23)


@pytest.mark.parametrize("collectives", ["fluid", "stepwise"])
@pytest.mark.parametrize("algorithm", ALL_REDUCES, ids=name_of)
@some
@given(n=members, size=sizes, op=st.sampled_from(["mean", "sum"]))
def test_all_reduce(simulate, algorithm, collectives, n, size, op):
    expected = getattr(torch.stack([vector(rank, size) for rank in range(n)]), op)(0)
    results = []

    async def worker(node):
        mine = vector(node.rank, size)
        results.append(await node.all_reduce(mine, op=op))
        assert torch.equal(mine, vector(node.rank, size)), "what is sent is never changed"

    done = simulate(worker, star(n, all_reduce=algorithm, collectives=collectives))
    assert len(results) == n
    for result in results:
        assert torch.allclose(result, expected, rtol=1e-6, atol=1e-6)
        assert torch.equal(result, results[0]), "all members get the same bits"
    assert done.outcome.invariants["bytes_lost"] == 0


@pytest.mark.parametrize("algorithm", ALL_REDUCES, ids=name_of)
def test_all_reduce_keeps_shapes_and_sums_what_is_not_whole(simulate, algorithm):
    results = []

    async def worker(node):
        mine = torch.linspace(0, 1 / 3, 15).reshape(3, 5) * (node.rank + 0.1)
        results.append((mine, await node.all_reduce(mine, op="mean")))

    simulate(worker, star(5, all_reduce=algorithm, collectives="stepwise"))
    expected = torch.stack([mine for mine, _ in results]).double().mean(0)
    for _, result in results:
        assert result.shape == (3, 5)
        assert torch.allclose(result.double(), expected, rtol=1e-6)
        assert torch.equal(result, results[0][1])


@pytest.mark.parametrize("collectives", ["fluid", "stepwise"])
@pytest.mark.parametrize("ring_order", ["rank", "bandwidth"])
@some
@given(n=members, size=sizes)
def test_reduce_scatter_and_all_gather(simulate, collectives, ring_order, n, size):
    total = torch.stack([vector(rank, size) for rank in range(n)]).sum(0)

    async def worker(node):
        share = await node.reduce_scatter(vector(node.rank, size), op="sum")
        assert torch.equal(share, torch.tensor_split(total, n)[node.rank])
        gathered = await node.all_gather((node.rank, vector(node.rank, size)))
        assert [rank for rank, _ in gathered] == list(range(n))
        assert all(torch.equal(held, vector(rank, size)) for rank, held in gathered)

    simulate(worker, star(n, collectives=collectives, ring_order=ring_order))


@pytest.mark.parametrize("algorithm", BROADCASTS, ids=name_of)
@some
@given(n=st.integers(1, 9), size=sizes, data=st.data())
def test_broadcast(simulate, algorithm, n, size, data):
    rank = data.draw(st.integers(0, n - 1))

    async def worker(node):
        root = node.members("worker")[rank]
        for payload in (vector(7, size).reshape(1, -1), Encoded("opaque", 10.0), "text", None):
            got = await node.broadcast(payload if node.id == root else None, root)
            assert torch.equal(got, payload) if isinstance(payload, torch.Tensor) else got == payload

    simulate(worker, star(n, broadcast=algorithm))


@pytest.mark.parametrize("kind", ["at-once", "pairwise"])
@some
@given(n=st.integers(1, 9))
def test_all_to_all(simulate, kind, n):
    async def worker(node):
        got = await node.all_to_all([10 * node.rank + to for to in range(n)])
        assert got == [10 * sender + node.rank for sender in range(n)]

    simulate(worker, star(n, all_to_all=kind))


def test_all_to_all_takes_one_payload_each(simulate):
    async def worker(node):
        with pytest.raises(ValueError, match="one payload per member: 4, not 3"):
            await node.all_to_all([1, 2, 3])

    simulate(worker)


@pytest.mark.parametrize("algorithm", ALL_REDUCES, ids=name_of)
def test_groups_and_concurrent_collectives_do_not_mix(simulate, algorithm):
    """Two overlapping groups, several kinds, and two calls of one kind under way at the same time."""

    async def worker(node):
        everybody = node.members("worker")
        odd, even = everybody[1::2], everybody[::2]
        mine = odd if node.rank % 2 else even
        await node.sleep(0.001 * node.rank)
        tasks = [
            node.spawn(node.all_reduce(vector(node.rank, 11), "sum")),
            node.spawn(node.all_reduce(vector(node.rank, 11, seed=1), "sum")),
            node.spawn(node.all_reduce(vector(node.rank, 11), "sum", group=mine)),
            node.spawn(node.all_gather(node.rank, group=mine)),
            node.spawn(node.broadcast(node.rank, everybody[3])),
            node.spawn(node.all_to_all([node.rank] * len(everybody))),
            node.spawn(node.reduce_scatter(vector(node.rank, 11), "sum")),
        ]
        first, second, part, gathered, three, everyone, share = [await task for task in tasks]
        ranks, own = range(len(everybody)), range(node.rank % 2, len(everybody), 2)
        assert torch.equal(first, sum(vector(rank, 11) for rank in ranks))
        assert torch.equal(second, sum(vector(rank, 11, seed=1) for rank in ranks))
        assert torch.equal(part, sum(vector(rank, 11) for rank in own))
        assert gathered == list(own)
        assert three == 3
        assert everyone == list(ranks)
        assert torch.equal(share, torch.tensor_split(first, len(everybody))[node.rank])

    for collectives in ("fluid", "stepwise"):
        simulate(worker, star(7, all_reduce=algorithm, collectives=collectives))


@pytest.mark.parametrize("algorithm", ALL_REDUCES, ids=name_of)
def test_unequal_shapes_are_refused(simulate, algorithm):
    async def worker(node):
        await node.all_reduce(torch.ones(12 if node.rank else 1))

    with pytest.raises(ValueError, match="different shapes"):
        simulate(worker, star(2, all_reduce=algorithm, collectives="stepwise"))


@pytest.mark.parametrize("algorithm", ALL_REDUCES, ids=name_of)
def test_runs_repeat(simulate, algorithm):
    async def worker(node):
        for size in (3, 50):
            reduced = await node.all_reduce(torch.linspace(0, 1, size) / (node.rank + 3))
            node.record(sum=float(reduced.sum()))

    first, second = (simulate(worker, star(6, all_reduce=algorithm)).recorder.files() for _ in range(2))
    assert first == second
