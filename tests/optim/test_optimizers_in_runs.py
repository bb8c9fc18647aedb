"""Optimizers that need the model's shapes get them, wherever a scenario names one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from simnet.compute import Engine, Layout, TrainJob
from simnet.optim import Adafactor, AdamW, Lion, Muon, NAdam, Optimizer, SignSGD, registry
from simnet.plan import plans
from simnet.results import Recorder
from simnet.runtime.simulated import SimulatedRun
from simnet.scenario import Scenario, ScenarioError

Small = Callable[..., dict[str, Any]]


def final_models(mapping: dict[str, Any]) -> dict[str, Tensor]:
    (plan,) = plans(Scenario.model_validate(mapping))
    run = SimulatedRun(plan.world, plan.method, Engine(plan.world.task, plan.optimizer), Recorder())
    run.run()
    return {name: node.params for name, node in run.nodes.items()}


@pytest.mark.parametrize("name", sorted(registry))
def test_an_outer_optimizer_on_gradients_is_the_task_s_own(small: Small, name: str) -> None:
    """One inner step of plain descent at rate 1 drifts by the gradient: DiLoCo then is all-reduce."""
    optimizer = {"name": name, "lr": 0.01}
    outer = {"name": "diloco", "local_steps": 1, "outer": optimizer}
    plain = {"task.optimizer": {"name": "sgd", "lr": 1.0}, "stop.steps": 2, "algorithms": [outer]}
    one = final_models(small(plain))["n0"]
    other = final_models(small({"task.optimizer": optimizer, "stop.steps": 2}))["n0"]
    start = final_models(small({"task.optimizer": {"name": "sgd", "lr": 1e-30}, "stop.steps": 1}))["n0"]
    assert (one - other).norm() < 1e-5 * (other - start).norm()


def test_the_clock_charges_the_newton_schulz_steps(small: Small) -> None:
    (plan,) = plans(Scenario.model_validate(small({"task.optimizer": {"name": "muon"}})))
    machine = plan.world.cost.machines[0]
    model = plan.world.task.make_model()
    bound = Muon().with_layout(Layout.of(model))
    parameters = sum(value.numel() for value in model.parameters())
    assert machine.optimizer.flops == bound.step_flops(parameters) > 100 * parameters


@pytest.mark.parametrize("name", ["muon", "adafactor"])
@pytest.mark.parametrize("parameters", [None, 1e8])
def test_the_clock_charges_an_outer_step(small: Small, name: str, parameters: float | None) -> None:
    """Three rounds with this outer optimizer take the time of its operations more than with plain descent."""
    charge = None if parameters is None else {"parameters": parameters, "samples_per_step": 16}

    def run(outer: dict[str, Any]) -> tuple[float, float, float]:
        method = {"name": "diloco", "local_steps": 1, "outer": outer}
        changes = {"task.charge_as": charge, "algorithms": [method], "stop.steps": 3}
        (plan,) = plans(Scenario.model_validate(small(changes)))
        cost = plan.world.cost
        simulated = SimulatedRun(plan.world, plan.method, Engine(plan.world.task, plan.optimizer), Recorder())
        flops = plan.method.outer.step_flops(cost.charged_parameters)  # type: ignore[attr-defined]
        return simulated.run().virtual_seconds, flops, cost.machines[0].seconds(flops)

    plain, plain_flops, plain_seconds = run({"name": "sgd", "lr": 1.0})
    rich, flops, seconds = run({"name": name, "lr": 0.01})
    assert flops > 6 * plain_flops
    assert rich - plain == pytest.approx(3 * (seconds - plain_seconds), rel=1e-6)


@pytest.mark.parametrize("name", ["muon", "adafactor"])
def test_what_is_written_down_says_nothing_of_shapes(small: Small, name: str) -> None:
    method = {"name": "diloco", "outer": {"name": name, "lr": 0.01}}
    (plan,) = plans(Scenario.model_validate(small({"algorithms": [method]})))
    outer = plan.method.outer  # type: ignore[attr-defined]
    assert outer.model_dump() == registry[name](lr=0.01).model_dump()


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"task.optimizer": {"name": "muon"}}, ("task", "optimizer")),
        ({"algorithms": [{"name": "diloco", "outer": "muon"}]}, ("algorithms", 0, "outer")),
    ],
)
def test_a_model_without_matrices_is_refused(
    small: Small, changes: dict[str, Any], path: tuple[str | int, ...]
) -> None:
    task = {"name": "quadratic", "batch_size": 1, "optimizer": {"name": "sgd", "lr": 0.1}}
    with pytest.raises(ScenarioError, match="finds no matrix") as raised:
        plans(Scenario.model_validate(small({"task": task, **changes})))
    assert [problem.path for problem in raised.value.problems] == [path]


@pytest.mark.parametrize("optimizer", [NAdam(), Lion(), SignSGD(lr=1e-3), Adafactor(), Muon(), AdamW()])
def test_workers_together_as_one_by_one(small: Small, optimizer: Optimizer) -> None:
    """Ragged step counts, several flushes: as a loop over workers, of which each has an engine of its own."""
    (plan,) = plans(Scenario.model_validate(small()))
    task = plan.world.task

    def train(engine: Engine, workers: list[int]) -> list[Tensor]:
        jobs: list[TrainJob] = []
        for worker in workers:
            start = engine.initial_params
            jobs.append(engine.submit_train(worker, start, engine.init_state(start), 1 + worker, 0))
        engine.flush()
        later = []
        for job in jobs:
            assert job.result is not None
            later.append(engine.submit_train(job.worker, job.result.params, job.result.state, 3, 9))
        engine.flush()
        return [job.result.params for job in later if job.result is not None]

    together = train(Engine(task, optimizer), [0, 1, 2, 3])
    for worker, params in enumerate(together):
        (alone,) = train(Engine(task, optimizer, mode="loop"), [worker])
        moved = (alone - Engine(task, optimizer).initial_params).norm()
        assert (params - alone).norm() < 1e-5 * moved
        assert torch.isfinite(params).all()
