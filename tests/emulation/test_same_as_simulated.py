"""Real processes over real TCP end with the simulated run's models, where timing has no say in them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from simnet.emulation.doctor import missing_for
from simnet.emulation.driver import open_driver
from simnet.emulation.emulable import check_emulable
from simnet.emulation.emulate import Emulated, emulate
from simnet.emulation.nursery import Nursery
from simnet.emulation.zygote import Build
from simnet.plan import Plan, make_engine, plans
from simnet.results import Recorder
from simnet.runtime.simulated import SimulatedRun
from simnet.runtime.world import Outcome
from simnet.scenario import Scenario, ScenarioError, canonical

METHODS: list[dict[str, Any]] = [
    {"name": "allreduce"},
    {"name": "diloco", "local_steps": 3},
    {"name": "d-psgd"},
    {"name": "fedavg", "local_steps": 3},
    {"name": "gossip"},
    {"name": "local-sgd", "local_steps": 3},
]
ASYNCHRONOUS: list[dict[str, Any]] = [{"name": "fedbuff", "local_steps": 3, "buffer": 2}, {"name": "ad-psgd"}]
PIPELINES: list[dict[str, Any]] = [
    {"name": "pipeline", "schedule": "1f1b", "microbatches": 4},
    {"name": "pipedream"},
]


def planned(mapping: dict[str, Any]) -> Plan:
    (plan,) = plans(Scenario.model_validate(mapping))
    return plan


def simulated(plan: Plan) -> tuple[Outcome, Recorder]:
    recorder = Recorder()
    return SimulatedRun(plan.world, plan.method, make_engine(plan), recorder).run(), recorder


@pytest.fixture(scope="module")
def loopback() -> Iterator[Nursery]:
    with Nursery(None) as nursery:
        yield nursery


@pytest.fixture
def shaped() -> Iterator[Callable[[Plan], Emulated]]:
    missing = missing_for("fabric")
    if missing:
        pytest.skip(f"the fabric cannot run here: {missing}")

    def over_the_fabric(plan: Plan) -> Emulated:
        with Nursery(driver) as nursery:
            nursery.build(plan)
            driver.up(plan.world.topology)
            return emulate(plan, nursery)

    with open_driver("fabric") as driver:
        yield over_the_fabric


def agree(real: Emulated, expected: tuple[Outcome, Recorder]) -> None:
    """Models and work are the same; so are bytes, which every message took in both."""
    outcome, recorder = expected
    assert real.outcome.worker_steps == outcome.worker_steps
    assert real.outcome.bytes_sent == pytest.approx(outcome.bytes_sent)
    assert real.outcome.invariants["bytes_lost"] == 0
    assert real.outcome.final == pytest.approx(outcome.final, abs=1e-4)
    final = [
        tables["metrics"].to_pandas().query("name == 'loss'").groupby("node").value.last()
        for tables in (real.recorder.tables(), recorder.tables())
    ]
    assert final[0].to_dict() == pytest.approx(final[1].to_dict(), abs=1e-4)


def titled(entry: dict[str, Any]) -> str:
    return str(entry["name"])


@pytest.mark.parametrize("entry", METHODS, ids=titled)
def test_models_are_those_of_the_simulation(
    entry: dict[str, Any], small: Callable[..., dict[str, Any]], loopback: Nursery
) -> None:
    plan = planned(small({"algorithms": [entry]}))
    agree(emulate(plan, loopback), simulated(plan))


@pytest.mark.parametrize("entry", PIPELINES, ids=titled)
def test_models_of_pipelines_are_those_of_the_simulation(
    entry: dict[str, Any], small: Callable[..., dict[str, Any]], loopback: Nursery
) -> None:
    changes = {"algorithms": [entry], "pipeline": {"stages": 2}, "task.model.hidden": [16, 16, 16]}
    plan = planned(small(changes))
    agree(emulate(plan, loopback), simulated(plan))


@pytest.mark.parametrize("entry", ASYNCHRONOUS, ids=titled)
def test_asynchronous_methods_learn_and_take_their_steps(
    entry: dict[str, Any], small: Callable[..., dict[str, Any]], loopback: Nursery
) -> None:
    plan = planned(small({"algorithms": [entry], "stop": {"steps": 12}}))
    real, (expected, _) = emulate(plan, loopback), simulated(plan)
    assert real.outcome.worker_steps >= expected.worker_steps
    losses = real.recorder.tables()["metrics"].to_pandas().query("name == 'loss' and node == ''").value
    assert losses.iloc[-1] < losses.iloc[0]
    counts = real.outcome.invariants
    assert counts["gradients_charged"] == counts["gradients_computed"] == real.outcome.worker_steps


@pytest.mark.parametrize(
    "entry", [{"name": "diloco", "local_steps": 3}, {"name": "fedavg", "local_steps": 3}]
)
def test_models_over_shaped_links_are_those_of_the_simulation(
    entry: dict[str, Any], small: Callable[..., dict[str, Any]], shaped: Callable[[Plan], Emulated]
) -> None:
    plan = planned(small({"algorithms": [entry]}))
    agree(shaped(plan), simulated(plan))


def test_the_hosts_run_what_the_driver_resolved(small: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """What a zygote reads is the plan's scenario: the same identity, files and all."""
    plan = planned(small())
    build = Build.of(plan, tmp_path)
    assert build.plugins is None
    assert canonical(build.built().scenario) == canonical(plan.scenario)


LIES: list[dict[str, Any]] = [
    {"attack": "sign-flip", "nodes": ["n1"], "knowledge": "own"},
    {"attack": "label-flip", "nodes": ["n1"], "knowledge": "own"},
]


@pytest.mark.parametrize("lie", LIES, ids=lambda lie: str(lie["attack"]))
@pytest.mark.parametrize("entry", [{"name": "allreduce"}, {"name": "fedavg", "local_steps": 3}], ids=titled)
def test_a_node_that_lies_does_the_same_harm(
    entry: dict[str, Any], lie: dict[str, Any], small: Callable[..., dict[str, Any]], loopback: Nursery
) -> None:
    plan = planned(small({"algorithms": [entry], "faults.byzantine": [lie]}))
    honest = planned(small({"algorithms": [entry]}))
    agree(emulate(plan, loopback), simulated(plan))
    assert simulated(plan)[0].final["loss"] != simulated(honest)[0].final["loss"]


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"faults.byzantine": [{"attack": "alie", "count": 1, "knowledge": "all"}]}, "faults.byzantine"),
        ({"faults.stragglers": [{"kind": "lognormal", "sigma": 0.3}]}, "faults.stragglers"),
        ({"stop": {"loss": 0.5, "steps": 9}}, "stop.loss"),
        ({"network.model": "receiver-serialised"}, "network.model"),
    ],
)
def test_what_cannot_be_done_for_real_is_said_before(
    changes: dict[str, Any], key: str, small: Callable[..., dict[str, Any]]
) -> None:
    with pytest.raises(ScenarioError, match="cannot be emulated") as error:
        check_emulable(planned(small(changes)), "real")
    assert ".".join(map(str, error.value.problems[0].path)) == key
