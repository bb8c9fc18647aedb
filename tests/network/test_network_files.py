import json
import warnings
from pathlib import Path

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from topologies import build, links, problem

from simnet.network.files import UnreadableError
from simnet.network.files.geography import great_circle_km
from simnet.network.files.gml import parse_gml

DATA = Path(__file__).parent / "data"
MBPS = 125e3
QUIET = pytest.mark.filterwarnings("ignore::simnet.network.NetworkWarning")


@pytest.fixture
def file(tmp_path):
    """Writes a file and gives the topology that it is."""

    def make(text, name="net.gml", **options):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return {"kind": "file", "path": str(path), **options}

    return make


def gml(*edges, nodes=3, node="", head=""):
    lines = [f'node [ id {i} label "{"abcdef"[i]}" {node} ]' for i in range(nodes)]
    lines += [f"edge [ source {edge[0]} target {edge[1]} {' '.join(edge[2:])} ]" for edge in edges]
    return f"graph [ {head}\n" + "\n".join(lines) + "\n]\n"


def warned(topology, **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        built = build(topology, **options)
    return built, [str(warning.message) for warning in caught]


# -- the Topology Zoo -------------------------------------------------------------------------------------


@QUIET
@pytest.mark.parametrize(
    ("name", "nodes", "count"),
    [
        ("Abilene.graphml", 11, 14),
        ("BtEurope.graphml", 24, 37),
        ("Nsfnet.gml", 13, 15),
        ("Sinet.gml", 74, 76),
    ],
)
def test_files_of_the_topology_zoo_load(name, nodes, count):
    built = build({"kind": "file", "path": str(DATA / name)})
    assert (len(built.hosts), len(links(built))) == (nodes, count)
    read = nx.read_gml if name.endswith(".gml") else nx.read_graphml
    theirs = nx.relabel_nodes(reference := read(DATA / name), nx.get_node_attributes(reference, "label"))
    names = {host.split(" (")[0] for host in built.hosts} if name == "BtEurope.graphml" else set(built.hosts)
    assert names == set(theirs)


def test_latencies_follow_the_great_circle():
    built = build({"kind": "file", "path": str(DATA / "Abilene.graphml"), "detour": 1.2})
    km = great_circle_km((-74.00597, 40.71427), (-87.65005, 41.85003))
    assert km == pytest.approx(1145, rel=0.005)
    assert built.graph.edges["New York", "Chicago"]["latency"] == pytest.approx(1.2 * km / 200_000)
    assert built.graph.nodes["Chicago"]["position"] == (-87.65005, 41.85003)
    assert any("no link has a speed: network.link.bandwidth (100 Mbit/s)" in note for note in built.notes)


def test_great_circles():
    assert great_circle_km((0, 0), (180, 0)) == pytest.approx(20015.1, abs=0.1)
    assert great_circle_km((179, 0), (-179, 0)) == pytest.approx(222.39, abs=0.01)
    assert great_circle_km((12, 34), (12, 34)) == 0


def test_what_a_file_lacks_in_part_is_told():
    built, said = warned({"kind": "file", "path": str(DATA / "Sinet.gml")})
    assert any("74 of 76 links have no speed" in line for line in said)
    assert any("27 of 76 links have no latency (and no coordinates" in line for line in said)
    assert built.graph.edges["Tokyo DC1", "Nagoya DC"]["bandwidth"] == 40_000 * MBPS
    _, said = warned({"kind": "file", "path": str(DATA / "BtEurope.graphml")})
    assert any("London (16), London (17)" in line for line in said)
    assert any("New York-London (17), Washington-London (16)" in line for line in said)
    _, said = warned({"kind": "file", "path": str(DATA / "Abilene.graphml")})
    assert said == []


@pytest.mark.parametrize(
    ("name", "key"), [("Abilene.graphml", "bandwidth"), ("BtEurope.graphml", "bandwidth")]
)
def test_without_a_common_link_what_is_missing_is_an_error(name, key):
    found = problem({"kind": "file", "path": str(DATA / name)}, link=None)
    assert found.path == ("network", "link")
    assert f"has no {key} for the link" in found.message


@QUIET
def test_hosts_by_attribute_leaves_or_name():
    zoo = {"kind": "file", "path": str(DATA / "Sinet.gml")}
    edge = build({**zoo, "hosts": {"type": "Edge Node"}})
    assert (len(edge.hosts), len(edge.switches)) == (61, 13)
    leaves = build({**zoo, "hosts": "leaves"})
    degree = nx.Graph(leaves.graph).degree
    assert {name for name, count in degree if count == 1} == set(leaves.hosts)
    named = build({**zoo, "hosts": ["Oita U", "Kyushu U"]})
    assert set(named.hosts) == {"Oita U", "Kyushu U"}
    assert problem({**zoo, "hosts": ["Oita"]}).path == ("network", "topology", "hosts", 0)
    assert "no node of the file is a host" in problem({**zoo, "hosts": {"type": "Edge"}}).message


# -- traps ------------------------------------------------------------------------------------------------


def test_repeated_edges_are_added_up_without_multigraph(file):
    text = gml((0, 1, "LinkSpeedRaw 1e9"), (0, 1, "LinkSpeedRaw 2e9"), (1, 2, "LinkSpeedRaw 1e9"))
    with pytest.raises(nx.NetworkXError):
        nx.parse_gml(text)
    built, said = warned(file(text))
    assert built.graph.edges["a", "b"]["bandwidth"] == 3000 * MBPS
    assert len(said) == 1
    assert "several links between two nodes made one (bandwidths added, least latency): a-b" in said[0]
    one, _ = warned(file(text, parallel="one"))
    assert one.graph.edges["a", "b"]["bandwidth"] == 1000 * MBPS


def test_multigraphs_of_graphml(file):
    graph = nx.MultiGraph([("a", "b", {"bandwidth": "1 Gbps"}), ("a", "b", {"bandwidth": "2 Gbps"})])
    text = "\n".join(nx.generate_graphml(graph))
    built, said = warned(file(text, "net.graphml"))
    assert built.graph.edges["b", "a"]["bandwidth"] == 3000 * MBPS
    assert "a-b" in said[0]


def test_labels_that_repeat_or_are_numbers_or_missing(file):
    text = 'graph [ node [ id 0 label 7 ] node [ id 1 label "x" ] node [ id 2 label "x" ] node [ id 5 ]\n'
    text += "edge [ source 0 target 1 ] edge [ source 1 target 2 ] edge [ source 2 target 5 ] ]"
    built, said = warned(file(text))
    assert built.hosts == ("7", "x (1)", "x (2)", "5")
    assert "2 nodes that share a label: x (1), x (2)" in said[0]
    assert "1 node without a label by its id: 5" in said[1]
    clashing = 'graph [ node [ id 0 label "1" ] node [ id 1 ] edge [ source 0 target 1 ] ]'
    assert len(set(warned(file(clashing))[0].hosts)) == 2


def test_edges_to_oneself_are_left_out(file):
    built, said = warned(file(gml((0, 1), (1, 1), (1, 2))))
    assert len(links(built)) == 2
    assert "left out 1 edge from a node to itself: b" in said[0]


def test_pieces(file):
    text = gml((0, 1), nodes=4)
    found = problem(file(text))
    assert "in 3 pieces" in found.message
    assert found.path == ("network", "topology", "path")
    assert "c, d" in found.message
    built, said = warned(file(text, pieces="largest"))
    assert built.hosts == ("a", "b")
    assert "left out 2 nodes that have no path to the rest: c, d" in said[0]


def test_directed_graphs(file):
    text = gml((0, 1, 'latency "1 ms"'), (1, 0, 'latency "2 ms"'), (1, 2), head="directed 1")
    assert "1 edge that has none in return: b to c" in problem(file(text)).message
    built, said = warned(file(text, one_way="duplex"))
    assert [built.graph.edges[way]["latency"] for way in (("a", "b"), ("b", "a"))] == [0.001, 0.002]
    assert any("1 one-way edge taken for links in both directions: b to c" in line for line in said)
    ring = gml((0, 1), (1, 2), (2, 0), head="directed 1")
    assert build(file(ring, one_way="simplex")).route("b", "a").hops == ("b", "c", "a")


def test_coordinates_that_are_no_place(file):
    text = gml((0, 1), nodes=2, node="Longitude 500 Latitude 10")
    _, said = warned(file(text))
    assert "the coordinates of a are no place and not used: longitude 500, latitude 10" in said[0]


def test_speeds_and_times_of_edges(file):
    text = gml((0, 1, 'bandwidth "2 Gbps"', 'latency "3 ms"'), nodes=2)
    built = build(file(text), link=None)
    assert built.graph.edges["a", "b"]["bandwidth"] == 2000 * MBPS
    assert built.graph.edges["a", "b"]["latency"] == 0.003
    for wrong in ("bandwidth 10", 'latency "soon"', 'bandwidth "0 Mbps"'):
        found = problem(file(gml((0, 1, wrong), nodes=2)))
        assert "of the link a-b is no" in found.message
    _, said = warned(file(gml((0, 1, "LinkSpeedRaw 0"), (1, 2, "LinkSpeedRaw 8e6"))))
    assert "the LinkSpeedRaw of a-b is no speed and not used: 0" in said[0]


def test_node_link_json(file):
    graph = nx.path_graph(3)
    graph.nodes[1]["switch"] = True
    nx.set_edge_attributes(graph, "10 Mbps", "bandwidth")
    for key in ("links", "edges"):
        text = json.dumps(nx.node_link_data(graph, edges=key))
        built = build(file(text, "net.json"))
        assert (built.hosts, built.switches) == (("0", "2"), ("1",))
        assert built.nominal_bandwidth("0", "2") == 10 * MBPS


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.gml", "", "not GML with one graph: it has 0"),
        ("a.gml", "graph [ node [ id 0 ]", "ends too early"),
        ("a.gml", 'graph [ node [ id 0 label "x ] ]', "a quote that is not closed"),
        ("a.gml", "graph [ ] ]", "line 1: a ] too many"),
        ("a.gml", "graph [\n[ ] ]", "line 2: a [ without a key"),
        ("a.gml", "graph [ node [ label 1 ] ]", "a node without id: label 1"),
        ("a.gml", "graph [ node [ id 1 ] node [ id 1 ] ]", "two nodes have the id 1"),
        ("a.gml", "graph [ node [ id 1 ] edge [ source 1 target 2 ] ]", "there is no node 2"),
        ("a.gml", "graph [ ]", "no nodes"),
        ("a.graphml", "<graphml>", "not XML"),
        ("a.graphml", "<html/>", "not GraphML with one graph: <html>"),
        ("a.graphml", "<graphml><graph><node/></graph></graphml>", "a <node> without id"),
        ("a.graphml", '<graphml><graph><node id="a"><graph/></node></graph></graphml>', "nested graphs"),
        ("a.graphml", "<graphml><graph><hyperedge/></graph></graphml>", "a hyperedge"),
        ("a.json", "{", "not JSON: line 1"),
        ("a.json", "[]", "no list of `nodes`"),
        ("a.json", '{"nodes": []}', "no list of `links`"),
        ("a.json", '{"nodes": [{}], "links": []}', "node 0 is not a mapping with id"),
        ("a.csv", "a,b", "no matrix"),
        ("a.dot", "graph {}", "the suffix .dot says no format"),
    ],
)
def test_what_is_no_network_is_refused_with_the_reason(file, name, text, message):
    assert message in problem(file(text, name)).message


def test_a_missing_file_and_options_of_other_formats(file):
    assert "no such file" in problem({"kind": "file", "path": "nowhere.gml"}).message
    assert problem(file(gml((0, 1)), unit="s")).path[-1] == "unit"
    assert problem(file(",a,b\na,0,1\nb,1,0", "x.csv", detour=2)).path[-1] == "detour"


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.sampled_from(["graph", "[", "]", "node", "id", "1", '"', "edge", "source", "target", "#", "\n"]),
        lambda inner: st.lists(inner, max_size=12).map(" ".join),
        max_leaves=40,
    )
)
def test_whatever_stands_in_a_gml_file_it_is_read_or_refused(text):
    try:
        graph = parse_gml(text)
    except UnreadableError:
        return
    assert graph.nodes


# -- round trips ------------------------------------------------------------------------------------------

RTT = """,a,b,c,
a,3,100,80,
b,120,,40,
c,80,60 ms,0.5,
"""


def test_round_trips_become_latencies_each_way(file):
    built, said = warned(file(RTT, "rtt.csv"))
    assert said == []
    assert built.hosts == ("a", "b", "c")
    assert built.graph.edges["a", "b"]["latency"] == 0.05
    assert built.graph.edges["b", "a"]["latency"] == 0.06
    assert built.graph.edges["c", "b"]["latency"] == 0.03
    assert built.route("a", "b").rtt == pytest.approx(0.11)
    assert any("the diagonal (3, ...) is not used" in note for note in built.notes)
    assert build(file(RTT, "rtt.csv", unit="us")).graph.edges["a", "b"]["latency"] == pytest.approx(50e-6)


def test_measured_pairs_take_the_direct_way(file):
    """Even where a detour would be faster, as it is often on the internet."""
    text = ",a,b,c\na,,100,10\nb,100,,10\nc,10,10,\n"
    assert build(file(text, "rtt.csv")).route("a", "b").hops == ("a", "b")
    assert build(file(text, "rtt.csv"), routing="latency").route("a", "b").hops == ("a", "c", "b")


@pytest.mark.parametrize("text", ["a;b\na;;5\nb;6;\n", "\tb\ta\na\t5\t0\nb\t0\t6\n", " ,a,b\nb,6,\na,,5"])
def test_other_layouts_of_matrices(file, text):
    built = build(file(text, "rtt.csv"))
    assert built.graph.edges["a", "b"]["latency"] == 0.0025
    assert built.graph.edges["b", "a"]["latency"] == 0.003


def test_a_missing_direction_is_taken_from_the_other(file):
    built, said = warned(file(",a,b\na,,\nb,6,\n", "rtt.csv"))
    assert built.graph.edges["a", "b"]["latency"] == 0.003
    assert "1 missing round-trip times taken from the way back (a to b)" in said[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (",a,b\na,,\nb,,\n", "no round-trip time between a and b"),
        (",a,b\na,,-1\nb,1,\n", "a to b: -1 is not a time"),
        (",a,b\na,,nan\nb,1,\n", "a to b: nan is not a time"),
        (",a,b\na,,1\nc,1,\n", "there is no row for b"),
        (",a,a\na,,1\na,1,\n", "two columns are called a"),
        (",a,b\na,,1,2,3\nb,1,\n", "the row of a has 4 values for 2 sites"),
        (",a,b\na,,1\n", "there is no row for b"),
    ],
)
def test_matrices_that_are_none(file, text, message):
    assert message in problem(file(text, "rtt.csv")).message
