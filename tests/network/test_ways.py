"""Equal-cost multipath, written routes, failures, overlays: what decides which way a message takes."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topologies import build, problem

from simnet.network import NoRouteError


def explicit(*links, nodes="abcd", **link):
    given = [{"between": list(pair.split("-")), **link.get(pair.replace("-", ""), {})} for pair in links]
    return {"kind": "explicit", "nodes": list(nodes), "links": given}


SQUARE = explicit("a-b", "b-d", "a-c", "c-d")
FAT_TREE = {"kind": "fat-tree", "k": 4}


# -- equal-cost multipath ---------------------------------------------------------------------------------


def test_pairs_are_spread_over_equal_paths_and_keep_theirs():
    tree = build(FAT_TREE, ecmp="pair")
    cores = Counter(tree.route(a, b).hops[3] for a in tree.hosts[:4] for b in tree.hosts[4:])
    assert set(cores) == {"core0", "core1", "core2", "core3"}
    assert tree.route("n0", "n15") is tree.route("n0", "n15", flow=7)
    single = build(FAT_TREE)
    assert len({single.route(a, b).hops[3] for a in single.hosts[:4] for b in single.hosts[4:]}) == 1


def test_flows_of_a_pair_are_spread_too():
    tree = build(FAT_TREE, ecmp="flow")
    cores = Counter(tree.route("n0", "n15", flow).hops[3] for flow in range(400))
    assert len(cores) == 4
    assert min(cores.values()) > 60
    assert tree.route("n0", "n15", 3) is tree.route("n0", "n15", 3)


def test_ecmp_takes_shortest_paths_only():
    for metric in ("latency", "hops", "bandwidth"):
        one = build(SQUARE, ecmp="pair", routing=metric)
        assert one.route("a", "d").hops in {("a", "b", "d"), ("a", "c", "d")}
        uneven = build(
            explicit("a-b", "b-d", "a-c", "c-d", ab={"latency": "1 ms", "bandwidth": "1 Gbps"}), ecmp="pair"
        )
        assert uneven.route("a", "d").hops == ("a", "b", "d")


def test_the_hash_is_the_same_in_every_process():
    code = "import topologies as t; "
    code += "print(t.build({'kind': 'fat-tree', 'k': 4}, ecmp='pair').route('n0', 'n15').hops)"
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd="tests/network",
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
        ).stdout
        for seed in ("1", "2")
    }
    assert runs == {f"{build(FAT_TREE, ecmp='pair').route('n0', 'n15').hops}\n"}


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["pair", "flow"]))
def test_ecmp_is_as_short_as_the_single_shortest_path(seed, ecmp):
    options = {"kind": "erdos-renyi", "nodes": 15, "p": 0.5, "seed": seed, "connect": True}
    spread, single = build(options, ecmp=ecmp), build(options)
    for a, b in pairwise(single.hosts):
        assert len(spread.route(a, b, flow=seed).hops) == len(single.route(a, b).hops)
        assert all(spread.graph.has_edge(*step) for step in pairwise(spread.route(a, b, flow=seed).hops))


# -- written routes ---------------------------------------------------------------------------------------


def test_written_routes_come_first():
    line = explicit("a-b", "b-c", "c-d", "a-d")
    built = build(line, routes=[{"from": "a", "to": "d", "via": ["b", "c"]}])
    assert built.route("a", "d").hops == ("a", "b", "c", "d")
    assert built.route("d", "a").hops == ("d", "a")
    assert built.route("a", "d").rtt == pytest.approx(0.015 + 0.005)
    both = build(line, routes=[{"from": "a", "to": "d", "via": ["b", "c"], "both_ways": True}])
    assert both.route("d", "a").hops == ("d", "c", "b", "a")
    assert (
        build(line, routes=[{"from": "a", "to": "d", "via": ["b", "c"]}], ecmp="flow")
        .route("a", "d", 3)
        .hops[1]
        == "b"
    )


@pytest.mark.parametrize(
    ("routes", "path", "message"),
    [
        ([{"from": "x", "to": "d", "via": []}], (0, "from"), "no node of this name"),
        ([{"from": "a", "to": "d", "via": ["y"]}], (0, "via", 0), "no node of this name"),
        ([{"from": "a", "to": "d", "via": []}], (0, "to"), "there is no link from a to d"),
        ([{"from": "a", "to": "d", "via": ["b", "a", "b"]}], (0, "via", 1), "comes twice"),
        ([{"from": "a", "to": "d", "via": ["b"]}] * 2, (1,), "a second route from a to d"),
    ],
)
def test_written_routes_that_lead_nowhere(routes, path, message):
    found = problem(SQUARE, routes=routes)
    assert found.path == ("network", "routes", *path)
    assert message in found.message


# -- failures ---------------------------------------------------------------------------------------------


def test_without_a_link_routes_go_around_it():
    whole = build(SQUARE, rerouting=True)
    assert whole.rerouting
    before = whole.route("a", "d")
    assert before.hops == ("a", "b", "d")
    broken = whole.without(whole.resources_of("b", "d"))
    assert broken.route("a", "d").hops == ("a", "c", "d")
    assert (broken.capacities, broken.resource_names) == (whole.capacities, whole.resource_names)
    assert set(broken.route("a", "d").resources) <= set(range(len(whole.capacities)))
    assert whole.route("a", "d") is before
    nothing = broken.without(broken.resources_of("a", "c"))
    assert nothing.failed == broken.failed | set(broken.resources_of("a", "c"))
    with pytest.raises(NoRouteError, match="no way from a to d is left"):
        nothing.route("a", "d")
    with pytest.raises(NoRouteError):
        build(SQUARE, ecmp="pair").without(range(8)).route("a", "d")
    assert whole.without([]).route("a", "d").hops == before.hops


def test_one_direction_may_fail_alone():
    whole = build(SQUARE)
    there, back = whole.resources_of("a", "b")
    broken = whole.without([there])
    assert broken.route("a", "b").hops == ("a", "c", "d", "b")
    assert broken.route("b", "a").hops == ("b", "a")
    assert back not in broken.failed


def test_a_star_without_a_leaf():
    star = build({"kind": "star", "nodes": 3})
    cut = star.without(star.resources_of("n0", "hub"))
    assert cut.route("n1", "n2").hops == ("n1", "hub", "n2")
    for pair in (("n0", "n1"), ("n1", "n0")):
        with pytest.raises(NoRouteError):
            cut.route(*pair)


def test_a_written_route_gives_way_when_its_link_fails():
    line = explicit("a-b", "b-c", "c-d", "a-d")
    built = build(line, routes=[{"from": "a", "to": "d", "via": ["b", "c"]}])
    assert built.without(built.resources_of("b", "c")).route("a", "d").hops == ("a", "d")


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.data())
def test_routes_without_resources_are_shortest_in_what_is_left(seed, data):
    whole = build({"kind": "erdos-renyi", "nodes": 10, "p": 0.4, "seed": seed, "connect": True})
    failed = data.draw(st.sets(st.integers(0, len(whole.capacities) - 1), max_size=12))
    broken = whole.without(failed)
    left = nx.DiGraph((a, b) for a, b, r in whole.graph.edges(data="resource") if r not in failed)
    left.add_nodes_from(whole.graph)
    for a, b in pairwise(whole.hosts):
        if nx.has_path(left, a, b):
            assert failed.isdisjoint(broken.route(a, b).resources)
            assert len(broken.route(a, b).hops) == len(nx.shortest_path(left, a, b))
        else:
            with pytest.raises(NoRouteError):
                broken.route(a, b)


# -- overlays ---------------------------------------------------------------------------------------------


def test_an_overlay_says_who_is_whose_neighbour():
    star = build({"kind": "star", "nodes": 6}, overlay={"kind": "torus", "dims": [2, 3]})
    assert star.neighbors("n0") == ("n1", "n2", "n3")
    assert star.route("n0", "n3").hops == ("n0", "hub", "n3")
    assert build({"kind": "star", "nodes": 6}, overlay="ring").neighbors("n5") == ("n0", "n4")


def test_an_overlay_needs_no_link_and_draws_from_the_seed():
    options = {"kind": "star", "access": {"up": "1 Mbps", "down": "1 Mbps", "latency": "1 ms"}, "nodes": 20}
    overlay = {"kind": "erdos-renyi", "p": 0.4}
    one, two, same = (build(options, link=None, overlay=overlay, seed=seed) for seed in (1, 2, 1))
    assert one.overlay == same.overlay != two.overlay


@pytest.mark.parametrize(
    ("overlay", "path", "message"),
    [
        ({"kind": "torus", "dims": [2, 2]}, (), "4 hosts for 6 workers"),
        ("star", (), "6 hosts and 1 switches for 6 workers"),
        ({"kind": "erdos-renyi", "p": 2}, ("p",), ""),
        ("rng", ("kind",), "unknown topology"),
        ({"kind": "erdos-renyi", "p": 0.0}, (), "in pieces"),
    ],
)
def test_overlays_that_do_not_fit(overlay, path, message):
    found = problem({"kind": "star", "nodes": 6}, overlay=overlay)
    assert found.path == ("network", "overlay", *path)
    assert message in found.message
