"""Finish times of `simnet-flow-cases/1`, made with another simulator, and what is wrong with bad files."""

import copy
import json
from pathlib import Path

import pytest

from simnet.network.cases import MODELS, read_cases, run_case
from simnet.network.simgrid import platform_of_case, write_platform
from simnet.scenario import ScenarioError

FILE = Path(__file__).with_name("simgrid-cases.json")
DATA = json.loads(FILE.read_text())
CASES = {case.id: case for case in read_cases(FILE)}
EXPECTED = {case["id"]: case["expected"] for case in DATA["cases"]}
STATIC = [case["id"] for case in DATA["cases"] if not case.get("bandwidth_events")]


@pytest.mark.parametrize("backend", ["python", "numba"])
@pytest.mark.parametrize(
    ("case", "model"),
    [
        *((case, model) for case in CASES for model in ("maxmin_latency_last", "maxmin_latency_first")),
        *((case, "cm02_rtt_weighted") for case in STATIC),
    ],
)
def test_finish_times_agree_with_the_reference(case, model, backend):
    found, expected = run_case(CASES[case], MODELS[model], backend), EXPECTED[case][model]
    assert found["finish"] == pytest.approx(expected["finish"], rel=1e-9)
    assert found["makespan"] == pytest.approx(expected["makespan"], rel=1e-9)
    if "start" in expected:
        assert found["start"] == pytest.approx(expected["start"], rel=1e-9, abs=1e-9)


def test_ideal_is_max_min_with_latency_last():
    assert MODELS["ideal"] == MODELS["maxmin_latency_last"]


@pytest.mark.parametrize("model", ["ideal", "cm02_rtt_weighted"])
def test_the_order_of_flows_and_links_changes_nothing(model):
    case = CASES["s-rgg-40-t0"]
    turned = case.model_copy(update={"flows": case.flows[::-1], "links": case.links[::-1]})
    forward, backward = run_case(case, MODELS[model]), run_case(turned, MODELS[model])
    if model == "ideal":
        assert forward["finish"] == backward["finish"][::-1]
    assert forward["finish"] == pytest.approx(backward["finish"][::-1], rel=1e-12)


def test_a_flow_that_never_ends_has_no_time():
    case = CASES["s-single-wan"]
    dead = case.model_copy(update={"links": (case.links[0].model_copy(update={"bandwidth": 0.0}),)})
    found = run_case(dead, MODELS["ideal"])
    assert (found["finish"], found["start"], found["makespan"]) == ([None], [0.0], None)


def broken(tmp_path, change):
    data = copy.deepcopy({**DATA, "cases": DATA["cases"][:1]})
    change(data)
    file = tmp_path / "cases.json"
    file.write_text(json.dumps(data))
    return file


def flow(data):
    return data["cases"][0]["flows"][0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema="other/2"), "not a file of flow cases"),
        (lambda d: d.update(cases={}), "not a list of cases"),
        (lambda d: flow(d).update(bytes=-1), "bytes"),
        (lambda d: flow(d).update(bytes="many"), "not a number"),
        (lambda d: flow(d).update(aftr=[]), "after"),
        (lambda d: flow(d).update(route=["a-c"]), "no link of this name"),
        (lambda d: flow(d).update(path=["a"]), "1 nodes for 1 links"),
        (lambda d: flow(d).update(path=["b", "a"]), "from src to dst"),
        (lambda d: flow(d).update(after=["f9"]), "no flow of this name"),
        (lambda d: flow(d).update(after=["f0"]), "waits for itself"),
        (lambda d: d["cases"][0]["links"][0].update(b="c"), "no node of this name"),
        (
            lambda d: d["cases"][0]["links"][0].update(duplex="simplex", a="b", b="a"),
            "does not lead from a to b",
        ),
        (lambda d: d["cases"][0]["links"][0].update(duplex="both"), "duplex"),
        (lambda d: d["cases"][0]["links"].append(d["cases"][0]["links"][0]), "the same id twice"),
        (lambda d: d["cases"][0].update(bandwith_events=[]), "bandwidth_events"),
        (lambda d: d["cases"][0].pop("flows"), "flows"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path, change, message):
    with pytest.raises(ScenarioError, match=message):
        read_cases(broken(tmp_path, change))


def test_files_that_are_none(tmp_path):
    with pytest.raises(ScenarioError, match="cannot be read"):
        read_cases(tmp_path / "absent.json")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(ScenarioError, match="is not JSON"):
        read_cases(tmp_path / "bad.json")


def test_simgrid_gets_every_link_route_and_flow(tmp_path):
    from xml.etree import ElementTree

    for case in CASES.values():
        write_platform(platform_of_case(case), tmp_path / case.id)
        zone = ElementTree.parse(tmp_path / case.id / "platform.xml").getroot()[0]
        links = {link.get("id"): link for link in zone.iter("link")}
        assert [host.get("id") for host in zone.iter("host")] == list(case.nodes)
        routes = {
            (route.get("src"), route.get("dst")): [hop.get("id") for hop in route]
            for route in zone.iter("route")
        }
        rows = [row.split("\t") for row in (tmp_path / case.id / "flows.txt").read_text().splitlines()]
        assert len(rows) == len(case.flows)
        for row, sent in zip(rows, case.flows, strict=True):
            assert row == [
                sent.id,
                sent.src,
                sent.dst,
                repr(sent.bytes),
                repr(sent.start),
                ",".join(sent.after) or "-",
            ]
            latency = sum(float(links[hop].get("latency")[:-1]) for hop in routes[sent.src, sent.dst])
            assert latency == pytest.approx(case.latency(sent), rel=1e-12)
        changed = [link for link in links.values() if link.get("bandwidth_file")]
        assert bool(changed) == bool(case.bandwidth_events)
        for link in changed:
            profile = (tmp_path / case.id / link.get("bandwidth_file")).read_text().splitlines()
            assert len(profile) == len(case.bandwidth_events)
