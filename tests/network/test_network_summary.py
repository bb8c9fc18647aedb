import networkx as nx
import numpy as np
import pytest
from topologies import build

from simnet.network import summarise
from simnet.network.summary import metropolis, narrowest_cut, spectral_gap, worker_graph

MBPS = 125e3


def test_a_dumbbell_in_numbers():
    found = summarise(
        build({"kind": "dumbbell", "left": 2, "right": 2, "bottleneck": {"bandwidth": "10 Mbps"}})
    )
    assert (found.hosts, found.switches, found.workers, found.links, found.hops) == (4, 2, 4, 5, 3)
    assert found.latency == pytest.approx(0.015)
    assert (found.least_bandwidth, found.greatest_bandwidth) == (10 * MBPS, 100 * MBPS)
    assert [load.name for load in found.loads[:2]] == ["left->right", "right->left"]
    assert found.loads[0].pairs == pytest.approx(4 / 12)
    assert found.loads[0].each == pytest.approx(10 * MBPS / 4)
    assert found.cut is not None
    assert (found.cut.bandwidth, found.cut.links) == (10 * MBPS, ("left->right",))


@pytest.mark.parametrize(("nodes", "gap"), [(4, 2 / 3), (10, None)])
def test_the_spectral_gap_of_a_ring(nodes, gap):
    """Metropolis weights on a ring are 1/3: the eigenvalues are (1 + 2 cos(2 pi k / n)) / 3."""
    found = summarise(build({"kind": "ring", "nodes": nodes})).spectral_gap
    assert found == pytest.approx(gap or (2 - 2 * np.cos(2 * np.pi / nodes)) / 3)


def test_metropolis_weights_are_symmetric_and_doubly_stochastic():
    weights = metropolis(worker_graph(build({"kind": "barabasi-albert", "nodes": 30})))
    assert np.allclose(weights, weights.T)
    assert np.allclose(weights.sum(axis=0), 1)
    assert weights.min() >= 0
    assert 0 < spectral_gap(weights) < 1
    assert spectral_gap(np.full((4, 4), 0.25)) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(4))
def test_the_narrowest_cut_is_the_smallest_of_all_pairs(seed):
    graph = nx.gnp_random_graph(8, 0.5, seed=seed)
    graph.add_edges_from(nx.path_graph(8).edges)
    links = [
        {"between": [f"h{a}", f"h{b}"], "bandwidth": f"{1 + (7 * a + 3 * b + seed) % 9} Mbps"}
        for a, b in graph.edges
    ]
    built = build({"kind": "explicit", "nodes": [f"h{i}" for i in graph], "links": links})
    smallest = min(
        nx.maximum_flow_value(built.graph, a, b, capacity="bandwidth")
        for a in built.hosts
        for b in built.hosts
        if a != b
    )
    cut = narrowest_cut(built)
    assert cut.bandwidth == pytest.approx(smallest)
    names = dict(zip(built.resource_names, built.capacities, strict=True))
    assert sum(names[name] for name in cut.links) == pytest.approx(smallest)


def test_one_worker_and_many():
    alone = summarise(build({"kind": "star", "nodes": 1}))
    assert (alone.hops, alone.cut, alone.spectral_gap, alone.loads) == (0, None, None, ())
    many = summarise(build({"kind": "star", "nodes": 400}))
    assert many.sampled
    assert many.cut is None
    assert many.spectral_gap == pytest.approx(1)
