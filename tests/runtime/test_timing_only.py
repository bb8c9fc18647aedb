"""Timing-only runs: the clock and the bytes of the real thing, no values, and clear refusals."""

import copy
import sys
from typing import Any

import pytest
import torch

from simnet.algorithms import SHIPPED, algorithm_class
from simnet.pipeline.method import PipelineMethod
from simnet.plan import plans
from simnet.runtime.node import Algorithm, NoValuesError
from simnet.scenario import Scenario, ScenarioError

SYNTHETIC: dict[str, Any] = {
    "task": {"name": "synthetic", "parameters": "10M", "layers": 3, "step_seconds": "0.5 s"},
    "workers": {},
    "evaluate": None,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "d-psgd": {"graph": "ring"},
    "ad-psgd": {"graph": "ring"},
    "fedbuff": {"buffer": 2},
    "allreduce": {"overlap": "backward"},
    "diloco": {"overlap": "backward", "local_steps": 2},
}


WORKERS = [
    name
    for name in SHIPPED
    if not issubclass(algorithm_class(name), PipelineMethod) and not algorithm_class(name).needs_values
]
"""The others are held to the golden timing in tests/pipeline."""


@pytest.mark.parametrize("name", WORKERS)
def test_every_shipped_method_takes_the_time_and_bytes_of_a_real_run(simulate, name: str) -> None:
    """A real task that is charged as the synthetic one: the same events, at the same times."""
    method = algorithm_class(name).model_validate(OPTIONS.get(name, {}))
    free = {"flops": "1e30 FLOP/s", "achieved": 1}
    charge = {"parameters": "10M", "layers": 3, "step_seconds": "0.5 s", "bytes_per_parameter": "13.4 bit"}
    changes = {
        "workers": {"device": free},
        "task.charge_as": charge,
        "server.device": free,
        "task.partition": {"name": "iid"},
    }
    real = simulate(method, changes)
    task = SYNTHETIC["task"] | {"bytes_per_parameter": "13.4 bit"}
    timed = simulate(method, SYNTHETIC | {"task": task})
    assert timed.outcome.virtual_seconds == pytest.approx(real.outcome.virtual_seconds, rel=2e-3)
    assert timed.outcome.bytes_sent == pytest.approx(real.outcome.bytes_sent, rel=1e-6)
    assert timed.outcome.worker_steps == real.outcome.worker_steps
    assert timed.outcome.utilization == pytest.approx(real.outcome.utilization, rel=2e-3)
    assert timed.outcome.invariants["messages"] == real.outcome.invariants["messages"]
    names = ("gradients_charged", "steps_charged")
    assert [timed.outcome.invariants[n] for n in names] == [real.outcome.invariants[n] for n in names]


def test_nothing_is_computed_and_no_loss_is_recorded(simulate) -> None:
    timed = simulate(algorithm_class("allreduce")(), SYNTHETIC)
    rows = timed.recorder.tables()["metrics"].to_pylist()
    assert {row["name"] for row in rows} == {"steps", "bytes"}
    assert timed.outcome.final == {}
    assert timed.outcome.invariants["steps_counted"] == timed.outcome.invariants["steps_charged"] == 24
    assert "steps_computed" not in timed.outcome.invariants
    assert all(node.params.device.type == "meta" for node in timed.run.nodes.values())


def test_speed_divides_the_seconds_of_a_step(simulate) -> None:
    async def worker(node) -> None:
        await node.train(2)
        assert node.now == pytest.approx(2 * 0.5 / (node.rank + 1))

    workers = [{"count": 1, "speed": rank + 1} for rank in range(4)]
    simulate(worker, SYNTHETIC | {"workers": workers})


@pytest.mark.parametrize(
    ("ask", "error", "message"),
    [
        (lambda gradient: gradient.loss, NoValuesError, "timing-only"),
        (lambda gradient: float(gradient.vector.norm()), RuntimeError, "meta tensors"),
        (lambda gradient: bool((gradient.vector > 0).any()), RuntimeError, "meta tensors"),
        (lambda gradient: gradient.vector[0].item(), RuntimeError, "meta tensors"),
        (lambda gradient: gradient.vector.tolist(), NotImplementedError, "no data"),
        (lambda gradient: gradient.vector.numpy(), TypeError, "meta device"),
    ],
)
def test_values_that_are_asked_for_are_errors(simulate, ask, error, message) -> None:
    async def worker(node) -> None:
        with pytest.raises(error, match=message):
            ask(await node.gradient())

    simulate(worker, SYNTHETIC)


def test_the_loss_says_why_it_is_not_there(simulate) -> None:
    async def worker(node) -> None:
        gradient = await node.gradient()
        node.record(loss=gradient.loss)

    with pytest.raises(NoValuesError, match="timing-only"):
        simulate(worker, SYNTHETIC)


def test_work_in_flops_takes_time_on_a_device_and_none_without(simulate) -> None:
    def worker(expected: float):
        async def compute(node) -> None:
            assert await node.compute(lambda: 5, flops=1e12) == 5
            assert node.now == pytest.approx(expected)

        return compute

    simulate(worker(0.0), SYNTHETIC)
    device = {"flops": "1 TFLOP/s", "achieved": 0.5}
    simulate(worker(2.0), SYNTHETIC | {"workers": {"device": device}})


def test_sizes_of_what_is_sent(simulate) -> None:
    """13.4 bits a parameter, whatever part of the vector it is; a codec's share stays its share."""
    from simnet.runtime.node import Encoded

    async def worker(node) -> None:
        if node.rank == 0:
            await node.send("n1", node.params, "all")
            await node.send("n1", node.params[node.layers[1]], "layer")
            await node.send("n1", Encoded(None, 1e6), "encoded")
            await node.send("n1", 3.5, "number")
        elif node.rank == 1:
            sizes = [(await node.recv("n0", tag)).bytes for tag in ("all", "layer", "encoded", "number")]
            bytes_each = 13.4 / 8
            assert sizes == pytest.approx(
                [10e6 * bytes_each, 3_333_333 * bytes_each, 1e6 * bytes_each / 4, 8.0], rel=1e-12
            )

    simulate(worker, SYNTHETIC | {"task": SYNTHETIC["task"] | {"bytes_per_parameter": "13.4 bit"}})


def test_arithmetic_keeps_shapes(simulate) -> None:
    async def worker(node) -> None:
        vector = (node.params * 2 - node.params) / 3 + 1
        assert vector.shape == (10_000_000,)
        assert torch.cat([vector[:10], vector[20:50]]).shape == (40,)
        with pytest.raises(ValueError, match="shape"):
            node.params = vector[:10]
        with pytest.raises(RuntimeError):
            vector + vector[:10]

    simulate(worker, SYNTHETIC)


class Adaptive(Algorithm):
    """Stops to talk when the loss is low."""

    needs_values = True

    async def worker(self, node) -> None:
        await node.train(1)


def refused(small, changes: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ScenarioError) as caught:
        plans(Scenario.model_validate(small(copy.deepcopy(SYNTHETIC) | changes)))
    return {".".join(map(str, problem.path)): problem.message for problem in caught.value.problems}


def test_methods_that_need_values_are_refused(small, monkeypatch) -> None:
    monkeypatch.setitem(SHIPPED, "adaptive", f"{__name__}:Adaptive")
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    found = refused(small, {"algorithms": ["allreduce", "adaptive"]})
    assert list(found) == ["algorithms.1.name"]
    assert "depends on values" in found["algorithms.1.name"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dataset", "digits"),
        ("model", "mlp"),
        ("batch_size", 4),
        ("optimizer", "sgd"),
        ("charge_as", {"parameters": "1B"}),
        ("partition", "dirichlet"),
        ("layers", 10_000_001),
        ("parameters", 1.5),
        ("step_seconds", "0 s"),
        ("forward_fraction", 1.0),
        ("bytes_per_parameter", 0),
        ("tokens", 5),
    ],
)
def test_keys_that_say_nothing_or_cannot_be(small, key: str, value: object) -> None:
    assert f"task.{key}" in refused(small, {f"task.{key}": value})


def test_a_loss_is_nothing_to_stop_at_or_to_expect(small) -> None:
    assert "stop.loss" in refused(small, {"stop": {"loss": 1.0, "steps": 5}})
    lines = [
        "time(allreduce) > 0 s",
        "final_loss(allreduce) < 3",
        "final(allreduce, steps) == 6",
        "time_to(allreduce, accuracy, 0.5) < 1 h",
    ]
    found = refused(small, {"expect": lines})
    assert list(found) == ["expect.1", "expect.3"]


@pytest.mark.parametrize("missing", ["batch_size", "optimizer"])
def test_other_tasks_still_need_their_keys(small, missing: str) -> None:
    with pytest.raises(ValueError, match="missing key"):
        Scenario.model_validate(small({f"task.{missing}": None}))


def test_other_tasks_still_need_a_device(small) -> None:
    with pytest.raises(ValueError, match="missing key"):
        Scenario.model_validate(small({"workers": [{"count": 4}]}))
