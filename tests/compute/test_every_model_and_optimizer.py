"""Batched work equals the loop's for every model and every optimizer that a scenario can name."""

from collections.abc import Sequence
from functools import cache

import pytest
import torch
from engine_tasks import pool_task
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from simnet.compute import Engine, TrainJob
from simnet.optim import AdamW, Optimizer, build_optimizer, registry
from simnet.tasks.components import models
from simnet.tasks.models.mlp import MLP
from simnet.tasks.task import Task

WORKERS, BATCH = 4, 3

SMALL = {
    "mlp": {"hidden": (7,)},
    "cnn": {"channels": (3, 4)},
    "gpt": {"layers": 2, "width": 8, "heads": 2, "context": 8},
}
"""Options that make a model small; those that are not here are built as they are by default."""


@cache
def task_of(model: str, dtype: torch.dtype) -> Task:
    """Random data of the kind that `model` is for."""
    entry = models[model]
    options = entry.options(**SMALL.get(model, {}))
    draws = torch.Generator().manual_seed(3)
    if "language-model" in entry.tasks:
        length = getattr(options, "context", 8)
        windows = torch.randint(0, 17, (WORKERS, 20, length + 1), generator=draws)
        inputs, targets, shape, outputs = windows[..., :-1], windows[..., 1:], (), 17
    else:
        shape, outputs = (1, 8, 8), 10
        inputs = torch.randn(WORKERS, 20, *shape, generator=draws, dtype=torch.float64).to(dtype)
        targets = torch.randint(0, outputs, (WORKERS, 20), generator=draws)

    def make() -> nn.Module:
        return entry.build(options, shape, outputs).to(dtype)

    return pool_task(make, inputs, targets, [BATCH] * WORKERS, dtype=dtype)


def optimizer_named(name: str) -> Optimizer:
    """With a learning rate that moves every optimizer by little, so that none runs away."""
    return build_optimizer({"name": name, "lr": 1e-3})


def trained(engine: Engine, steps: Sequence[int], dropped: Sequence[int] = ()) -> list[TrainJob]:
    """Two jobs of each worker, the second from where the first ended; those that are dropped are not run."""
    params, state = engine.initial_params, engine.init_state(engine.initial_params)
    jobs = [engine.submit_train(worker, params, state, count, worker) for worker, count in enumerate(steps)]
    engine.flush()
    again = [
        engine.submit_train(job.worker, job.result.params, job.result.state, 2, job.worker + job.steps)
        for job in jobs
    ]
    for worker in dropped:
        engine.withdraw(again[worker])
    engine.flush()
    assert [job.worker for job in again if job.result is None] == sorted(dropped)
    return [first if second.result is None else second for first, second in zip(jobs, again, strict=True)]


def distance(found: Tensor, expected: Tensor) -> float:
    """Relative distance of two vectors, measured against the longer way from where they began."""
    return float(torch.linalg.vector_norm(found - expected) / torch.linalg.vector_norm(expected))


def assert_equal_runs(batched: Engine, loop: Engine, steps: Sequence[int], dropped: Sequence[int]) -> None:
    bound = {torch.float64: 1e-10, torch.float32: 1e-5}[loop.initial_params.dtype]
    for found, expected in zip(trained(batched, steps, dropped), trained(loop, steps, dropped), strict=True):
        assert distance(found.result.params, expected.result.params) < bound
        assert distance(found.result.losses, expected.result.losses) < bound or not len(found.result.losses)
        assert found.result.state.keys() == expected.result.state.keys()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
@pytest.mark.parametrize("model", models)
def test_every_model(model: str, dtype: torch.dtype) -> None:
    task = task_of(model, dtype)
    batched, loop = Engine(task, AdamW(lr=1e-3)), Engine(task, AdamW(lr=1e-3), mode="loop")
    assert (batched.choice, loop.choice) == ("stacked", "loop")
    assert_equal_runs(batched, loop, (2, 5, 1, 3), dropped=(1,))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
@pytest.mark.parametrize("name", registry)
def test_every_optimizer(name: str, dtype: torch.dtype) -> None:
    # The loop computes gradients one by one but steps all rows at once: so here each worker is alone.
    task, optimizer = task_of("mlp", dtype), optimizer_named(name)
    steps = (3, 1, 4, 2)
    together = trained(Engine(task, optimizer), steps)
    bound = {torch.float64: 1e-10, torch.float32: 1e-5}[dtype]
    for worker, job in enumerate(together):
        engine = Engine(task, optimizer, mode="loop")
        state = engine.init_state(engine.initial_params)
        alone = engine.submit_train(worker, engine.initial_params, state, steps[worker] + 2, worker)
        engine.flush()
        assert distance(job.result.params, alone.result.params) < bound
        for key, value in alone.result.state.items():
            if value.is_floating_point() and torch.linalg.vector_norm(value) > 0:
                assert distance(job.result.state[key], value) < 100 * bound


@pytest.mark.parametrize("name", registry)
def test_a_scaled_step_is_that_of_a_scaled_learning_rate(name: str) -> None:
    task, optimizer = task_of("mlp", torch.float64), optimizer_named(name)
    scales = (0.3, 1.0, 2.5, 0.3)
    engine = Engine(task, optimizer)
    params, state = engine.initial_params, engine.init_state(engine.initial_params)
    jobs = [engine.submit_train(k, params, state, 3, 0, lr_scale=scale) for k, scale in enumerate(scales)]
    engine.flush()
    for job, scale in zip(jobs, scales, strict=True):
        rates = {key for key in type(optimizer).model_fields if key in ("lr", "adamw_lr")}
        own = Engine(
            task, optimizer.model_copy(update={key: getattr(optimizer, key) * scale for key in rates})
        )
        alone = own.submit_train(job.worker, params, own.init_state(own.initial_params), 3, 0)
        own.flush()
        assert distance(job.result.params, alone.result.params) < 1e-10


@settings(max_examples=12, deadline=None)
@given(
    width=st.integers(1, 9),
    hidden=st.lists(st.integers(1, 8), max_size=2),
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    data=st.data(),
)
def test_any_shape(width: int, hidden: list[int], sizes: list[int], data: st.DataObject) -> None:
    workers = len(sizes)
    draws = torch.Generator().manual_seed(0)
    inputs = torch.randn(workers, 9, width, generator=draws, dtype=torch.float64)
    targets = torch.randint(0, 3, (workers, 9), generator=draws)
    task = pool_task(lambda: MLP(width, 3, hidden), inputs, targets, sizes)
    steps = data.draw(st.lists(st.integers(0, 4), min_size=workers, max_size=workers))
    dropped = sorted(data.draw(st.sets(st.integers(0, workers - 1))))
    memory = data.draw(st.sampled_from([None, 1, 5_000]))
    batched = Engine(task, AdamW(lr=1e-2), memory_bytes=memory)
    assert_equal_runs(batched, Engine(task, AdamW(lr=1e-2), mode="loop"), steps, dropped)
