import networkx as nx
import pytest
import simpy

from simnet.network import FluidNetwork, build_topology, topologies
from simnet.network.generators import find_generator, generators
from simnet.scenario import Scenario, ScenarioError

MBPS = 125e3


@pytest.fixture
def build(small):
    def make(topology, workers=None, *, with_server=False, **changes):
        workers = (
            [{"device": "cpu"}] if workers is None else [{"device": "cpu", **group} for group in workers]
        )
        options = {key.replace("__", "."): value for key, value in changes.items()}
        mapping = small({"network.topology": topology, "workers": workers, **options})
        return build_topology(Scenario.model_validate(mapping), with_server=with_server)

    return make


@pytest.fixture
def refusal(build):
    """The one problem of a topology that cannot be built."""

    def make(*args, **kwargs):
        with pytest.raises(ScenarioError) as raised:
            build(*args, **kwargs)
        (problem,) = raised.value.problems
        return problem

    return make


def explicit(links, nodes="abc"):
    return {"kind": "explicit", "nodes": list(nodes), "links": links}


TRIANGLE = explicit([{"between": ["a", "b"]}, {"between": ["b", "c"]}, {"between": ["c", "a"]}])
PATH = explicit([{"between": ["a", "b"]}, {"between": ["b", "c"]}])


def names(topology, source, target):
    return [topology.resource_names[r] for r in topology.route(source, target).resources]


# -- kinds ------------------------------------------------------------------------------------------------


def test_star(build):
    topology = build({"kind": "star", "nodes": 3})
    assert (topology.hosts, topology.switches, topology.server) == (("n0", "n1", "n2"), ("hub",), None)
    assert topology.workers == topology.hosts
    assert names(topology, "n0", "n2") == ["n0->hub", "hub->n2"]
    assert topology.route("n0", "n2").latency == 0.01
    assert topology.capacities == (100 * MBPS,) * 6
    assert topology.neighbors("n1") == ("n0", "n2")


def test_half_duplex_links_are_one_resource(build):
    topology = build({"kind": "star", "nodes": 2}, network__link__duplex="half")
    assert topology.resource_names == ("n0--hub", "n1--hub")
    assert set(topology.route("n0", "n1").resources) == set(topology.route("n1", "n0").resources)


def test_full_mesh(build):
    topology = build({"kind": "full-mesh", "nodes": 4})
    assert len(topology.capacities) == 12
    assert all(topology.route(a, b).hops == (a, b) for a in topology.hosts for b in topology.hosts if a != b)
    assert topology.neighbors("n2") == ("n0", "n1", "n3")


@pytest.mark.parametrize(("nodes", "links"), [(1, 0), (2, 1), (3, 3), (6, 6)])
def test_ring(build, nodes, links):
    topology = build({"kind": "ring", "nodes": nodes})
    assert topology.graph.number_of_edges() == 2 * links
    assert all(degree == 2 * min(2, nodes - 1) for _, degree in topology.graph.degree)


def test_the_number_of_hosts_defaults_to_that_of_workers(build):
    assert len(build({"kind": "ring"}, [{"count": 3}, {"count": 2}]).hosts) == 5
    assert build("star", [{"nodes": ["n1", "n0"]}, {"count": 1}]).workers == ("n1", "n0", "n2")


def test_explicit(build):
    links = [
        {"between": ["a", "r"], "bandwidth": "1 Gbps", "latency": "1 ms"},
        {"between": ["r", "b"], "duplex": "half"},
    ]
    topology = build(explicit(links, ["b", "a", {"name": "r", "switch": True}]))
    assert (topology.hosts, topology.switches) == (("b", "a"), ("r",))
    assert names(topology, "a", "b") == ["a->r", "r--b"]
    assert topology.route("a", "b").latency == pytest.approx(0.006)
    assert [topology.capacities[r] for r in topology.route("a", "b").resources] == [1000 * MBPS, 100 * MBPS]


def test_every_kind_is_documented():
    for kind in topologies.values():
        assert kind.__doc__
        assert all(field.description for field in kind.model_fields.values())


# -- generators -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["barabasi_albert_graph", "barabasi-albert-graph"])
def test_generators_have_the_scenarios_seed_unless_told_otherwise(build, kind):
    def links(topology):
        return {(int(a[1:]), int(b[1:])) for a, b in topology.graph.edges}

    own = build({"kind": kind, "n": 20, "m": 2, "seed": 7})
    assert links(own) == set(nx.barabasi_albert_graph(20, 2, seed=7).to_directed().edges)
    inherited = build({"kind": kind, "n": 20, "m": 2}, seed=5)
    assert links(inherited) == set(nx.barabasi_albert_graph(20, 2, seed=5).to_directed().edges)
    assert inherited.hosts == tuple(f"n{i}" for i in range(20))


def test_nodes_of_any_type_become_hosts(build):
    topology = build({"kind": "grid_2d_graph", "m": 2, "n": 3})
    assert topology.hosts == ("n0", "n1", "n2", "n3", "n4", "n5")
    assert topology.neighbors("n0") == ("n1", "n3")


def test_all_generators_are_found_by_their_names():
    known = generators()
    assert {"barabasi_albert_graph", "random_geometric_graph", "karate_club_graph", "hypercube_graph"} <= set(
        known
    )
    assert "line_graph" not in known
    assert all(find_generator(name)[1] is function for name, function in known.items())


def test_an_unknown_kind(refusal):
    problem = refusal({"kind": "barabasi-alberd", "n": 4})
    assert problem.path == ("network", "topology", "kind")
    assert problem.suggestion == "barabasi-albert"
    assert refusal({"kind": "karate-club-grap"}).suggestion == "karate_club_graph"
    assert refusal("stra").suggestion == "star"


def test_options_of_a_generator_are_checked_against_its_signature(build, refusal):
    problem = refusal({"kind": "random_geometric_graph", "n": 4, "radius": 2, "dims": 2})
    assert (problem.path, problem.suggestion) == (("network", "topology", "dims"), "dim")
    problem = refusal({"kind": "random_geometric_graph", "n": 4})
    assert (problem.path, problem.message) == (("network", "topology", "radius"), "missing key")
    assert "random_geometric_graph(n, radius" in problem.expected
    problem = refusal({"kind": "path_graph", "n": 4, "create_using": 1})
    assert problem.message == "unknown key"
    with pytest.raises(ScenarioError) as raised:
        build({"kind": "barabasi_albert_graph", "nodes": 4})
    assert [problem.path[-1] for problem in raised.value.problems] == ["nodes", "n", "m"]


@pytest.mark.parametrize(
    ("topology", "message"),
    [
        ({"kind": "barabasi_albert_graph", "n": 2, "m": 5}, "networkx refuses: "),
        ({"kind": "random_regular_graph", "d": "many", "n": 5}, "networkx refuses: "),
        ({"kind": "gn_graph", "n": 5}, "gives a directed graph"),
        ({"kind": "gnp_random_graph", "n": 5, "p": 1.0, "directed": True}, "gives a directed graph"),
        ({"kind": "configuration_model", "deg_sequence": [3, 3, 2]}, "several links between two nodes"),
        ({"kind": "null_graph"}, "without nodes"),
        ({"kind": "empty_graph", "n": 0}, "without nodes"),
        ({"kind": "number_of_nonisomorphic_trees", "order": 4}, "no graph but a value of type int"),
        (
            {"kind": "stochastic_block_model", "sizes": [2], "p": [[1.0]], "selfloops": True},
            "themselves: n0, n1",
        ),
        ({"kind": "empty_graph", "n": 3}, "no path from n0 to n1"),
    ],
)
def test_what_is_not_a_network_is_refused(refusal, topology, message):
    problem = refusal(topology)
    assert message in problem.message
    assert problem.path[:2] == ("network", "topology")


# -- workers ----------------------------------------------------------------------------------------------


def test_groups_take_hosts_in_order_after_the_named_ones(build):
    groups = [{"count": 2}, {"nodes": ["n0", "n4"]}, {}]
    assert build({"kind": "star", "nodes": 6}, groups).workers == ("n1", "n2", "n0", "n4", "n3", "n5")


def test_hosts_may_be_left_over_where_they_relay(build):
    topology = build(PATH, [{"nodes": ["a", "c"]}])
    assert topology.workers == ("a", "c")
    assert topology.route("a", "c").hops == ("a", "b", "c")
    assert build({"kind": "path_graph", "n": 5}, [{"count": 2}]).workers == ("n0", "n1")


@pytest.mark.parametrize(
    ("topology", "groups", "path", "message"),
    [
        ({"kind": "star", "nodes": 4}, [{"count": 3}], ("workers",), "3 workers for 4 hosts"),
        (
            {"kind": "star", "nodes": 4},
            [{"count": 3}, {"nodes": ["n0", "n1"]}],
            ("workers",),
            "5 workers for 4 hosts",
        ),
        (TRIANGLE, [{"count": 4}], ("workers",), "4 workers for 3 hosts"),
        ({"kind": "ring", "nodes": 4}, [{"count": 4}, {}], ("workers", 1), "the others take 4 of 4 hosts"),
        (
            {"kind": "ring"},
            [{"count": 4}, {}],
            ("network", "topology", "nodes"),
            "the number of hosts is open",
        ),
        (PATH, [{"nodes": ["a", "d"]}], ("workers", 0, "nodes", 1), "no host of this name"),
        (
            PATH,
            [{"nodes": ["a"]}, {"nodes": ["b", "a"]}],
            ("workers", 1, "nodes", 1),
            "workers.0.nodes.0 names",
        ),
        (
            {"kind": "star", "nodes": 2},
            [{"nodes": ["hub"]}],
            ("workers", 0, "nodes", 0),
            "a switch carries no",
        ),
    ],
)
def test_workers_that_do_not_fit(refusal, topology, groups, path, message):
    problem = refusal(topology, groups)
    assert problem.path == path
    assert message in problem.message


def test_up_and_downlinks_are_the_access_links_of_a_star(build):
    groups = [
        {"count": 1, "uplink": "20 Mbps"},
        {"count": 1, "uplink": "10 Mbps", "downlink": "50 Mbps"},
        {"count": 1},
    ]
    topology = build("star", groups)
    capacity = dict(zip(topology.resource_names, topology.capacities, strict=True))
    assert capacity == {
        "n0->hub": 20 * MBPS,
        "hub->n0": 100 * MBPS,
        "n1->hub": 10 * MBPS,
        "hub->n1": 50 * MBPS,
        "n2->hub": 100 * MBPS,
        "hub->n2": 100 * MBPS,
    }
    assert topology.nominal_bandwidth("n0", "n1") == 20 * MBPS
    assert topology.graph.edges["n1", "hub"]["bandwidth"] == 10 * MBPS


def test_up_and_downlinks_elsewhere_are_shared_by_all_that_passes_the_node(build):
    topology = build(
        {"kind": "full-mesh"}, [{"count": 1, "uplink": "40 Mbps", "downlink": "80 Mbps"}, {"count": 3}]
    )
    assert names(topology, "n0", "n2") == ["n0 uplink", "n0->n2"]
    assert names(topology, "n3", "n0") == ["n3->n0", "n0 downlink"]
    env = simpy.Environment()
    network = FluidNetwork(env, topology)
    transfers = [network.send("n0", target, 1e6) for target in ("n1", "n2")]
    env.run(0.01)
    assert [transfer.rate for transfer in transfers] == [20 * MBPS, 20 * MBPS]


def test_what_a_node_relays_passes_its_up_and_downlink(build):
    topology = build(
        PATH, [{"nodes": ["b"], "uplink": "5 Mbps", "downlink": "7 Mbps"}, {"nodes": ["a", "c"]}]
    )
    assert names(topology, "a", "c") == ["a->b", "b downlink", "b uplink", "b->c"]
    assert topology.nominal_bandwidth("a", "c") == 5 * MBPS


def test_routing_by_bandwidth_avoids_a_slow_node(build):
    groups = [{"nodes": ["b"], "uplink": "5 Mbps"}, {}]
    square = explicit([{"between": list(pair)} for pair in ("ab", "bd", "ac", "cd")], "abcd")
    assert build(square, groups, network__routing="bandwidth").route("a", "d").hops == ("a", "c", "d")
    assert build(square, groups).route("a", "d").hops == ("a", "b", "d")


@pytest.mark.parametrize("key", ["uplink", "downlink"])
def test_a_half_duplex_access_link_has_no_directions(refusal, key):
    problem = refusal("star", [{"count": 2}, {"count": 1, key: "1 Mbps"}], network__link__duplex="half")
    assert problem.path == ("workers", 1, key)
    assert "half-duplex" in problem.message


# -- the server -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["star", "full-mesh"])
def test_a_server_gets_a_host_of_its_own(build, kind):
    topology = build({"kind": kind, "nodes": 3}, with_server=True)
    assert (topology.hosts, topology.server) == (("n0", "n1", "n2", "server"), "server")
    assert topology.workers == ("n0", "n1", "n2")
    assert topology.nominal_bandwidth("n0", "server") == 100 * MBPS
    assert build({"kind": kind, "nodes": 3}, server={"uplink": "1 Gbps"}).server is None


def test_a_server_has_its_own_access_link(build):
    server = {"uplink": "1 Gbps", "downlink": "50 Mbps"}
    topology = build({"kind": "star", "nodes": 3}, with_server=True, server=server)
    assert topology.graph.edges["server", "hub"]["bandwidth"] == 1000 * MBPS
    assert topology.nominal_bandwidth("n0", "server") == 50 * MBPS


def test_a_server_may_live_on_a_switch_or_a_host(build):
    on_hub = build(
        {"kind": "star", "nodes": 3}, with_server=True, server={"node": "hub", "uplink": "10 Mbps"}
    )
    assert (on_hub.server, on_hub.hosts) == ("hub", ("n0", "n1", "n2"))
    assert names(on_hub, "hub", "n1") == ["hub uplink", "hub->n1"]
    shared = build({"kind": "ring"}, [{"count": 3}], with_server=True, server={"node": "n1"})
    assert (shared.server, shared.workers) == ("n1", ("n0", "n1", "n2"))
    assert shared.route("n1", shared.server).resources == ()


@pytest.mark.parametrize("with_server", [False, True])
@pytest.mark.parametrize("groups", [[{"count": 3}], [{}]])
def test_a_named_server_has_its_host_to_itself_if_there_are_enough(build, with_server, groups):
    topology = build({"kind": "ring", "nodes": 4}, groups, with_server=with_server, server={"node": "n1"})
    assert (topology.server, topology.workers) == ("n1", ("n0", "n2", "n3"))


def test_a_server_elsewhere_must_be_placed(refusal):
    problem = refusal(TRIANGLE, with_server=True)
    assert problem.path == ("server", "node")
    assert "server: {node: ...}" in problem.expected
    assert refusal({"kind": "path_graph", "n": 3}, with_server=True).path == ("server", "node")


def test_a_server_on_an_unknown_node(refusal):
    problem = refusal("star", [{"count": 2}], server={"node": "hubb"})
    assert (problem.path, problem.suggestion) == (("server", "node"), "hub")


def test_two_owners_of_one_uplink(refusal):
    server = {"node": "n1", "downlink": "1 Mbps"}
    problem = refusal("star", [{"count": 2, "uplink": "2 Mbps"}], with_server=True, server=server)
    assert problem.path == ("server", "downlink")
    assert "workers.0" in problem.message


# -- explicit networks that make no sense -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("topology", "path", "message"),
    [
        (explicit([], "aba"), ("nodes", 2), "second node of this name"),
        (explicit([{"between": ["a", "z"]}]), ("links", 0, "between"), "there is no node z"),
        (explicit([{"between": ["a", "a"]}]), ("links", 0, "between"), "to itself"),
        (explicit([{"between": ["a", "b"]}, {"between": ["b", "a"]}]), ("links", 1, "between"), "links[0]"),
        (explicit([{"between": ["a", "b"]}]), (), "no path from a to c"),
        (explicit([], ""), ("nodes",), ""),
        (explicit([], ["a", 3]), ("nodes", 1), ""),
        (explicit([], ["a", {"name": "b", "swich": True}]), ("nodes", 1, "swich"), "unknown key"),
        ({"kind": "star", "nodes": 0}, ("nodes",), ""),
        ({"kind": "star", "nodes": "3"}, ("nodes",), ""),
        ({"kind": "ring", "node": 3}, ("node",), "unknown key"),
        (explicit([{"between": ["a", "b"], "latency": "-1 ms"}]), ("links", 0, "latency"), ""),
        (explicit([{"between": ["a", "b"], "bandwidth": 100}]), ("links", 0, "bandwidth"), ""),
        (explicit([{"between": ["a"]}]), ("links", 0, "between", 1), ""),
    ],
)
def test_wrong_options(refusal, topology, path, message):
    problem = refusal(topology)
    assert problem.path == ("network", "topology", *path)
    assert message in problem.message


@pytest.mark.parametrize("key", ["bandwidth", "latency"])
def test_a_link_without_defaults_says_everything(small, key):
    links = [{"between": ["a", "b"], "bandwidth": "1 Mbps", "latency": "1 ms"}]
    scenario = Scenario.model_validate(small({"network.topology": explicit(links, "ab")}))
    bare = scenario.model_copy(update={"network": scenario.network.model_copy(update={"link": None})})
    assert build_topology(bare).capacities == (125e3, 125e3)
    del bare.network.topology.model_extra["links"][0][key]
    with pytest.raises(ScenarioError) as raised:
        build_topology(bare)
    assert raised.value.problems[0].path == ("network", "topology", "links", 0, key)


def test_a_star_needs_a_link(small):
    scenario = Scenario.model_validate(small())
    bare = scenario.model_copy(update={"network": scenario.network.model_copy(update={"link": None})})
    with pytest.raises(ScenarioError) as raised:
        build_topology(bare)
    assert raised.value.problems[0].path == ("network", "link")
