"""The engine does what a plain torch loop over separate modules does."""

import itertools
from collections.abc import Callable

import pytest
import torch
from engine_tasks import TASKS, Separate, cnn_task, gpt_task, image_task, mlp_task
from torch import Tensor, nn

from simnet.compute import Engine, TrainJob
from simnet.compute.batched import chunks
from simnet.optim import SGD, AdamW, Constant, Cosine, Nesterov, Optimizer
from simnet.tasks.models import stacked

Parameters = list[nn.Parameter]
CLOSE = {"rtol": 1e-10, "atol": 1e-12}

OPTIMIZERS: dict[str, tuple[Optimizer, Callable[[Parameters], torch.optim.Optimizer]]] = {
    "sgd": (SGD(lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum": (
        SGD(lr=0.1, momentum=0.9, weight_decay=0.01),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    ),
    "nesterov": (
        Nesterov(lr=0.1, momentum=0.8),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.8, nesterov=True),
    ),
    "adamw": (AdamW(lr=0.02, betas=(0.8, 0.9)), lambda p: torch.optim.AdamW(p, lr=0.02, betas=(0.8, 0.9))),
}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def submit(engine: Engine, worker: int, steps: int, first_batch: int = 0) -> TrainJob:
    params = engine.initial_params
    return engine.submit_train(worker, params, engine.init_state(params), steps, first_batch)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", TASKS)
def test_train_equals_separate_modules(model: str, optimizer: str) -> None:
    task = TASKS[model]()
    ours, theirs = OPTIMIZERS[optimizer]
    engine = Engine(task, ours)
    separate = [Separate(task, worker, theirs) for worker in range(task.workers)]
    jobs = [submit(engine, worker, 3) for worker in range(task.workers)]
    engine.flush()
    # A second job continues from the state and the data where the first one ended.
    for job, one in zip(jobs, separate, strict=True):
        one.train(3, 0)
        torch.testing.assert_close(job.result.params, one.flat, **CLOSE)
    jobs = [engine.submit_train(job.worker, job.result.params, job.result.state, 2, 3) for job in jobs]
    engine.flush()
    for job, one in zip(jobs, separate, strict=True):
        one.train(2, 3)
        torch.testing.assert_close(job.result.params, one.flat, **CLOSE)
        assert job.result.losses.tolist() == pytest.approx(one.losses[3:], rel=1e-10)


@pytest.mark.parametrize("mode", ["stacked", "vmap", "loop"])
@pytest.mark.parametrize("model", ["mlp", "cnn", "quadratic"])
def test_every_mode_equals_separate_modules(model: str, mode: str) -> None:
    task = TASKS[model]()
    engine = Engine(task, SGD(lr=0.1, momentum=0.9), mode=mode)
    assert engine.choice == mode
    jobs = [submit(engine, worker, 4) for worker in range(task.workers)]
    engine.flush()
    for job in jobs:
        one = Separate(task, job.worker, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9))
        one.train(4, 0)
        torch.testing.assert_close(job.result.params, one.flat, **CLOSE)


def test_clipping_and_schedule() -> None:
    task = mlp_task()
    schedule = Cosine(steps=10, warmup_steps=3, final=0.1)
    engine = Engine(task, AdamW(lr=0.05, clip_norm=0.3, schedule=schedule))
    jobs = [submit(engine, worker, 6 + worker) for worker in range(4)]
    engine.flush()
    for job in jobs:
        one = Separate(
            task,
            job.worker,
            lambda p: torch.optim.AdamW(p, lr=0.05),
            schedule=lambda step: schedule.factor(torch.tensor(step)).item(),
            clip_norm=0.3,
        )
        one.train(6 + job.worker, 0)
        torch.testing.assert_close(job.result.params, one.flat, **CLOSE)


def test_ragged_steps_and_different_batches() -> None:
    task = gpt_task()
    engine = Engine(task, AdamW(lr=0.02))
    asked = {0: (1, 4), 1: (5, 0), 2: (0, 2), 3: (3, 9)}
    jobs = [submit(engine, worker, steps, first) for worker, (steps, first) in asked.items()]
    engine.flush()
    for job in jobs:
        one = Separate(task, job.worker, lambda p: torch.optim.AdamW(p, lr=0.02))
        one.train(*asked[job.worker])
        torch.testing.assert_close(job.result.params, one.flat, **CLOSE)
        assert job.result.losses.tolist() == pytest.approx(one.losses, rel=1e-10)
        assert job.result.state["step"] == asked[job.worker][0]


def test_fp32_is_close_too() -> None:
    task = mlp_task(dtype=torch.float32)
    engine = Engine(task, SGD(lr=0.1, momentum=0.9))
    jobs = [submit(engine, worker, 20) for worker in range(4)]
    engine.flush()
    for job in jobs:
        one = Separate(task, job.worker, lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9))
        one.train(20, 0)
        torch.testing.assert_close(job.result.params, one.flat, rtol=1e-4, atol=1e-5)


def test_batch_sizes_may_differ() -> None:
    task = mlp_task(4, batch_sizes=[3, 5, 3, 8])
    engine = Engine(task, SGD(lr=0.1))
    trained = [submit(engine, worker, 2) for worker in range(4)]
    gradients = [engine.submit_gradient(worker, engine.initial_params, 0) for worker in range(4)]
    engine.flush()
    for job, gradient in zip(trained, gradients, strict=True):
        one = Separate(task, job.worker, lambda p: torch.optim.SGD(p, lr=0.1))
        one.train(2, 0)
        torch.testing.assert_close(job.result.params, one.flat, **CLOSE)
        assert gradient.result.loss.item() == pytest.approx(one.losses[0], rel=1e-12)


@pytest.mark.parametrize("mode", ["stacked", "vmap", "loop"])
@pytest.mark.parametrize("shared", [True, False])
def test_gradients(mode: str, shared: bool) -> None:
    task = cnn_task()
    engine = Engine(task, SGD(lr=0.1), mode=mode)
    points = [engine.initial_params * (1 if shared else 1 + 0.1 * worker) for worker in range(4)]
    if shared:
        points = [engine.initial_params] * 4
    jobs = [engine.submit_gradient(worker, points[worker], 2) for worker in range(4)]
    engine.flush()
    for job in jobs:
        model = task.make_model()
        nn.utils.vector_to_parameters(job.params, model.parameters())
        inputs, targets = task.batches(job.worker, 2, 1)
        loss = task.loss(model(inputs[0]), targets[0]).mean()
        loss.backward()
        expected = nn.utils.parameters_to_vector([value.grad for value in model.parameters()])
        torch.testing.assert_close(job.result.vector, expected, **CLOSE)
        assert job.result.loss.item() == pytest.approx(loss.item(), rel=1e-12)


def test_gradient_and_step_make_a_training_step() -> None:
    engine = Engine(mlp_task(), AdamW(lr=0.1, clip_norm=0.5))
    state = engine.init_state(engine.initial_params)
    trained = submit(engine, 1, 1, 7)
    gradient = engine.submit_gradient(1, engine.initial_params, 7)
    engine.flush()
    step = engine.submit_step(engine.initial_params, gradient.result.vector, state)
    engine.flush()
    torch.testing.assert_close(step.result.params, trained.result.params, **CLOSE)
    for name, value in trained.result.state.items():
        torch.testing.assert_close(step.result.state[name], value, **CLOSE)


def test_step_jobs_on_the_same_tensors_share_one_result() -> None:
    engine = Engine(mlp_task(), SGD(lr=0.1, momentum=0.9))
    params, state = engine.initial_params, engine.init_state(engine.initial_params)
    gradient = torch.ones_like(params)
    first = engine.submit_step(params, gradient, state)
    same = engine.submit_step(params, gradient, dict(state))
    other = engine.submit_step(params, 2 * gradient, state)
    engine.flush()
    assert first.result is same.result
    assert first.result is not other.result
    torch.testing.assert_close(first.result.params, params - 0.1, **CLOSE)
    torch.testing.assert_close(other.result.params, params - 0.2, **CLOSE)
    torch.testing.assert_close(gradient, torch.ones_like(params))


def test_equal_steps_from_the_start_are_computed_once() -> None:
    engine = Engine(mlp_task(), AdamW(lr=0.1))
    gradient = torch.ones_like(engine.initial_params)
    jobs = [
        engine.submit_step(engine.initial_params, gradient, engine.init_state(engine.initial_params))
        for _ in range(3)
    ]
    engine.flush()
    assert len({id(job.result) for job in jobs}) == 1


class Twice(nn.Module):
    """One weight in two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.output = nn.Parameter(torch.randn(12, 12) / 4), nn.Linear(12, 10)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.output(torch.tanh(torch.tanh(inputs @ self.weight.T) @ self.weight.T))

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        hidden = torch.tanh(stacked.linear(inputs, params["weight"]))
        hidden = torch.tanh(stacked.linear(hidden, params["weight"]))
        return stacked.linear(hidden, params["output.weight"], params["output.bias"])


def test_a_weight_may_serve_twice() -> None:
    task = image_task(3, [12], Twice)
    engine = Engine(task, SGD(lr=0.1), mode="stacked")
    jobs = [submit(engine, worker, 3) for worker in range(3)]
    engine.flush()
    for job in jobs:
        one = Separate(task, job.worker, lambda p: torch.optim.SGD(p, lr=0.1))
        one.train(3, 0)
        torch.testing.assert_close(job.result.params, one.flat, **CLOSE)


def test_values_are_never_mutated_and_never_aliased() -> None:
    engine = Engine(mlp_task(), SGD(lr=0.1, momentum=0.9))
    jobs = [submit(engine, worker, 2) for worker in range(4)]
    gradients = [engine.submit_gradient(worker, engine.initial_params, 0) for worker in range(4)]
    before = engine.initial_params.clone()
    engine.flush()
    kept = [tensor for job in jobs for tensor in (job.result.params, *job.result.state.values())]
    kept += [job.result.vector for job in gradients]
    copies = [tensor.clone() for tensor in kept]
    for a, b in itertools.combinations(kept, 2):
        spans = sorted((t.data_ptr(), t.data_ptr() + t.nbytes) for t in (a, b))
        assert spans[0][1] <= spans[1][0], "two results overlap in memory"
    for job in jobs:
        engine.submit_train(job.worker, job.result.params, job.result.state, 3, 2)
        engine.submit_step(job.result.params, gradients[0].result.vector, job.result.state)
    engine.flush()
    engine.evaluate([job.result.params for job in jobs])
    for tensor, copy in zip(kept, copies, strict=True):
        assert torch.equal(tensor, copy)
    assert torch.equal(engine.initial_params, before)


def test_withdrawn_jobs_are_not_run() -> None:
    engine = Engine(mlp_task(), SGD(lr=0.1))
    kept, withdrawn = submit(engine, 0, 1), submit(engine, 1, 1)
    engine.withdraw(withdrawn)
    engine.flush()
    assert kept.result is not None
    assert withdrawn.result is None
    engine.withdraw(kept)  # too late, and harmless


def test_runs_repeat_to_the_byte() -> None:
    def run() -> list[Tensor]:
        engine = Engine(gpt_task(), AdamW(lr=0.02, clip_norm=1.0))
        jobs = [submit(engine, worker, 3 + worker) for worker in range(4)]
        engine.flush()
        return [tensor for job in jobs for tensor in (job.result.params, job.result.losses)]

    for first, second in zip(run(), run(), strict=True):
        assert torch.equal(first, second)


def test_splitting_a_group_changes_no_result_much() -> None:
    task = mlp_task(7)
    engine = Engine(task, SGD(lr=0.1))
    whole = [submit(engine, worker, 3) for worker in range(7)]
    engine.flush()
    narrow = Engine(task, SGD(lr=0.1), memory_bytes=1)
    parts = [submit(narrow, worker, 3) for worker in range(7)]
    narrow.flush()
    for a, b in zip(whole, parts, strict=True):
        torch.testing.assert_close(a.result.params, b.result.params, **CLOSE)


def test_chunks_cover_everything_in_order() -> None:
    for length, size in itertools.product(range(12), range(1, 6)):
        parts = list(chunks(list(range(length)), size))
        assert [item for part in parts for item in part] == list(range(length))
        assert all(1 <= len(part) <= size for part in parts)
        assert len(parts) == -(-length // size)


def test_steps_must_not_be_negative() -> None:
    engine = Engine(mlp_task(), SGD(lr=0.1))
    with pytest.raises(ValueError, match="negative"):
        submit(engine, 0, -1)


def test_a_bad_worker_is_an_error() -> None:
    engine = Engine(mlp_task(), SGD(lr=0.1, schedule=Constant(warmup_steps=2)))
    submit(engine, 17, 1)
    with pytest.raises(IndexError):
        engine.flush()
