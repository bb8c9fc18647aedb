"""Collectives: the right values, the closed-form times, and fluid equal to step by step."""

from math import ceil, log2

import pytest
import torch

LATENCY = 2 * 0.005  # two access links
BANDWIDTH = 100e6 / 8
CHARGE = 4e6  # bytes of the model as charged: 1M parameters of 4 bytes


def gradient_like(node, values=1.0):
    return torch.full_like(node.params, values)


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("collectives", ["fluid", "stepwise"])
def test_ring_all_reduce_takes_its_closed_form(simulate, alike, n, collectives):
    ends = {}

    async def worker(node):
        reduced = await node.all_reduce(torch.full_like(node.params, float(node.rank)), op="mean")
        assert torch.allclose(reduced, torch.full_like(reduced, (n - 1) / 2))
        ends[node.id] = node.now

    simulate(worker, {**alike(n), "network.collectives": collectives})
    expected = 2 * (n - 1) * (LATENCY + CHARGE / (n * BANDWIDTH))
    assert list(ends.values()) == pytest.approx([expected] * n, abs=1e-9)


@pytest.mark.parametrize("n", [2, 4, 5, 8])
def test_tree_all_reduce_takes_its_closed_form(simulate, alike, n):
    ends = []

    async def worker(node):
        reduced = await node.all_reduce(torch.full_like(node.params, float(node.rank)), op="sum")
        assert torch.allclose(reduced, torch.full_like(reduced, n * (n - 1) / 2))
        ends.append(node.now)

    simulate(worker, {**alike(n), "network.all_reduce": "tree"})
    expected = 2 * ceil(log2(n)) * (LATENCY + CHARGE / BANDWIDTH)
    if n & (n - 1):  # an incomplete tree has shorter branches: the formula is a bound
        assert expected / 2 < max(ends) < expected
    else:
        assert max(ends) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("parameters", ["1k", "1M"])
def test_auto_is_never_slower_than_either(simulate, alike, parameters):
    def duration(kind):
        ends = []

        async def worker(node):
            await node.all_reduce(node.params)
            ends.append(node.now)

        simulate(
            worker, {**alike(8), "task.charge_as": {"parameters": parameters}, "network.all_reduce": kind}
        )
        return max(ends)

    assert duration("auto") <= min(duration("ring"), duration("tree")) + 1e-9


@pytest.mark.parametrize("kind", ["all_reduce", "all_gather", "reduce_scatter"])
def test_fluid_and_stepwise_agree_uncongested(simulate, alike, kind):
    def run(collectives):
        results = {}

        async def worker(node):
            mine = torch.arange(node.params.numel(), dtype=torch.float32) * (node.rank + 1)
            results[node.id] = (await getattr(node, kind)(mine), node.now)

        done = simulate(worker, {**alike(5), "network.collectives": collectives})
        return results, done.outcome.bytes_sent

    (fluid, fluid_bytes), (stepwise, stepwise_bytes) = run("fluid"), run("stepwise")
    assert fluid_bytes == pytest.approx(stepwise_bytes, rel=1e-12)
    for node, (value, moment) in stepwise.items():
        assert fluid[node][1] == pytest.approx(moment, abs=1e-9)
        pairs = zip(value, fluid[node][0], strict=True) if kind == "all_gather" else [(value, fluid[node][0])]
        for left, right in pairs:
            assert torch.allclose(left, right)


@pytest.mark.parametrize("n", [1, 2, 3, 6, 8])
def test_broadcast_and_barrier(simulate, alike, n):
    ends = []

    async def worker(node):
        root = node.members("worker")[-1]
        await node.sleep(node.rank)
        got = await node.broadcast(node.params + 1 if node.id == root else None, root)
        assert torch.equal(got, node.params + 1)
        await node.barrier()
        ends.append(node.now)

    simulate(worker, alike(n))
    broadcast = ceil(log2(n)) * (LATENCY + CHARGE / BANDWIDTH)
    assert max(ends) <= (n - 1) + broadcast + 2 * ceil(log2(n)) * LATENCY + 1e-9
    assert min(ends) >= n - 1


def test_reduce_scatter_then_all_gather_is_all_reduce(simulate, alike):
    async def worker(node):
        mine = torch.linspace(0, 1, node.params.numel()) * (node.rank + 1)
        share = await node.reduce_scatter(mine, op="sum")
        whole = torch.cat(await node.all_gather(share))
        assert torch.allclose(whole, await node.all_reduce(mine, op="sum"))

    simulate(worker, alike(3))


def test_scalars_are_not_scaled_by_charge_as(simulate, alike):
    async def worker(node):
        losses = await node.all_gather(float(node.rank))
        assert losses == [0.0, 1.0, 2.0, 3.0]

    done = simulate(worker, alike(4))
    assert done.outcome.bytes_sent == 4 * 3 * 8


def test_a_group_leaves_the_others_alone(simulate, alike):
    async def worker(node):
        pair = node.members("worker")[:2]
        if node.id in pair:
            total = await node.all_reduce(torch.full_like(node.params, node.rank + 1.0), "sum", group=pair)
            assert torch.equal(total, torch.full_like(total, 3.0))
        else:
            with pytest.raises(ValueError, match="not in"):
                await node.all_reduce(node.params, group=pair)

    simulate(worker, alike(4))


def test_unequal_shapes_are_refused(simulate, alike):
    async def worker(node):
        await node.all_reduce(node.params[: node.rank + 1])

    with pytest.raises(ValueError, match="different shapes"):
        simulate(worker, alike(2))


@pytest.mark.parametrize(
    ("uplinks", "latency"),
    [
        ([10, 100, 100, 100], "10 ms"),  # Mbit/s: the slow one sends all its messages without a pause
        ([10, 100, 10, 100], "1 s"),
        ([20, 30, 50, 70, 100], "300 ms"),
        ([100, 20, 20], "50 ms"),
    ],
)
@pytest.mark.parametrize("kind", ["all_reduce", "reduce_scatter"])
def test_fluid_and_stepwise_agree_on_uneven_rings(simulate, alike, uplinks, latency, kind):
    """No more than the bound of rounds that wait for each other: 2(p-1) max_i (a + n/(p B_i))."""

    def run(collectives):
        ends = {}

        async def worker(node):
            await getattr(node, kind)(node.params)
            ends[node.id] = node.now

        workers = [{"count": 1, "device": "cpu", "uplink": f"{uplink} Mbps"} for uplink in uplinks]
        changes = {**alike(len(uplinks)), "workers": workers, "network.collectives": collectives}
        simulate(worker, {**changes, "network.link.latency": latency})
        return ends

    fluid, stepwise = run("fluid"), run("stepwise")
    assert len(set(fluid.values())) == 1
    assert max(fluid.values()) == pytest.approx(max(stepwise.values()), rel=1e-9)
    size = len(uplinks)
    rounds = (2 if kind == "all_reduce" else 1) * (size - 1)
    slowest = CHARGE / (size * min(uplinks) / 100 * BANDWIDTH)
    bound = rounds * (2 * float(latency.split()[0]) * (1e-3 if "ms" in latency else 1) + slowest)
    assert max(fluid.values()) <= bound + 1e-9
