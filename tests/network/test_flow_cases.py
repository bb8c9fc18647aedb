"""Finish times of `simnet-flow-cases/1`, made with another simulator, under max-min with latency last."""

import json
from math import inf
from pathlib import Path

import pytest
import simpy

from simnet.network import FluidNetwork, Route, RouteTable

CASES = json.loads(Path(__file__).with_name("simgrid-cases.json").read_text())["cases"]


def directions(link):
    """The resource of each direction of a link: two names if it is full duplex, else one."""
    both = link["id"], f"{link['id']} back"
    return {
        (link["a"], link["b"]): both[0],
        (link["b"], link["a"]): both[1] if link["duplex"] == "full" else both[0],
    }


def finish_times(case):
    links = {link["id"]: link for link in case["links"]}
    shared = [link for link in case["links"] if link["policy"] == "shared"]
    names = sorted({name for link in shared for name in directions(link).values()})
    capacity = {name: link["bandwidth"] for link in shared for name in directions(link).values()}
    env = simpy.Environment()
    network = FluidNetwork(env, RouteTable(tuple(capacity[name] for name in names)))
    finished = {flow["id"]: env.event() for flow in case["flows"]}

    def run(flow):
        yield env.all_of([finished[other] for other in flow.get("after", [])])
        yield env.timeout(flow["start"])
        hops = list(zip(flow["route"], zip(flow["path"], flow["path"][1:], strict=False), strict=True))
        resources = [
            names.index(directions(links[i])[hop]) for i, hop in hops if links[i]["policy"] == "shared"
        ]
        cap = min((links[i]["bandwidth"] for i, _ in hops if links[i]["policy"] == "fatpipe"), default=inf)
        route = Route(tuple(resources), sum(links[i]["latency"] for i, _ in hops), tuple(flow["path"]))
        transfer = network.send_along(route, flow["bytes"], cap=cap)
        yield transfer.delivered
        finished[flow["id"]].succeed(env.now)

    def change(event):
        yield env.timeout(event["time"])
        for name in set(directions(links[event["link"]]).values()):
            network.set_capacity(names.index(name), event["bandwidth"])

    for flow in case["flows"]:
        env.process(run(flow))
    for event in case.get("bandwidth_events", []):
        env.process(change(event))
    env.run()
    network.check()
    return [finished[flow["id"]].value for flow in case["flows"]]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_finish_times_agree_with_the_reference(case):
    assert finish_times(case) == pytest.approx(case["expected"]["maxmin_latency_last"]["finish"], rel=1e-9)
