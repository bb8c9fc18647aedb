"""Runs on slow machines: closed forms, hand-made times, and the same luck for every method."""

from math import erf, fsum, log, sqrt
from typing import Any

import numpy as np
import pytest
import torch

from simnet.algorithms import SHIPPED, algorithm_class
from simnet.algorithms.allreduce import AllReduce
from simnet.algorithms.diloco import DiLoCo
from simnet.algorithms.fedbuff import FedBuff
from simnet.algorithms.local_sgd import LocalSGD
from simnet.pipeline.method import PipelineMethod

TIMED: dict[str, Any] = {
    "task": {"name": "synthetic", "parameters": 1000, "layers": 3, "step_seconds": "0.5 s"},
    "workers": {},
    "evaluate": None,
}
NO_NETWORK = {"network.link": {"bandwidth": "1e9 Tbps", "latency": 0}}
LOGNORMAL = {"faults.stragglers": {"kind": "lognormal", "sigma": 0.5}}
OPTIONS: dict[str, dict[str, Any]] = {
    "d-psgd": {"graph": "ring"},
    "ad-psgd": {"graph": "ring"},
    "fedbuff": {"buffer": 2, "local_steps": 3},
    "fedavg": {"local_steps": 3},
    "allreduce": {"overlap": "backward"},
    "diloco": {"overlap": "backward", "local_steps": 2},
}
WORKERS = [
    name
    for name in SHIPPED
    if not issubclass(algorithm_class(name), PipelineMethod) and not algorithm_class(name).needs_values
]


def expected_max(count: int, sigma: float) -> float:
    """E max of `count` LogNormal(0, sigma): the integral of 1 - F^count."""
    x = np.linspace(1e-9, 40, 400_001)
    below = np.array([0.5 * (1 + erf(log(value) / sigma / sqrt(2))) for value in x])
    return float(np.trapezoid(1 - below**count, x))


def test_a_synchronous_step_takes_as_long_as_its_slowest_worker(simulate) -> None:
    """10,000 draws: 4 workers, 2,500 steps."""
    steps = 2_500
    changes = {
        **TIMED,
        **NO_NETWORK,
        **LOGNORMAL,
        "stop": {"steps": steps},
        "evaluate": {"every": "1000 steps"},
    }
    run = simulate(AllReduce(), changes)
    measured = run.outcome.virtual_seconds / steps / 0.5
    assert measured == pytest.approx(expected_max(4, 0.5), rel=0.02)
    # Exactly: the sum over steps of the greatest factor.
    worst = [
        max(run.run.faults.slowdowns[f"n{rank}"].of_step(step) for rank in range(4)) for step in range(steps)
    ]
    assert run.outcome.virtual_seconds == pytest.approx(0.5 * fsum(worst), rel=1e-9)


def test_exponential_stragglers_cost_a_harmonic_number(simulate) -> None:
    steps = 1_000
    entry = {"kind": "exponential", "mean": 0.5}
    changes = {"network.topology.nodes": 10, "stop": {"steps": steps}, "evaluate": {"every": "1000 steps"}}
    run = simulate(AllReduce(), {**TIMED, **NO_NETWORK, "faults.stragglers": entry, **changes})
    expected = 1 + 0.5 * sum(1 / k for k in range(1, 11))
    assert run.outcome.virtual_seconds / steps / 0.5 == pytest.approx(expected, rel=0.02)


def test_averaging_rarely_waits_less(simulate) -> None:
    """H steps between averagings: the greatest of sums varies less than the sum of the greatest."""
    changes = {**TIMED, **NO_NETWORK, **LOGNORMAL, "stop": {"steps": 200}}
    each = simulate(AllReduce(), changes).outcome.virtual_seconds
    rarely = simulate(LocalSGD(local_steps=20), changes)
    slowest = [
        max(rarely.run.faults.slowdowns[f"n{rank}"].of_steps(first, 20) for rank in range(4))
        for first in range(0, 200, 20)
    ]
    assert rarely.outcome.virtual_seconds == pytest.approx(0.5 * fsum(slowest), rel=1e-9)
    assert rarely.outcome.virtual_seconds < 0.85 * each


@pytest.mark.parametrize("name", WORKERS)
def test_every_method_meets_the_same_luck(simulate, name: str) -> None:
    """The k-th batch of a worker takes the same time, whoever asks for it, and in whatever pieces."""
    method = algorithm_class(name).model_validate(OPTIONS.get(name, {}))
    changes = {**TIMED, **NO_NETWORK, **LOGNORMAL}
    run = simulate(method, changes).run
    reference = simulate(AllReduce(), changes).run
    workers = [node for node in run.nodes.values() if node.role == "worker"]
    assert len(workers) == 4
    for node in workers:
        assert node.batches_drawn > 0
        alone = reference.faults.slowdowns[node.host].of_steps(0, node.batches_drawn)
        assert node.computing.busy_seconds == pytest.approx(0.5 * alone, rel=1e-9)


def test_a_slowdown_that_changes_within_a_computation(simulate) -> None:
    """Four steps of 0.5 s from 0 on, three times as slow from 1 s to 2.5 s: 1 + 1.5 + 0.5 s."""
    entry = {"kind": "scheduled", "nodes": ["n1"], "at": "1 s", "for": "1.5 s", "factor": 3}
    ends = {}

    async def worker(node) -> None:
        await node.train(4)
        ends[node.id] = node.now
        await node.compute(lambda: None, seconds=2.0)

    run = simulate(worker, TIMED | {"faults.stragglers": entry})
    assert ends == pytest.approx({"n0": 2.0, "n1": 3.0, "n2": 2.0, "n3": 2.0})
    assert run.run.nodes["n1"].computing.busy_seconds == pytest.approx(5.0)
    assert run.outcome.invariants["steps_counted"] == run.outcome.invariants["steps_charged"] == 16


def test_all_kinds_of_work_are_slowed_down(simulate) -> None:
    """A factor of time is on everything; a step's factor on what belongs to the step."""
    entries = [
        {"kind": "scheduled", "factor": 3},
        {"kind": "bimodal", "probability": 1, "factor": 2},
    ]
    free = {"flops": "1e30 FLOP/s", "achieved": 1}
    charge = {"workers": {"device": free}, "task.charge_as": {"parameters": "1M", "step_seconds": "0.6 s"}}
    seen: list[tuple[str, float]] = []

    async def worker(node) -> None:
        moments = [node.now]

        def took(what: str) -> None:
            seen.append((what, node.now - moments[-1]))
            moments.append(node.now)

        await node.train(2)
        took("train")
        gradient = await node.gradient()
        took("gradient")
        await node.loss()
        took("loss")
        await node.compute(lambda: None, seconds=0.5)
        took("compute")
        await node.step(gradient.vector)
        task = node.spawn(node.sleep(12.0))
        assert await node.train(until=task) == 3  # of 3.6 s each
        assert node.now == pytest.approx(moments[-1] + 12.0)

    simulate(worker, {**charge, "faults.stragglers": entries})
    each = {"train": 7.2, "gradient": 3.6, "loss": 1.2, "compute": 1.5}
    assert len(seen) == 16
    for what, seconds in seen:
        assert seconds == pytest.approx(each[what], rel=1e-9)


def test_beside_a_task_as_many_steps_fit_as_would_have_ended(simulate) -> None:
    """`train(until)` counts the very steps that `train(steps)` would have needed the time for."""
    changes = {
        **TIMED,
        "faults.stragglers": [
            LOGNORMAL["faults.stragglers"],
            {"kind": "episodes", "factor": 4, "mean_slow": "2 s", "mean_fast": "3 s"},
        ],
        "stop": {"steps": 1000},
    }
    ends: dict[str, list[float]] = {}

    async def plain(node) -> None:
        ends[node.id] = []
        for _ in range(60):
            await node.train(1)
            ends[node.id].append(node.now)

    simulate(plain, changes)
    counted: dict[str, int] = {}

    async def beside(node) -> None:
        counted[node.id] = await node.train(until=node.spawn(node.sleep(20.0)))

    simulate(beside, changes)
    assert counted == {name: sum(end <= 20.0 for end in of) for name, of in ends.items()}
    assert len(set(counted.values())) > 1


@pytest.mark.parametrize("make", [AllReduce, lambda **options: DiLoCo(local_steps=3, **options)])
def test_layer_by_layer_on_slow_machines(simulate, make: Any) -> None:
    """Without a network, sending layer by layer makes no difference: the last one comes with the end."""
    slow = [
        LOGNORMAL["faults.stragglers"],
        {"kind": "episodes", "factor": 4, "mean_slow": "0.3 s", "mean_fast": "0.7 s"},
    ]
    changes = {**TIMED, **NO_NETWORK, "faults.stragglers": slow}
    plain, overlapped = simulate(make(), changes), simulate(make(overlap="backward"), changes)
    assert overlapped.outcome.virtual_seconds == pytest.approx(plain.outcome.virtual_seconds, rel=1e-9)


def test_without_stragglers_nothing_changes_a_bit(simulate, without_accounts) -> None:
    """No section, an empty one, and one that slows nobody down: the same tables, byte for byte."""
    nobody = {"kind": "scheduled", "at": "1e6 s", "factor": 9}
    tables = [
        simulate(DiLoCo(local_steps=2), changes).recorder.tables()
        for changes in ({}, {"faults": {}}, {"faults.stragglers": [nobody]}, {"faults.stragglers": []})
    ]
    for other in tables[1:]:
        assert all(without_accounts(other[name]).equals(table) for name, table in tables[0].items())


def test_values_do_not_depend_on_who_is_slow(simulate) -> None:
    """A synchronous method computes the same model, later."""
    plain, slow = simulate(AllReduce()), simulate(AllReduce(), LOGNORMAL)
    assert slow.outcome.virtual_seconds > plain.outcome.virtual_seconds
    for name, node in plain.run.nodes.items():
        assert torch.equal(slow.run.nodes[name].params, node.params)
    assert slow.outcome.bytes_sent == plain.outcome.bytes_sent


def test_staleness_answers_to_stragglers(simulate) -> None:
    """Two of nine clients that are ten times as slow send updates that are older than those of others."""

    def staleness(changes: dict[str, Any]) -> list[float]:
        wide = {**TIMED, **NO_NETWORK, "network.topology.nodes": 9, "stop": {"steps": 60}, **changes}
        run = simulate(FedBuff(buffer=2, local_steps=2), wide)
        rows = run.recorder.tables()["metrics"].to_pylist()
        return [row["value"] for row in rows if row["name"] == "staleness"]

    even = staleness({})
    slow = staleness({"faults.stragglers": {"kind": "scheduled", "nodes": ["n0", "n1"], "factor": 10}})
    assert max(even) <= 4
    assert max(slow) >= 20  # while a slow one computes, the others go on


def test_the_server_may_be_slow(simulate) -> None:
    moments = {}

    async def server(node) -> None:
        await node.compute(lambda: None, seconds=1.0)
        moments[node.id] = node.now

    async def worker(node) -> None:
        await node.train(1)

    slow = {"kind": "scheduled", "nodes": ["server"], "factor": 4}
    simulate(worker, TIMED | {"faults.stragglers": slow}, server=server)
    assert moments == {"server": 4.0}
