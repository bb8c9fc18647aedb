"""One suite for both runtimes: the simulated one, and real processes that talk TCP over the loopback."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from simnet.emulation.doctor import missing_for
from simnet.emulation.driver import open_driver
from simnet.emulation.emulate import emulate
from simnet.emulation.nursery import Nursery
from simnet.plan import Plan, make_engine, plans
from simnet.results import Recorder
from simnet.runtime.simulated import SimulatedRun
from simnet.scenario import load_text

SCENARIO = """
name: conformance
threads: 1
network: {topology: {kind: star, nodes: 4}, link: {bandwidth: 1 Gbps, latency: 1 ms}}
workers: {device: {flops: 100 MFLOP/s, achieved: 0.5}}
task:
  name: classification
  dataset: digits
  model: {name: mlp, hidden: [8]}
  batch_size: 8
  optimizer: {name: sgd, lr: 0.1}
algorithms: ["behaviours:%s"]
stop: {steps: 100}
"""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery(None) as found:
        yield found


def metrics_of(runtime: str, behaviour: str, nursery: Nursery) -> pd.DataFrame:
    scenario = load_text(SCENARIO % behaviour, folder=Path(__file__).parent).scenarios[0].scenario
    (plan,) = plans(scenario)
    if runtime == "emulated":
        recorder = emulate(plan, nursery).recorder
    else:
        recorder = Recorder()
        SimulatedRun(plan.world, plan.method, make_engine(plan), recorder).run()
    return recorder.tables()["metrics"].to_pandas()


@pytest.mark.parametrize("behaviour", ["Messages", "Collectives", "Tasks", "Work", "Encodings"])
@pytest.mark.parametrize("runtime", ["simulated", "emulated"])
def test_every_worker_saw_what_a_node_must_do(runtime: str, behaviour: str, nursery: Nursery) -> None:
    metrics = metrics_of(runtime, behaviour, nursery)
    assert sorted(metrics[metrics.name == "checked"].node) == ["n0", "n1", "n2", "n3"]


PARTED = """
faults:
  partitions: {at: 0.5 s, until: 2 s, groups: [[n0, n1]]}
  detection: {kind: timeout, timeout: 200 ms}
"""


@pytest.fixture
def on_the_fabric() -> Iterator[Callable[[Plan], Recorder]]:
    missing = missing_for("fabric")
    if missing:
        pytest.skip(f"the fabric cannot run here: {missing}")

    def run(plan: Plan) -> Recorder:
        driver.up(plan.world.topology)
        with Nursery(driver) as found:
            return emulate(plan, found).recorder

    with open_driver("fabric") as driver:
        yield run


@pytest.mark.parametrize("runtime", ["simulated", "emulated"])
def test_every_worker_saw_a_partition(runtime: str, request: pytest.FixtureRequest) -> None:
    scenario = load_text(SCENARIO % "Parted" + PARTED, folder=Path(__file__).parent).scenarios[0].scenario
    (plan,) = plans(scenario)
    if runtime == "emulated":
        recorder = request.getfixturevalue("on_the_fabric")(plan)
    else:
        recorder = Recorder()
        SimulatedRun(plan.world, plan.method, make_engine(plan), recorder).run()
    metrics = recorder.tables()["metrics"].to_pandas()
    assert sorted(metrics[metrics.name == "checked"].node) == ["n0", "n1", "n2", "n3"]


def test_the_work_is_the_same_in_both(nursery: Nursery) -> None:
    norms = [
        metrics.loc[metrics.name == "norm"].sort_values("node").value.tolist()
        for metrics in (metrics_of(runtime, "Work", nursery) for runtime in ("simulated", "emulated"))
    ]
    assert norms[0] == pytest.approx(norms[1], rel=1e-6)
