"""What scenarios say about links that change: profiles, events and their names, from YAML to messages."""

import pytest

from simnet.network import Clock, FluidNetwork, build_topology
from simnet.scenario import ScenarioError, load_text
from simnet.scenario.library import find_scenario

MBPS = 125_000.0
SQUARE = [
    {"between": ["a", "b"]},
    {"between": ["b", "c"]},
    {"between": ["c", "d"], "duplex": "half"},
    {"between": ["d", "a"], "latency": "40 ms"},
]
RING = {"kind": "explicit", "nodes": ["a", "b", "c", "d"], "links": SQUARE}


@pytest.fixture
def scenario_of(small, tmp_path):
    """A scenario with changed keys, whose folder is `tmp_path`."""
    import io

    from ruamel.yaml import YAML

    def make(changes):
        text = io.StringIO()
        YAML(typ="safe").dump(small({"network.link.latency": "10 ms", **changes}), text)
        (point,) = load_text(text.getvalue(), name="x.yaml", folder=tmp_path).scenarios
        return point.scenario

    return make


@pytest.fixture
def profiles_of(scenario_of):
    """Profiles of the resources by name."""

    def make(changes, with_server=False):
        topology = build_topology(scenario_of(changes), with_server)
        dynamics = topology.dynamics
        found = {} if dynamics is None else dynamics.capacities
        return {topology.resource_names[index]: profile for index, profile in found.items()}

    return make


def problem_of(scenario, **options):
    with pytest.raises(ScenarioError) as caught:
        build_topology(scenario, **options)
    (problem,) = caught.value.problems
    return problem, scenario.explain(caught.value)


def arrival(topology, source, target, size, start=0.0):
    env = Clock(start)
    network = FluidNetwork(env, topology)
    transfer = network.send(source, target, size)
    env.run(transfer.delivered)
    network.check()
    return transfer.delivered_at


def test_a_network_that_stays_has_no_dynamics(scenario_of):
    assert build_topology(scenario_of({})).dynamics is None
    steady = {"network.link.loss": 0.01, "network.link.efficiency": 0.9, "network.model": "tcp"}
    assert build_topology(scenario_of(steady)).dynamics is None


def test_every_link_follows_a_trace(profiles_of, tmp_path):
    (tmp_path / "traces").mkdir()
    (tmp_path / "traces/home.csv").write_text("time [s],value [Mbps]\n0,10\n5,2\n")
    profiles = profiles_of(
        {"network.link.bandwidth": {"trace": "traces/home.csv", "loop": True}, "network.link.efficiency": 0.5}
    )
    assert len(profiles) == 8
    assert len(set(map(id, profiles.values()))) == 1
    assert [profiles["n0->hub"].at(t) for t in (0, 5, 10)] == [5 * MBPS, MBPS, 5 * MBPS]


def test_a_nominal_bandwidth_is_the_mean(scenario_of):
    swinging = {"mean": "50 Mbps", "amplitude": 0.5, "period": "1 day"}
    topology = build_topology(scenario_of({"network.link.bandwidth": swinging}))
    assert topology.capacities == pytest.approx([50 * MBPS] * 8)
    assert topology.nominal_bandwidth("n0", "n1") == pytest.approx(50 * MBPS)


def test_every_link_has_its_own_luck_and_both_directions_share_it(profiles_of):
    flipping = {"on": "100 Mbps", "off": "0 Mbps", "mean_up": "120 s", "mean_down": "20 s"}
    profiles = profiles_of({"network.link.bandwidth": flipping})
    again = profiles_of({"network.link.bandwidth": flipping}, with_server=True)
    other = profiles_of({"network.link.bandwidth": flipping, "seed": 1})

    def history(profile):
        time, flips = 0.0, [profile.at(0.0)]
        for _ in range(20):
            time = profile.next_change(time)
            flips.append(time)
        return flips

    assert history(profiles["n0->hub"]) == history(profiles["hub->n0"]) == history(again["n0->hub"])
    assert history(profiles["n0->hub"]) != history(profiles["n1->hub"])
    assert history(profiles["n0->hub"]) != history(other["n0->hub"])
    assert set(again) - set(profiles) == {"server->hub", "hub->server"}


def test_a_group_of_workers_may_have_changing_access_links(profiles_of):
    evening = {"mean": "8 Mbps", "amplitude": 0.5, "period": "1 day"}
    profiles = profiles_of(
        {"workers": [{"count": 3, "device": "cpu"}, {"count": 1, "device": "cpu", "uplink": evening}]}
    )
    assert set(profiles) == {"n3->hub"}


def test_what_events_do_to_a_link(profiles_of):
    profiles = profiles_of(
        {
            "network.topology": RING,
            "network.link.efficiency": 0.5,
            "network.events": [
                {"at": "60 s", "link": "b-a", "down": True},
                {"at": "30 s", "link": "a-b", "bandwidth": "5 Mbps"},
                {"at": "90 s", "link": "a-b", "up": True},
                {"at": "95 s", "link": "a->b", "bandwidth": "0 Mbps"},
                {"at": "97 s", "link": "d-c", "bandwidth": "1 Mbps"},
            ],
        }
    )
    assert set(profiles) == {"a->b", "b->a", "c--d"}
    assert [profiles["a->b"].at(t) / MBPS for t in (0, 30, 60, 90, 95)] == [50, 2.5, 0, 2.5, 0]
    assert [profiles["b->a"].at(t) / MBPS for t in (0, 30, 60, 90, 95)] == [50, 2.5, 0, 2.5, 2.5]
    assert profiles["c--d"].at(97) / MBPS == 0.5


def test_while_it_is_down_a_link_may_get_another_bandwidth_for_later(profiles_of):
    profiles = profiles_of(
        {
            "network.events": [
                {"at": 0, "link": "n1", "down": True},
                {"at": "5 s", "link": "n1", "bandwidth": "7 Mbps"},
                {"at": "9 s", "link": "n1", "up": True},
            ]
        }
    )
    assert [profiles["hub->n1"].at(t) / MBPS for t in (0, 5, 9)] == [0, 0, 7]


def test_names_of_links_in_a_star(profiles_of):
    profiles = profiles_of(
        {
            "network.events": [
                {"at": "1 s", "link": "n0", "bandwidth": "1 Mbps"},
                {"at": "1 s", "node": "n1", "uplink": "2 Mbps"},
                {"at": "1 s", "node": "n2", "downlink": "3 Mbps", "uplink": "4 Mbps"},
                {
                    "at": "1 s",
                    "link": "hub->n3",
                    "bandwidth": {"on": "9 Mbps", "mean_up": "1 s", "mean_down": "1 s"},
                },
            ]
        }
    )
    values = {name: profile.at(1.0) / MBPS for name, profile in profiles.items()}
    assert values.pop("hub->n3") in (0, 9)
    assert values == {"n0->hub": 1, "hub->n0": 1, "n1->hub": 2, "hub->n2": 3, "n2->hub": 4}


def test_events_of_the_servers_link_matter_only_where_there_is_a_server(profiles_of):
    events = {"network.events": [{"at": "1 s", "link": "server", "bandwidth": "1 Mbps"}]}
    assert profiles_of(events) == {}
    assert set(profiles_of(events, with_server=True)) == {"server->hub", "hub->server"}


@pytest.mark.parametrize(
    ("event", "key", "message", "suggestion"),
    [
        ({"link": "n9-hub", "down": True}, "link", "there is no link of this name", "n3-hub"),
        ({"link": "hubb-n1", "down": True}, "link", "there is no link of this name", "hub-n1"),
        ({"node": "n7", "uplink": "1 Mbps"}, "node", "there is no node of this name", ""),
        ({"node": "hub", "uplink": "1 Mbps"}, "node", "hub has no uplink of its own, but 4 links", ""),
        ({"link": "n1", "up": True}, "up", "n1 is not down at that time", ""),
    ],
)
def test_an_event_that_makes_no_sense(scenario_of, event, key, message, suggestion):
    problem, shown = problem_of(scenario_of({"network.events": [{"at": "3 s", **event}]}))
    assert (problem.path, problem.message) == (("network", "events", 0, key), message)
    assert problem.suggestion == suggestion
    assert shown.startswith("x.yaml:")


def test_one_direction_of_a_half_duplex_link_cannot_change_alone(scenario_of):
    events = [{"at": "3 s", "link": "c->d", "down": True}]
    problem, _ = problem_of(scenario_of({"network.topology": RING, "network.events": events}))
    assert problem.message == "a half-duplex link has one bandwidth for both directions"
    assert problem.expected == "c-d"


def test_a_name_that_fits_two_links(scenario_of):
    links = [{"between": pair} for pair in (["a", "b-c"], ["a-b", "c"], ["c", "a"])]
    nodes = ["a", "b-c", "a-b", "c"]
    changes = {
        "network.topology": {"kind": "explicit", "nodes": nodes, "links": links},
        "network.events": [{"at": "3 s", "link": "a-b-c", "down": True}],
    }
    problem, _ = problem_of(scenario_of(changes))
    assert problem.message == "could be more than one link"


def test_a_wrong_trace_is_told_with_both_lines(scenario_of, tmp_path):
    (tmp_path / "home.csv").write_text("time,value [Mbps]\n0,10\n5,fast\n")
    problem, shown = problem_of(scenario_of({"network.link.bandwidth": {"trace": "home.csv"}}))
    assert problem.path == ("network", "link", "bandwidth", "trace")
    assert "home.csv:3: the value 'fast'" in shown
    assert shown.startswith("x.yaml:")


def test_a_wrong_trace_of_one_link_is_told_where_it_is_written(scenario_of):
    links = [*SQUARE[:3], {"between": ["d", "a"], "bandwidth": {"mahimahi": "absent.up", "window": "1 s"}}]
    problem, _ = problem_of(scenario_of({"network.topology": {**RING, "links": links}}))
    assert problem.path == ("network", "topology", "links", 3, "bandwidth", "mahimahi")
    assert "absent.up: cannot be read: no such file" in problem.message


def test_a_trace_of_zeros_is_refused(scenario_of, tmp_path):
    (tmp_path / "dead.csv").write_text("0,0\n5,0\n")
    problem, _ = problem_of(scenario_of({"network.link.bandwidth": {"trace": "dead.csv", "unit": "Mbps"}}))
    assert problem.message == "n0-hub: nothing can ever pass: all values are 0"


def test_latency_may_change_by_event_and_by_profile(scenario_of):
    topology = build_topology(
        scenario_of(
            {
                "network.topology": RING,
                "network.events": [{"at": "30 s", "link": "a->b", "latency": "70 ms"}],
            }
        )
    )
    assert arrival(topology, "a", "b", 0, 29.0) == pytest.approx(29.01)
    assert arrival(topology, "a", "b", 0, 30.0) == pytest.approx(30.07)
    assert arrival(topology, "b", "a", 0, 30.0) == pytest.approx(30.01)
    assert arrival(topology, "a", "c", 0, 30.0) == pytest.approx(30.08)


@pytest.mark.parametrize("rerouting", [False, True])
def test_a_link_that_fails_and_comes_back(scenario_of, rerouting):
    """100 Mbit/s are 12.5 MB/s. At 1 s half of 25 MB has left; then the way a-b is down until 10 s."""
    topology = build_topology(
        scenario_of(
            {
                "network.topology": RING,
                "network.rerouting": rerouting,
                "network.events": [
                    {"at": "1 s", "link": "a-b", "down": True},
                    {"at": "10 s", "link": "a-b", "up": True},
                ],
            }
        )
    )
    if rerouting:  # over d and c: 40 + 10 + 10 ms
        assert arrival(topology, "a", "b", 25e6) == pytest.approx(2 + 0.06)
        assert arrival(topology, "a", "b", 1.25e6, 5.0) == pytest.approx(5.1 + 0.06)
        assert arrival(topology, "a", "b", 12.5e6 * 6, 5.0) == pytest.approx(11 + 0.01)  # and back again
    else:
        assert arrival(topology, "a", "b", 25e6) == pytest.approx(11 + 0.01)
        assert arrival(topology, "a", "b", 1.25e6, 5.0) == pytest.approx(10.1 + 0.01)


def test_where_no_way_is_left_messages_wait_for_the_first_one(scenario_of):
    events = [
        {"at": "1 s", "link": "a-b", "down": True},
        {"at": "1 s", "link": "d-a", "down": True},
        {"at": "3 s", "link": "d-a", "up": True},
    ]
    topology = build_topology(
        scenario_of({"network.topology": RING, "network.rerouting": True, "network.events": events})
    )
    assert arrival(topology, "a", "b", 25e6) == pytest.approx(4 + 0.06)
    assert arrival(topology, "a", "b", 12.5e6, 2.0) == pytest.approx(4 + 0.06)


def test_the_shipped_scenario_validates():
    assert find_scenario("changing-links")
