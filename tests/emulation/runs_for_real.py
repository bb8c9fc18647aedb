"""Runs of the tests of emulation: on the fabric, and simulated."""

from pathlib import Path
from typing import Any

import pandas as pd

from simnet.emulation.driver import open_driver
from simnet.emulation.emulate import Emulated, emulate
from simnet.emulation.nursery import Nursery
from simnet.plan import Plan, make_engine, plans
from simnet.results import Recorder
from simnet.runtime.simulated import SimulatedRun
from simnet.scenario import Scenario, dump, load_text

STREAM = """
from simnet.algorithms import Algorithm
from simnet.runtime.node import Encoded

class Stream(Algorithm):
    async def worker(self, node):
        first, second = node.members("worker")[:2]
        for number in range(24):
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
