import math
import time
import warnings

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topologies import build, links, problem

from simnet.network import NetworkWarning
from simnet.network.shapes import PartialLink
from simnet.scenario import LinkConfig

MBPS = 125e3


def undirected(topology):
    """The network as a graph of numbers in the order of its nodes, to hold against networkx's own."""
    number = {name: i for i, name in enumerate(topology.graph)}
    return nx.Graph([(number[a], number[b]) for a, b in topology.graph.edges])


@pytest.mark.parametrize(
    ("topology", "reference"),
    [
        ({"kind": "torus", "dims": [4, 5]}, nx.grid_graph([4, 5], periodic=True)),
        ({"kind": "torus", "dims": [2, 3, 4]}, nx.grid_graph([2, 3, 4], periodic=True)),
        ({"kind": "torus", "dims": [3, 4], "wrap": False}, nx.grid_2d_graph(3, 4)),
        ({"kind": "hypercube", "dimension": 4}, nx.hypercube_graph(4)),
        ({"kind": "tree", "branching": 3, "depth": 2}, nx.balanced_tree(3, 2)),
        ({"kind": "exponential", "nodes": 11}, nx.circulant_graph(11, [1, 2, 4, 8])),
        (
            {"kind": "dumbbell", "left": 3, "right": 3},
            nx.Graph([(0, 6), (1, 6), (2, 6), (6, 7), (3, 7), (4, 7), (5, 7)]),
        ),
    ],
)
def test_regular_shapes_are_those_of_networkx(topology, reference):
    assert nx.is_isomorphic(undirected(build(topology)), reference)


def test_neighbours_on_a_torus_run_along_its_dimensions():
    torus = build({"kind": "torus", "dims": [3, 4]})
    assert torus.neighbors("n0") == ("n1", "n3", "n4", "n8")
    assert build({"kind": "torus", "dims": [5]}).neighbors("n0") == ("n1", "n4")


def test_hypercubes_and_exponential_graphs_have_short_ways():
    cube = build("hypercube", 16)
    assert max(len(cube.route("n0", host).hops) - 1 for host in cube.hosts) == 4
    assert problem("hypercube", 12).path == ("network", "topology", "dimension")
    exponential = build("exponential", 16)
    assert exponential.neighbors("n0") == ("n1", "n2", "n4", "n8", "n12", "n14", "n15")


def test_a_tree_widens_towards_its_root():
    tree = build({"kind": "tree", "branching": 2, "depth": 3, "widening": 2})
    assert (len(tree.hosts), len(tree.switches)) == (8, 7)
    route = tree.route("n0", "n7")
    assert [tree.capacities[r] / MBPS for r in route.resources] == [100, 200, 400, 400, 200, 100]
    assert route.hops[3] == "s0"


@pytest.mark.parametrize("k", [2, 4, 6])
def test_a_fat_tree_has_full_bisection(k):
    tree = build({"kind": "fat-tree", "k": k})
    assert len(tree.hosts) == k**3 // 4
    assert len(tree.switches) == 5 * k**2 // 4
    assert len(links(tree)) == 3 * k**3 // 4
    flow = tree.graph.copy()
    half = len(tree.hosts) // 2
    for i, host in enumerate(tree.hosts):
        flow.add_edge(*(("all", host) if i < half else (host, "none")), bandwidth=100 * MBPS)
    assert nx.maximum_flow_value(flow, "all", "none", capacity="bandwidth") == pytest.approx(
        half * 100 * MBPS
    )
    assert problem({"kind": "fat-tree", "k": 3}).path[-1] == "k"


def test_a_dumbbell_has_its_bottleneck_in_the_middle():
    dumbbell = build({"kind": "dumbbell", "bottleneck": {"bandwidth": "1 Mbps", "loss": 0.1}}, 5, model="tcp")
    assert dumbbell.hosts == ("l0", "l1", "l2", "r0", "r1")
    assert dumbbell.nominal_bandwidth("l0", "r0") == MBPS
    assert dumbbell.nominal_bandwidth("l0", "l1") == 100 * MBPS
    assert dumbbell.route("l0", "r0").loss == pytest.approx(0.1)
    assert problem({"kind": "dumbbell", "left": 5}, 5).message == "no host is left for one of the sides"


# -- random ones ------------------------------------------------------------------------------------------

RANDOM = st.one_of(
    st.fixed_dictionaries({"kind": st.just("erdos-renyi"), "p": st.sampled_from([0.0, 0.01, 0.3, 1.0])}),
    st.fixed_dictionaries(
        {"kind": st.just("waxman"), "alpha": st.floats(0.01, 2), "beta": st.floats(0.01, 1)}
    ),
    st.fixed_dictionaries({"kind": st.just("random-geometric"), "radius": st.floats(0.01, 1.4)}),
    st.fixed_dictionaries(
        {
            "kind": st.just("small-world"),
            "k": st.sampled_from([2, 4]),
            "p": st.sampled_from([0.0, 0.01, 0.3, 1.0]),
        }
    ),
    st.fixed_dictionaries({"kind": st.just("barabasi-albert"), "m": st.integers(1, 4)}),
)


@settings(max_examples=60, deadline=None)
@given(RANDOM, st.integers(5, 40), st.integers(0, 2**31))
def test_random_networks_are_connected_and_the_same_each_time(topology, nodes, seed):
    topology = {**topology, "nodes": nodes, "connect": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetworkWarning)
        first, again = build(topology, seed=seed), build({**topology, "seed": seed}, seed=1)
    assert len(first.hosts) == nodes
    assert nx.is_strongly_connected(first.graph)
    assert list(first.graph.edges) == list(again.graph.edges)
    assert all(a != b for a, b in first.graph.edges)


def test_random_networks_have_as_many_links_as_expected():
    assert len(links(build({"kind": "barabasi-albert", "nodes": 50, "m": 3}))) == 3 * 47
    assert len(links(build({"kind": "small-world", "nodes": 50, "k": 6}))) == 150
    count = len(links(build({"kind": "erdos-renyi", "nodes": 200, "p": 0.1})))
    mean, deviation = 0.1 * 19900, math.sqrt(19900 * 0.09)
    assert abs(count - mean) < 5 * deviation


def test_geometric_links_are_those_within_the_radius():
    topology = build({"kind": "random-geometric", "nodes": 60, "radius": 0.4})
    place = nx.get_node_attributes(topology.graph, "position")
    near = {frozenset((a, b)) for a in place for b in place if a < b and math.dist(place[a], place[b]) <= 0.4}
    assert links(topology) == near


def test_waxman_links_get_rarer_with_distance_as_its_formula_says():
    topology = build({"kind": "waxman", "nodes": 400, "alpha": 0.3, "beta": 0.5})
    place = nx.get_node_attributes(topology.graph, "position")
    pairs = [(a, b) for a in place for b in place if a < b]
    linked = links(topology)
    near = {pair for pair in pairs if math.dist(place[pair[0]], place[pair[1]]) < 0.3}
    for group in (near, set(pairs) - near):
        chance = [0.5 * math.exp(-math.dist(place[a], place[b]) / (0.3 * math.sqrt(2))) for a, b in group]
        found = sum(frozenset(pair) in linked for pair in group)
        assert abs(found - sum(chance)) < 5 * math.sqrt(sum(p * (1 - p) for p in chance))


def test_a_side_in_km_gives_latencies():
    options = {"kind": "random-geometric", "nodes": 30, "radius": 0.6, "side_km": 1000}
    topology = build({**options, "detour": 1.5})
    place = nx.get_node_attributes(topology.graph, "position")
    for a, b, link in topology.graph.edges(data=True):
        assert link["latency"] == pytest.approx(0.005 + 1.5 * math.dist(place[a], place[b]) / 200_000)
    assert max(x for x, _ in place.values()) > 500
    del options["side_km"]
    assert problem({**options, "detour": 2}).path[-1] == "detour"


@pytest.mark.parametrize(
    ("topology", "word"),
    [
        ({"kind": "erdos-renyi", "p": 0.01}, "larger p"),
        ({"kind": "waxman", "beta": 0.01}, "larger beta"),
        ({"kind": "random-geometric", "radius": 0.01}, "larger radius"),
    ],
)
def test_a_draw_in_pieces_says_what_to_raise_or_is_joined_with_a_warning(topology, word):
    found = problem({**topology, "nodes": 20})
    assert "in pieces" in found.message
    assert word in found.expected
    assert "connect: true" in found.expected
    with pytest.warns(NetworkWarning, match=r"the draw was in \d+ pieces: joined them by"):
        joined = build({**topology, "nodes": 20, "connect": True})
    assert any("joined" in note for note in joined.notes)


def test_pieces_are_joined_by_the_shortest_links():
    with pytest.warns(NetworkWarning):
        joined = build({"kind": "random-geometric", "nodes": 30, "radius": 0.001, "connect": True})
    place = nx.get_node_attributes(joined.graph, "position")
    complete = nx.Graph()
    complete.add_weighted_edges_from(
        (a, b, math.dist(place[a], place[b])) for a in place for b in place if a < b
    )
    assert links(joined) == {frozenset(edge) for edge in nx.minimum_spanning_tree(complete).edges}


@pytest.mark.parametrize(
    ("topology", "key"), [({"kind": "barabasi-albert", "m": 4}, "m"), ({"kind": "small-world", "k": 3}, "k")]
)
def test_impossible_numbers_of_links(topology, key):
    assert problem({**topology, "nodes": 4}).path == ("network", "topology", key)


# -- access links -----------------------------------------------------------------------------------------


def rates(topology, host):
    return tuple(topology.graph.edges[way]["bandwidth"] / MBPS for way in ((host, "hub"), ("hub", host)))


def test_access_links_differ_by_direction_and_host():
    star = build(
        {"kind": "star", "access": {"up": ["1 Mbps", "100 Mbps"], "down": "50 Mbps", "latency": "1 ms"}}, 3
    )
    assert [rates(star, host) for host in star.hosts] == [(1, 50), (pytest.approx(10), 50), (100, 50)]
    assert star.route("n0", "n1").latency == 0.002
    linear = build(
        {"kind": "star", "access": {"up": ["1 Mbps", "99 Mbps"], "spread": "linear", "slowest": "2 Mbps"}}, 4
    )
    assert [rates(linear, host) for host in linear.hosts] == [(2, 2), (1, 100), (50, 100), (99, 100)]


def test_a_server_has_the_common_link_beside_access_links():
    star = build({"kind": "star", "access": {"up": "1 Mbps"}}, 2, server=True)
    assert rates(star, "server") == (100, 100)
    assert rates(star, "n0") == (1, 100)


def test_drawn_access_links_do_not_depend_on_how_many_hosts_there_are():
    access = {"up": ["1 Mbps", "100 Mbps"], "spread": "log-uniform"}
    few, many = (build({"kind": "star", "access": access}, n, seed=3) for n in (3, 300))
    assert [rates(few, host) for host in few.hosts] == [rates(many, host) for host in few.hosts]
    ups = [rates(many, host)[0] for host in many.hosts]
    assert 1 <= min(ups) < 2
    assert 50 < max(ups) <= 100
    assert abs(sum(up < 10 for up in ups) - 150) < 5 * math.sqrt(75)


@pytest.mark.parametrize(
    ("access", "key"),
    [
        ({"up": ["2 Mbps", "1 Mbps"]}, "up"),
        ({"latency": ["0 s", "1 ms"]}, "latency"),
        ({"upp": "1 Mbps"}, "upp"),
    ],
)
def test_access_links_that_make_no_sense(access, key):
    assert problem({"kind": "star", "access": access}, 3).path == ("network", "topology", "access", key)


# -- what a link may say ----------------------------------------------------------------------------------


def test_a_link_of_its_own_may_say_whatever_the_common_one_says():
    assert set(PartialLink.model_fields) == set(LinkConfig.model_fields)


def explicit(*given, nodes="abc"):
    return {"kind": "explicit", "nodes": list(nodes), "links": list(given)}


def test_efficiency_loss_and_fatpipes():
    topology = build(
        explicit(
            {"between": ["a", "b"], "efficiency": 0.5, "loss": 0.1},
            {"between": ["b", "c"], "sharing": "fatpipe", "loss": 0.2},
        ),
        model="tcp",
    )
    route = topology.route("a", "c")
    assert [topology.capacities[r] / MBPS for r in route.resources] == [50, 100]
    assert route.loss == pytest.approx(1 - 0.9 * 0.8)
    assert [r in topology.fatpipes for r in route.resources] == [False, True]
    assert route.rtt == 0.02


def test_simplex_links_lead_one_way():
    one_way = [
        {"between": [*pair], "duplex": "simplex", "latency": f"{i} ms"}
        for i, pair in enumerate(("ab", "bc", "ca"), 1)
    ]
    ring = build(explicit(*one_way))
    assert ring.resource_names == ("a->b", "b->c", "c->a")
    assert ring.route("b", "a").hops == ("b", "c", "a")
    assert ring.route("a", "b").latency == 0.001
    assert ring.route("a", "b").rtt == pytest.approx(0.006)
    both = build(explicit(*one_way[:1], {"between": ["b", "a"], "duplex": "simplex"}, nodes="ab"))
    assert both.graph.edges["b", "a"]["latency"] == 0.005
    assert "already" in problem(explicit(one_way[0], one_way[0], nodes="ab")).message
    assert "already" in problem(explicit(one_way[0], {"between": ["b", "a"]}, nodes="ab")).message


def test_a_network_that_cannot_be_crossed_both_ways_is_in_pieces():
    found = problem(explicit({"between": ["a", "b"], "duplex": "simplex"}, nodes="ab"))
    assert found.message == "the network is in pieces: there is no path from b to a"


# -- size -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("topology", "nodes"),
    [
        ({"kind": "star", "nodes": 10_000}, 10_001),
        ({"kind": "random-geometric", "nodes": 2_000, "radius": 0.06}, 2_000),
    ],
)
def test_large_networks_are_built_in_a_few_seconds(topology, nodes):
    begun = time.process_time()
    built = build(topology)
    hosts = built.hosts
    for i in range(200):
        assert built.route(hosts[-1], hosts[i]).hops[-1] == hosts[i]
    assert time.process_time() - begun < 10
    assert len(built.graph) == nodes


def test_the_common_link_is_needed_where_nothing_else_says_what_links_are_like():
    assert problem({"kind": "torus", "dims": [2, 2]}, link=None).path == ("network", "link")
    assert build(
        {"kind": "star", "access": {"up": "1 Mbps", "down": "1 Mbps", "latency": "1 ms"}}, 2, link=None
    )
