from itertools import pairwise
from math import isclose

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.network import RouteTable, build_topology
from simnet.network.routing import Route, link_cost, shortest_path_tree, tree_path
from simnet.scenario import Scenario


@st.composite
def weighted_graphs(draw):
    """Connected graphs of up to 12 nodes; costs are small, so that ties are common."""
    size = draw(st.integers(1, 12))
    edges = {(draw(st.integers(0, node - 1)), node) for node in range(1, size)}
    pairs = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1))
    edges |= {(a, b) for a, b in draw(st.lists(pairs, max_size=20)) if a < b}
    return size, {edge: draw(st.integers(0, 4)) for edge in sorted(edges)}


@given(weighted_graphs())
def test_paths_are_shortest_then_have_fewest_hops_then_come_first(graph):
    size, edges = graph
    adjacency = [[] for _ in range(size)]
    reference = nx.Graph()
    reference.add_nodes_from(range(size))
    for (a, b), cost in edges.items():
        adjacency[a].append((b, cost))
        adjacency[b].append((a, cost))
        # Both criteria in one number: no path has 100 hops.
        reference.add_edge(a, b, weight=100 * cost + 1)
    tree = shortest_path_tree(adjacency, 0)
    distance = nx.single_source_dijkstra_path_length(reference, 0)
    for node in range(size):
        path = tree_path(tree, node)
        assert nx.path_weight(reference, path, "weight") == distance[node]
        before = [
            b for b, _ in adjacency[node] if distance[b] + reference[b][node]["weight"] == distance[node]
        ]
        assert tree[node] == min(before, default=node)


def test_what_cannot_be_reached_is_said():
    tree = shortest_path_tree([[], []], 0)
    assert tree == [0, -1]
    with pytest.raises(ValueError, match="cannot be reached"):
        tree_path(tree, 1)


def test_equal_sums_tie_in_whatever_order_they_are_added():
    costs = [link_cost("latency", latency, 1.0) for latency in (0.1, 0.2, 0.3)]
    assert sum(costs) == sum(costs[::-1])
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1


LINKS = [("a", "b", "10 ms", "1 Gbps"), ("b", "c", "10 ms", "1 Gbps"), ("a", "c", "50 ms", "10 Mbps")]
LINKS += [("c", "d", "1 ms", "1 Gbps"), ("a", "x", "5 ms", "100 Mbps"), ("x", "c", "5 ms", "100 Mbps")]


def explicit(small, **changes):
    links = [
        {"between": [a, b], "latency": latency, "bandwidth": bandwidth} for a, b, latency, bandwidth in LINKS
    ]
    nodes = ["a", "b", "c", "d", {"name": "x", "switch": True}]
    topology = {"kind": "explicit", "nodes": nodes, "links": links}
    return build_topology(Scenario.model_validate(small({"network.topology": topology, **changes})))


@pytest.mark.parametrize(
    ("routing", "hops"),
    [("latency", "axcd"), ("hops", "acd"), ("bandwidth", "abcd")],
)
def test_each_metric_takes_its_own_way(small, routing, hops):
    topology = explicit(small, **{"network.routing": routing})
    assert topology.route("a", "d").hops == tuple(hops)


def test_a_route_knows_its_resources_latency_and_bandwidth(small):
    topology = explicit(small)
    route = topology.route("a", "d")
    assert [topology.resource_names[r] for r in route.resources] == ["a->x", "x->c", "c->d"]
    assert route.latency == pytest.approx(0.011, rel=1e-12)
    assert topology.nominal_bandwidth("a", "d") == 12.5e6
    assert topology.route("a", "d") is route
    assert topology.route("b", "b") == Route((), 0.0, ("b",))
    assert topology.nominal_bandwidth("b", "b") == float("inf")
    with pytest.raises(KeyError):
        topology.route("a", "nobody")


def test_neighbours_are_reached_through_switches_but_not_through_hosts(small):
    topology = explicit(small)
    assert topology.neighbors("a") == ("b", "c")
    assert topology.neighbors("d") == ("c",)
    assert topology.neighbors("x") == ("a", "c")


@pytest.mark.parametrize("routing", ["latency", "hops", "bandwidth"])
@pytest.mark.parametrize("seed", range(3))
def test_routes_on_random_graphs_are_as_short_as_those_of_networkx(small, routing, seed):
    graph = nx.connected_watts_strogatz_graph(20, 4, 0.4, seed=seed)
    links = [
        {
            "between": [f"h{a}", f"h{b}"],
            "latency": f"{1 + (a * 7 + b * 3 + seed) % 11} ms",
            "bandwidth": f"{10 + 10 * ((a + b * 5) % 7)} Mbps",
        }
        for a, b in graph.edges
    ]
    topology = {"kind": "explicit", "nodes": [f"h{i}" for i in graph], "links": links}
    built = build_topology(
        Scenario.model_validate(small({"network.topology": topology, "network.routing": routing}))
    )
    weight = {
        "latency": lambda a, b, link: link["latency"],
        "hops": lambda a, b, link: 1,
        "bandwidth": lambda a, b, link: 1 / link["bandwidth"],
    }[routing]
    for source, lengths in nx.all_pairs_dijkstra_path_length(built.graph, weight=weight):
        for target, expected in lengths.items():
            hops = built.route(source, target).hops
            length = sum(weight(a, b, built.graph.edges[a, b]) for a, b in pairwise(hops))
            assert isclose(length, expected, rel_tol=1e-9, abs_tol=1e-15)


def test_a_table_gives_what_it_was_given():
    route = Route((0,), 1.0, ("a", "b"))
    table = RouteTable((1.0,), {("a", "b"): route})
    assert table.route("a", "b") is route
    assert table.route("c", "c") == Route((), 0.0, ("c",))
    with pytest.raises(KeyError):
        table.route("b", "a")
