import pytest
from topologies import build, links, problem

from simnet.network.files.rtt import read_shipped, shipped_names

MBPS = 125e3
LAN = {"bandwidth": "1 Gbps", "latency": "1 ms"}
INLINE = {"a": {"b": "80 ms", "c": "20 ms"}, "b": {"c": "60 ms"}}


def regions(**options):
    return {"kind": "regions", "rtt": INLINE, "lan": LAN, **options}


def test_a_message_crosses_lan_wan_and_lan():
    built = build(regions(sites={"a": 2, "b": 1}, wan={"bandwidth": "50 Mbps"}))
    assert built.hosts == ("a-0", "a-1", "b-0")
    assert built.route("a-0", "b-0").hops == ("a-0", "a", "b", "b-0")
    assert built.route("a-0", "b-0").latency == pytest.approx(0.042)
    assert built.nominal_bandwidth("a-0", "b-0") == 50 * MBPS
    assert built.route("a-0", "a-1").hops == ("a-0", "a", "a-1")
    assert built.nominal_bandwidth("a-0", "a-1") == 1000 * MBPS


def test_sites_are_linked_directly_even_where_a_detour_is_faster():
    built = build(regions(), 3)
    assert built.route("a-0", "b-0").hops == ("a-0", "a", "b", "b-0")
    assert len(links(built)) == 6


def test_workers_are_spread_over_sites():
    assert build(regions(), 5).hosts == ("a-0", "a-1", "b-0", "b-1", "c-0")
    assert build(regions(sites=["c", "a"]), 2).hosts == ("c-0", "a-0")
    assert build(regions()).hosts == ("a-0", "b-0", "c-0")
    assert problem(regions(), 2).message == "2 workers for 3 sites"


def test_one_time_for_all_pairs():
    built = build({"kind": "regions", "rtt": "120 ms", "sites": 4, "lan": LAN}, 8)
    assert built.switches == ("site0", "site1", "site2", "site3")
    assert built.route("site0-0", "site3-1").latency == pytest.approx(0.062)
    assert problem({"kind": "regions", "rtt": "120 ms"}).path[-1] == "sites"
    assert "sites with names" in problem(regions(sites=2), 3).message


def test_egress_is_shared_by_all_that_leaves_a_site_and_not_inside_it():
    built = build(regions(sites={"a": 2, "b": {"nodes": 1, "egress": "7 Mbps"}, "c": 1}, egress="10 Mbps"))
    away, other = built.route("a-0", "b-0"), built.route("a-1", "c-0")
    assert away.hops == ("a-0", "a", "a gateway", "b gateway", "b", "b-0")
    shared = set(away.resources) & set(other.resources)
    assert [built.capacities[r] for r in shared] == [10 * MBPS]
    assert built.nominal_bandwidth("a-0", "b-0") == 7 * MBPS
    assert built.nominal_bandwidth("a-0", "a-1") == 1000 * MBPS
    assert away.latency == pytest.approx(0.042)


def test_a_site_may_have_a_lan_and_a_place_of_its_own():
    site = {"nodes": 2, "lan": {"latency": "5 ms"}, "longitude": 10, "latitude": 50}
    built = build(regions(sites={"a": site, "b": 1}))
    assert built.route("a-0", "a-1").latency == 0.01
    assert built.nominal_bandwidth("a-0", "a-1") == 1000 * MBPS
    assert built.graph.nodes["a"]["position"] == (10, 50)


def test_the_shipped_matrix():
    assert "aws-21-regions" in shipped_names()
    matrix = read_shipped("aws-21-regions")
    assert len(matrix.names) == len(matrix.places) == 21
    assert matrix.latency("us-east-1", "eu-central-1") == pytest.approx(0.045, rel=0.1)
    built = build({"kind": "regions", "rtt": "aws-21-regions", "sites": {"us-east-1": 2, "eu-central-1": 1}})
    expected = 2 * 0.005 + matrix.latency("us-east-1", "eu-central-1")
    assert built.route("us-east-1-0", "eu-central-1-0").latency == pytest.approx(expected)


def test_sites_may_be_called_by_the_last_word_of_their_name(tmp_path):
    file = tmp_path / "rtt.csv"
    file.write_text(
        ",EU (Paris) eu-west-3,US East (Ohio) us-east-2\n"
        "EU (Paris) eu-west-3,1,90\nUS East (Ohio) us-east-2,90,1\n"
    )
    built = build({"kind": "regions", "rtt": str(file), "sites": {"eu-west-3": 1, "us-east-2": 1}})
    assert built.route("eu-west-3-0", "us-east-2-0").latency == pytest.approx(0.055)


@pytest.mark.parametrize(
    ("options", "path", "word"),
    [
        ({"sites": {"d": 1}}, ("sites", "d"), "no such site"),
        ({"sites": {"a": 0}}, ("sites", "a"), ""),
        ({"rtt": "aws"}, ("rtt",), "neither a shipped matrix"),
        ({"rtt": {"a": {"b": "1 ms"}, "c": {}}}, ("rtt",), "no round-trip time between a and c"),
        ({"rtt": {"a": {"b": "1"}}}, ("rtt", "a", "b"), ""),
        ({"wan": {"latency": "1 ms"}}, ("wan", "latency"), "unknown key"),
    ],
)
def test_regions_that_make_no_sense(options, path, word):
    found = problem(regions(**options), 3)
    assert found.path == ("network", "topology", *path)
    assert word in found.message


def test_without_a_common_link_lan_and_wan_must_say_everything():
    assert problem(regions(), 3, link=None).path == ("network", "topology", "wan", "bandwidth")
    assert build(regions(wan={"bandwidth": "1 Mbps"}), 3, link=None).nominal_bandwidth("a-0", "b-0") == MBPS
