"""When nodes go and come: closed forms of each kind of churn, who is meant, and files of availability."""

import io
import json
from itertools import islice, pairwise, takewhile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from simnet.faults.churn import build_churn
from simnet.faults.traces import Availability, AvailabilityError, read_availability
from simnet.network import build_topology
from simnet.scenario import ScenarioError, load_text

REGIONS = {"kind": "regions", "rtt": "80 ms", "sites": {"eu": 3, "us": 2}}


def scenario(churn, nodes=4, seed=0, topology=None, folder=None, server=False):
    mapping = {
        "name": "churn",
        "seed": seed,
        "network": {
            "topology": topology or {"kind": "star", "nodes": nodes},
            "link": {"bandwidth": "100 Mbps", "latency": "5 ms"},
        },
        "workers": {},
        "task": {"name": "synthetic", "parameters": 1000, "step_seconds": "1 s"},
        "algorithms": ["fedavg" if server else "allreduce"],
        "stop": {"time": "1 h"},
        "faults": {"churn": churn if isinstance(churn, list) else [churn]},
    }
    text = io.StringIO()
    YAML(typ="safe", pure=True).dump(mapping, text)
    return load_text(text.getvalue(), name="churn.yaml", folder=folder).scenarios[0].scenario


def drawn(churn, **options):
    stated = scenario(churn, **options)
    return build_churn(stated, build_topology(stated, with_server=options.get("server", False)))


def until(churn, end):
    return list(takewhile(lambda switch: switch.time < end, churn.switches()))


def up_share(switches, host, end):
    """The share of the time until `end` in which `host` has no reason to be down."""
    total, since, reasons = 0.0, 0.0, set()
    for switch in switches:
        if host in switch.hosts:
            before = bool(reasons)
            (reasons.add if switch.down else reasons.discard)(switch.reason)
            if reasons and not before:
                total += switch.time - since
            if before and not reasons:
                since = switch.time
    return (total + (0.0 if reasons else end - since)) / end


@pytest.mark.parametrize("start", ["up", "random"])
@pytest.mark.parametrize(
    ("kind", "extra", "cv_up", "cv_down"),
    [
        ("exponential", {}, 1.0, 1.0),
        ("weibull", {"shape": 2.0, "down_shape": 1.0}, 0.5227, 1.0),
        ("weibull", {"shape": 0.7}, 1.4624, 1.0),
    ],
)
def test_availability_is_up_over_up_and_down(kind, extra, cv_up, cv_down, start):
    """By the renewal theorem; also that up times have the mean and the variation of their distribution."""
    entry = {"kind": kind, "mean_up": "60 s", "mean_down": "10 s", "start": start, **extra}
    cycles = 20_000
    end = 70.0 * cycles
    switches = until(drawn(entry, nodes=1), end)
    p, u, d = 6 / 7, 60.0, 10.0
    deviation = (p * (1 - p) * ((1 - p) * (cv_up * u) ** 2 / u + p * (cv_down * d) ** 2 / d) / end) ** 0.5
    assert up_share(switches, "n0", end) == pytest.approx(p, abs=4 * max(deviation, 1e-4))
    times = np.array([switch.time for switch in switches if switch.time > 0])
    gaps = np.diff(times)
    first_is_down = next(switch for switch in switches if switch.time > 0).down
    ups, downs = (gaps[1::2], gaps[::2]) if first_is_down else (gaps[::2], gaps[1::2])
    assert ups.mean() == pytest.approx(60, rel=5 * cv_up / cycles**0.5)
    assert downs.mean() == pytest.approx(10, rel=5 * cv_down / cycles**0.5)
    assert ups.std() / ups.mean() == pytest.approx(cv_up, rel=0.08)


@pytest.mark.parametrize("shape", [0.6, 1.0, 3.0])
def test_a_random_start_is_that_of_the_long_run(shape):
    """The share of nodes that are up is the same at time 0 and at any time: no transient."""
    entry = {"kind": "weibull", "mean_up": "60 s", "mean_down": "20 s", "shape": shape, "start": "random"}
    churn = drawn(entry, nodes=4000)
    events = until(churn, 100.0)
    for moment in (0.0, 7.0, 30.0, 99.0):
        down = set()
        for switch in events:
            if switch.time <= moment:
                (down.update if switch.down else down.difference_update)(switch.hosts)
        assert len(down) / 4000 == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 4000) ** 0.5)


def test_draws_are_those_of_seed_entry_and_host():
    """Not of how many others there are, nor of when they are asked for."""
    entry = {"kind": "exponential", "mean_up": "60 s", "mean_down": "10 s"}
    few, many = until(drawn(entry, nodes=3), 500), until(drawn(entry, nodes=9), 500)
    assert few == [switch for switch in many if set(switch.hosts) <= {"n0", "n1", "n2"}]
    assert few != until(drawn(entry, nodes=3, seed=1), 500)
    churn = drawn(entry, nodes=3)
    assert until(churn, 500) == until(churn, 500) == few


def test_all_of_a_site_go_together():
    churn = drawn(
        {"kind": "exponential", "mean_up": "60 s", "mean_down": "10 s", "together": "site"}, topology=REGIONS
    )
    groups = {switch.hosts for switch in until(churn, 1000)}
    assert groups == {("eu-0", "eu-1", "eu-2"), ("us-0", "us-1")}
    both = drawn(
        {"kind": "crash", "nodes": ["eu-0", "us-1"], "at": "5 s", "together": "all"}, topology=REGIONS
    )
    assert [switch.hosts for switch in both.switches()] == [("eu-0", "us-1")]
    one = drawn({"kind": "crash", "sites": ["us"], "at": "5 s", "down": "1 s"}, topology=REGIONS)
    assert {host for switch in one.switches() for host in switch.hosts} == {"us-0", "us-1"}


def test_a_count_is_drawn():
    entry = {"kind": "crash", "count": 3, "at": "5 s"}
    hosts = {switch.hosts[0] for switch in drawn(entry, nodes=50).switches()}
    others = {switch.hosts[0] for switch in drawn(entry, nodes=50, seed=1).switches()}
    assert len(hosts) == len(others) == 3
    assert hosts != others


def test_what_is_scheduled():
    churn = drawn(
        [
            {"kind": "crash", "node": "n1", "at": "10 s", "down": "5 s"},
            {"kind": "leave", "node": "n2", "at": "20 s"},
            {"kind": "rejoin", "node": "n2", "at": "40 s", "memory": "lost"},
            {"kind": "join", "node": "n3", "at": "30 s"},
            {"kind": "crash", "node": "n0", "step": 7, "down": "2 s"},
        ]
    )
    seen = [(switch.time, *switch.hosts, switch.down) for switch in churn.switches()]
    assert seen == [
        (0.0, "n3", True),
        (10.0, "n1", True),
        (15.0, "n1", False),
        (20.0, "n2", True),
        (30.0, "n3", False),
        (40.0, "n2", False),
    ]
    ((steps, switch),) = churn.by_step["n0"]
    assert (steps, switch.lasts) == (7, 2.0)
    assert churn.last_up == {"n1": 15.0, "n2": 40.0, "n3": 30.0}


def test_days():
    """Up for its share of each day, from a morning on that is spread as far as asked."""
    entry = {"kind": "diurnal", "period": "100 s", "on": 0.4, "rises": 0.25, "spread": 0.0}
    seen = [(switch.time, switch.down) for switch in until(drawn(entry, nodes=1), 230)]
    assert seen == [(0.0, True), (25.0, False), (65.0, True), (125.0, False), (165.0, True), (225.0, False)]
    night = {**entry, "rises": 0.8}
    seen = [(switch.time, switch.down) for switch in until(drawn(night, nodes=1), 130)]
    assert seen == [(20.0, True), (80.0, False), (120.0, True)]
    spread = {**entry, "spread": 1.0}
    mornings = [
        next(
            switch.time
            for switch in drawn({**spread, "node": f"n{i}"}, nodes=200).switches()
            if not switch.down
        )
        for i in range(200)
    ]
    assert np.mean(np.array(mornings) % 100) == pytest.approx(50, abs=4 * 100 / 12**0.5 / 200**0.5)
    for host in ("n0", "n5"):
        assert up_share(until(drawn(spread, nodes=6), 1e4), host, 1e4) == pytest.approx(0.4, abs=1e-9)


@pytest.mark.parametrize(
    ("churn", "key", "words"),
    [
        ({"kind": "crash", "node": "n9", "at": "1 s"}, "node", "nobody lives on a node of this name"),
        ({"kind": "crash", "count": 9, "at": "1 s"}, "count", "there are only 4 workers"),
        ({"kind": "crash", "sites": ["eu"], "at": "1 s"}, "sites", "there is no site of this name"),
        ({"kind": "crash", "at": "1 s"}, "", "whom is it about"),
        ({"kind": "crash", "node": "n1"}, "", "when does it happen"),
        ({"kind": "crash", "node": "n1", "nodes": ["n2"], "at": "1 s"}, "nodes", "given beside `node`"),
        ({"kind": "rejoin", "node": "n1", "at": "1 s"}, "at", "n1 has not gone by then"),
        ({"kind": "exponental", "mean_up": "1 s", "mean_down": "1 s"}, "kind", "not a kind of churn"),
        ({"kind": "exponential", "mean_up": "0 s", "mean_down": "1 s"}, "mean_up", "not more than zero"),
        ({"kind": "diurnal", "on": 1.0}, "on", ""),
        ({"kind": "trace", "trace": "missing.csv"}, "trace", "missing.csv"),
    ],
)
def test_what_is_refused(churn, key, words):
    with pytest.raises(ScenarioError) as error:
        drawn(churn)
    (problem,) = error.value.problems
    assert words in problem.message
    assert problem.path == ("faults", "churn", 0, *([key] if key else []))


def test_a_server_may_be_named_where_the_method_has_none():
    entry = {"kind": "crash", "node": "server", "at": "1 s"}
    assert list(drawn(entry).switches()) == []
    assert [switch.hosts for switch in drawn(entry, server=True).switches()] == [("server",)]
    with pytest.raises(ScenarioError, match="server takes no steps"):
        drawn({"kind": "crash", "node": "server", "step": 3}, server=True)


# -- files --------------------------------------------------------------------------------------------


def fedscale_is_active(device, time):
    """As FedScale's client does it: is one of the active stretches of this cycle under way?"""
    cycle = time % device["finish_time"]
    return any(on <= cycle < off for on, off in zip(device["active"], device["inactive"], strict=True))


@settings(max_examples=60)
@given(
    st.lists(st.integers(1, 50), min_size=0, max_size=8).filter(lambda gaps: len(gaps) % 2 == 0),
    st.integers(0, 20),
    st.integers(0, 300),
)
def test_a_cyclic_device_is_as_its_lists_say(gaps, rest, at):
    edges = np.cumsum(gaps).tolist()
    device = {
        "active": edges[::2],
        "inactive": edges[1::2],
        "finish_time": max(1, (edges[-1] if edges else 0) + rest),
    }
    on = tuple(zip(map(float, device["active"]), map(float, device["inactive"]), strict=True))
    switches = list(islice(Availability(on, float(device["finish_time"])).switches(float(at)), 40))
    assert switches[0][0] == 0.0
    assert all(a[0] < b[0] and a[1] != b[1] for a, b in pairwise(switches))
    end = switches[-1][0] if len(switches) == 40 else 500.0
    for moment in np.arange(0.5, min(end, 500.0), 1.0):
        state = [up for time, up in switches if time <= moment][-1]
        assert state == fedscale_is_active(device, at + moment)


def test_reading_files(tmp_path):
    table = tmp_path / "a.csv"
    table.write_text("device,on,off\nx,0,10\n# a comment\ny,5,6\nx,20,30\n")
    assert read_availability(table) == {
        "x": Availability(((0.0, 10.0), (20.0, 30.0))),
        "y": Availability(((5.0, 6.0),)),
    }
    assert read_availability(table, scale=0.5, period=20.0)["x"] == Availability(
        ((0.0, 5.0), (10.0, 15.0)), 20.0
    )
    text = tmp_path / "b.json"
    text.write_text(json.dumps([{"active": [0, 7], "inactive": [5, 9], "finish_time": 10}]))
    assert read_availability(text) == {"0": Availability(((0.0, 5.0), (7.0, 9.0)), 10.0)}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.csv", "device,on,off\nx,5,3\n", "from 5 to 3 s"),
        ("a.csv", "device,on,off\nx,0,5\nx,4,6\n", "not after what comes before"),
        ("a.csv", "x,1\n", "2 columns"),
        ("a.csv", "x,1,soon\n", "'soon' is not a time"),
        ("a.csv", "device,on,off\n", "no device"),
        ("b.json", "{", "not JSON"),
        ("b.json", '{"x": {"active": [1]}}', "a device has"),
        ("b.json", '{"x": {"active": [1], "inactive": []}}', "1 times active, but 0 inactive"),
        ("b.json", '{"x": {"active": [1], "inactive": [9], "finish_time": 5}}', "before its last time"),
    ],
)
def test_files_that_make_no_sense(tmp_path, name, text, words):
    (tmp_path / name).write_text(text)
    with pytest.raises(AvailabilityError, match=words):
        read_availability(tmp_path / name)


def test_devices_are_dealt_to_nodes(tmp_path):
    devices = {f"n{i}": {"active": [i + 1], "inactive": [100]} for i in range(3)}
    (tmp_path / "d.json").write_text(json.dumps(devices))

    def comes_up(match, nodes, **more):
        entry = {"kind": "trace", "trace": "d.json", "match": match, **more}
        churn = drawn(entry, nodes=nodes, folder=tmp_path)
        return {switch.hosts[0]: switch.time for switch in churn.switches() if not switch.down}

    assert comes_up("order", 5) == {"n0": 1.0, "n1": 2.0, "n2": 3.0, "n3": 1.0, "n4": 2.0}
    assert comes_up("name", 3) == {"n0": 1.0, "n1": 2.0, "n2": 3.0}
    assert sorted(comes_up("drawn", 3).values()) == [1.0, 2.0, 3.0]
    assert comes_up("order", 3, scale=10.0) == {"n0": 10.0, "n1": 20.0, "n2": 30.0}
    assert comes_up("order", 3, at="1.5 s") == {"n1": 0.5, "n2": 1.5}
    with pytest.raises(ScenarioError, match="no device called n3"):
        comes_up("name", 4)
