"""Which collective is chosen, and in what order members sit on a ring."""

import pytest
import torch
from collective_runs import BANDWIDTH, LATENCY, star

from simnet.network import analytic
from simnet.runtime.collectives import SteppedRings
from simnet.runtime.collectives.choice import all_reduce_plans, broadcast_plans
from simnet.runtime.collectives.dispatch import Collectives
from simnet.runtime.collectives.order import by_bandwidth
from simnet.runtime.collectives.paths import Paths

CANDIDATES = ["ring", "tree", "recursive-doubling", "halving-doubling"]
SIZES = [1, 30_000, 100_000, 1_000_000]  # floats: 8 B to 4 MB, latency-bound to bandwidth-bound


@pytest.fixture
def duration(simulate):
    """How long one call on every worker takes."""

    def run(call, changes):
        ends = []

        async def worker(node):
            await call(node)
            ends.append(node.now)

        simulate(worker, changes)
        return max(ends)

    return run


def all_reduce(size):
    async def call(node):
        await node.all_reduce(torch.ones(size))

    return call


def broadcast(size):
    async def call(node):
        first = node.members("worker")[0]
        await node.broadcast(torch.ones(size) if node.id == first else None, first)

    return call


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("n", [2, 3, 6, 8])
def test_auto_is_never_slower_than_the_best_candidate_on_a_star(duration, n, size):
    times = {
        name: duration(all_reduce(size), star(n, all_reduce=name, collectives="stepwise"))
        for name in CANDIDATES
    }
    auto = duration(all_reduce(size), star(n, all_reduce="auto"))
    assert auto == pytest.approx(min(times.values()), abs=1e-9), times
    times = {
        name: duration(broadcast(size), star(n, broadcast=name))
        for name in ("binomial", "scatter-all-gather")
    }
    assert duration(broadcast(size), star(n, broadcast="auto")) == pytest.approx(
        min(times.values()), abs=1e-9
    )


def test_small_tensors_take_few_rounds_and_large_ones_few_bytes(simulate):
    chosen = {}

    async def worker(node):
        await node.sleep(0)

    run = simulate(worker, star(8, all_reduce="auto", broadcast="auto")).run.collectives
    members = tuple(f"n{i}" for i in range(8))
    for size in SIZES:
        chosen[size] = run.all_reduce_name(members, 4 * size), run.broadcast_name(members, "n0", 4 * size)
    assert chosen[1] == ("recursive-doubling", "binomial")
    assert chosen[1_000_000] == ("halving-doubling", "scatter-all-gather")
    run = simulate(worker, star(6, all_reduce="auto")).run.collectives
    assert run.all_reduce_name(members[:6], 4e6) == "ring"


@pytest.fixture
def paths(simulate):
    """The routes between the workers of a scenario."""

    def build(changes):
        async def worker(node):
            await node.sleep(0)

        run = simulate(worker, changes).run
        return Paths(run.topology, {name: node.host for name, node in run.nodes.items()})

    return build


@pytest.mark.parametrize("n", [2, 3, 6, 8])
def test_estimates_are_the_closed_forms_on_a_star(paths, n):
    members = tuple(f"n{i}" for i in range(n))
    plans = all_reduce_plans(members, members, [members], paths(star(n)))
    forms = {
        "ring": analytic.ring_all_reduce_seconds,
        "recursive-doubling": analytic.recursive_doubling_seconds,
        "halving-doubling": analytic.halving_doubling_seconds,
        "tree": lambda *link: 2 * analytic.binomial_broadcast_seconds(*link),
    }
    assert plans.keys() == forms.keys()
    for name, form in forms.items():
        seconds = sum(rounds.seconds(1e6) for rounds in plans[name])
        assert seconds == pytest.approx(form(n, 1e6, BANDWIDTH, LATENCY), rel=1e-12)
    plans = broadcast_plans(members, members[-1], paths(star(n)))
    forms = {
        "binomial": analytic.binomial_broadcast_seconds,
        "scatter-all-gather": analytic.scatter_all_gather_broadcast_seconds,
    }
    for name, form in forms.items():
        seconds = sum(rounds.seconds(1e6) for rounds in plans[name])
        assert seconds == pytest.approx(form(n, 1e6, BANDWIDTH, LATENCY), rel=1e-12)


SITES = {
    "network.topology": {
        "kind": "explicit",
        "nodes": [
            *(f"n{i}" for i in range(8)),
            {"name": "east", "switch": True},
            {"name": "west", "switch": True},
        ],
        "links": [
            *({"between": [f"n{i}", "west" if i % 2 else "east"], "latency": "1 ms"} for i in range(8)),
            {"between": ["east", "west"], "bandwidth": "20 Mbps", "latency": "40 ms"},
        ],
    },
    "task.charge_as": None,
}
"""Two sites of four fast hosts each, far from each other behind a thin link; ranks take turns."""
EAST, WEST = ("n0", "n2", "n4", "n6"), ("n1", "n3", "n5", "n7")


def crossings(ring):
    return sum((a in EAST) != (b in EAST) for a, b in zip(ring, [*ring[1:], ring[0]], strict=True))


def test_a_ring_by_bandwidth_crosses_the_thin_link_twice(paths, duration):
    ring = by_bandwidth(tuple(f"n{i}" for i in range(8)), paths(SITES))
    assert sorted(ring) == [f"n{i}" for i in range(8)]
    assert crossings(ring) == 2
    for collectives in ("fluid", "stepwise"):
        by_rank, ordered = (
            duration(
                all_reduce(1_000_000),
                {**SITES, "network.ring_order": order, "network.collectives": collectives},
            )
            for order in ("rank", "bandwidth")
        )
        assert ordered < 0.5 * by_rank


def test_a_ring_by_bandwidth_keeps_the_order_where_it_does_not_matter(paths):
    members = tuple(f"n{i}" for i in range(6))
    assert by_bandwidth(members, paths(star(6))) == members
    around = {"network.topology": {"kind": "ring", "nodes": 6}}
    assert by_bandwidth(members, paths(around)) == members
    shuffled = ("n0", "n3", "n1", "n5", "n2", "n4")
    found = by_bandwidth(shuffled, paths(around))
    start = found.index("n0")
    assert [*found[start:], *found[:start]] in ([*members], [members[0], *members[:0:-1]])


def test_a_slow_node_is_avoided_by_nobody_but_its_neighbours(paths):
    """Its link is used twice whatever the order: the ring is as fast as with any order."""
    slow = {**star(5), "workers": [{"count": 4, "device": "cpu"}, {"device": "cpu", "uplink": "1 Mbps"}]}
    members = tuple(f"n{i}" for i in range(5))
    assert by_bandwidth(members, paths(slow)) == members


def test_ranks_of_results_do_not_depend_on_the_ring(simulate):
    async def worker(node):
        share = await node.reduce_scatter(torch.arange(16.0) + node.rank, "sum")
        assert torch.equal(share, torch.tensor_split(8 * torch.arange(16.0) + 28, 8)[node.rank])
        assert await node.all_gather(node.rank) == list(range(8))

    for collectives in ("fluid", "stepwise"):
        simulate(worker, {**SITES, "network.ring_order": "bandwidth", "network.collectives": collectives})


def test_sites_make_the_hierarchy(simulate, duration):
    async def worker(node):
        await node.sleep(0)

    async def call(node):
        await node.all_reduce(torch.ones(1_000_000), group=(*EAST, *WEST))

    auto = {**SITES, "network.all_reduce": "auto"}
    run = simulate(worker, auto).run.collectives
    assert run.local_groups((*EAST, *WEST)) == (EAST, WEST)
    assert run.all_reduce_name((*EAST, *WEST), 4e6) == "hierarchical"
    times = {
        name: duration(call, {**SITES, "network.all_reduce": name}) for name in [*CANDIDATES, "hierarchical"]
    }
    assert times["hierarchical"] == min(times.values())
    assert duration(call, auto) == times["hierarchical"]


def test_all_members_choose_alike_whatever_their_view(simulate):
    """The choice depends on scenario, members and size alone: another run's object says the same."""

    async def worker(node):
        await node.sleep(0)

    run = simulate(worker, {**SITES, "network.all_reduce": "auto", "network.ring_order": "bandwidth"}).run
    hosts = {name: node.host for name, node in run.nodes.items()}
    other = Collectives(run.scenario.network, run.topology, hosts, run.cost.charged_bytes, SteppedRings())
    for members in (tuple(hosts), EAST, ("n5", "n0", "n3")):
        assert other.ring_order(members) == run.collectives.ring_order(members)
        for size in SIZES:
            assert other.all_reduce_name(members, 4 * size) == run.collectives.all_reduce_name(
                members, 4 * size
            )


def test_more_servers_than_members_are_refused(simulate):
    async def worker(node):
        await node.all_reduce(torch.ones(4))

    with pytest.raises(ValueError, match="5 servers among 4 members"):
        simulate(worker, star(4, all_reduce={"name": "parameter-server", "servers": 5}))
