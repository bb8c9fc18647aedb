"""Partitions on real connections: packets stand still, nodes notice, sides go on alone, and they find back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from emulated_networks import CI

from simnet.emulation.driver import open_driver
from simnet.emulation.emulate import Emulated, Nursery, emulate
from simnet.plan import Plan, make_engine, plans
from simnet.results import Recorder
from simnet.runtime.simulated import SimulatedRun
from simnet.scenario import Scenario, dump, load_text

SOON = 0.25
"""Seconds within which a busy machine does what is due."""
SIDES = {"n0": 0, "n1": 0, "n2": 1, "n3": 1}
STREAM = """
from simnet.algorithms import Algorithm
from simnet.runtime.node import Encoded

class Stream(Algorithm):
    async def worker(self, node):
        first, second = node.members("worker")[:2]
        for number in range(20):
            if node.id == first:
                await node.send(second, Encoded(None, 100e3), ("part", number))
                await node.recv(second, ("had", number))
            elif node.id == second:
                await node.recv(first, ("part", number))
                await node.send(first, 0.0, ("had", number))
"""


def planned(mapping: dict[str, Any], folder: Path) -> Plan:
    text = dump(Scenario.model_validate(mapping))
    (plan,) = plans(load_text(text, folder=folder).scenarios[0].scenario)
    return plan


def for_real(plan: Plan) -> Emulated:
    with open_driver("fabric") as driver:
        driver.up(plan.world.topology)
        with Nursery(driver) as nursery:
            return emulate(plan, nursery, "paced")


def simulated(plan: Plan) -> Recorder:
    recorder = Recorder()
    SimulatedRun(plan.world, plan.method, make_engine(plan), recorder).run()
    return recorder


def table(recorder: Recorder, name: str) -> pd.DataFrame:
    return recorder.tables()[name].to_pandas()


@pytest.mark.usefixtures("fabric_machine")
def test_what_heals_before_it_is_noticed_goes_on_where_it_stood(
    small: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    (tmp_path / "stream.py").write_text(STREAM)
    changes = {
        "network.topology": {"kind": "star", "nodes": 2},
        "network.link": {"bandwidth": "20 Mbps", "latency": "5 ms"},
        "network.model": "tcp",
        "faults": {"partitions": {"at": "0.5 s", "until": "1.7 s", "groups": [["n0"]]}},
        "algorithms": ["stream:Stream"],
    }
    plan = planned(small(changes), tmp_path)
    real = for_real(plan)
    ends = []
    for recorder in (real.recorder, simulated(plan)):
        parts = table(recorder, "transfers").query("kind == 'part'")
        assert len(parts) == 20
        assert not ((parts.delivered > 0.5 + 0.02) & (parts.delivered < 1.7)).any()
        ends.append([parts.delivered[parts.delivered < 1.0].max(), parts.delivered.max()])
    assert ends[0] == pytest.approx(ends[1], rel=CI)
    assert real.outcome.invariants["bytes_lost"] == 0


@pytest.mark.usefixtures("fabric_machine")
@pytest.mark.parametrize(
    "entry", [{"name": "gossip"}, {"name": "local-sgd", "local_steps": 2}], ids=lambda one: one["name"]
)
def test_sides_that_have_noticed_go_on_by_themselves_and_find_back(
    entry: dict[str, Any], small: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    changes = {
        "workers": [{"device": {"flops": "20 MFLOP/s", "achieved": 0.5}}],
        "algorithms": [entry],
        "faults": {
            "partitions": {"at": "1 s", "until": "2.5 s", "groups": [["n0", "n1"]]},
            "detection": {"kind": "timeout", "timeout": "200 ms"},
        },
        "stop": {"time": "4.5 s"},
    }
    plan = planned(small(changes), tmp_path)
    real, expected = for_real(plan).recorder, simulated(plan)
    for recorder in (real, expected):
        messages = table(recorder, "transfers").query("status == 'delivered'")
        crosses = messages.source.map(SIDES) != messages.target.map(SIDES)
        while_apart = messages.delivered.between(1.0 + 0.02, 2.5)
        assert not (crosses & while_apart).any()
        assert (crosses & (messages.delivered < 1.0)).sum() > 5
        assert (crosses & (messages.delivered > 2.5)).sum() > 5
        going_on = ~crosses & messages.delivered.between(1.2 + SOON, 2.5)
        assert set(messages[going_on].source) == set(SIDES)
    faults = [table(one, "faults").query("event in ('split', 'healed')") for one in (real, expected)]
    told = [sorted(map(tuple, one[["time", "node", "event", "cause"]].values)) for one in faults]
    assert told[0] == told[1]
