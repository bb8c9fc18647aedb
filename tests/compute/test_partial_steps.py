"""Steps of another length, steps on a part of the vector, and losses without gradients."""

import pytest
import torch
from engine_tasks import TASKS, Separate, image_task, mlp_task
from torch import nn

from simnet.compute import Engine
from simnet.optim import SGD, AdamW

CLOSE = {"rtol": 1e-10, "atol": 1e-12}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize("mode", ["stacked", "vmap", "loop"])
def test_training_a_part_equals_a_module_with_the_rest_frozen(mode: str) -> None:
    task = mlp_task()
    engine = Engine(task, AdamW(lr=0.02, clip_norm=0.1), mode=mode)
    first = 9 * 12 + 9  # weight and bias of the first layer
    parts = {
        0: slice(0, first),
        1: slice(first, None),
        2: torch.arange(first, engine.parameters),
        3: torch.arange(engine.parameters) < first,
    }
    params, state = engine.initial_params, engine.init_state(engine.initial_params)
    jobs = [engine.submit_train(k, params, state, 2 + k, 0, only=only) for k, only in parts.items()]
    whole = engine.submit_train(0, params, state, 2, 0)
    engine.flush()
    for job in jobs:
        one = Separate(task, job.worker, lambda p: torch.optim.AdamW(p, lr=0.02), clip_norm=0.1)
        for index, parameter in enumerate(one.model.parameters()):
            parameter.requires_grad_((index < 2) == (job.worker in (0, 3)))
        one.train(2 + job.worker, 0)
        torch.testing.assert_close(job.result.params, one.flat, **CLOSE)
        frozen = slice(first, None) if job.worker in (0, 3) else slice(0, first)
        assert torch.equal(job.result.params[frozen], params[frozen])
        assert not job.result.state["first_moment"][frozen].any()
        assert job.result.state["step"] == 2 + job.worker
    one = Separate(task, 0, lambda p: torch.optim.AdamW(p, lr=0.02), clip_norm=0.1)
    one.train(2, 0)
    torch.testing.assert_close(whole.result.params, one.flat, **CLOSE)


def test_state_of_frozen_coordinates_is_kept_to_the_bit() -> None:
    engine = Engine(mlp_task(), SGD(lr=0.1, momentum=0.9))
    warm = engine.submit_train(0, engine.initial_params, engine.init_state(engine.initial_params), 2, 0)
    engine.flush()
    job = engine.submit_train(0, warm.result.params, warm.result.state, 2, 2, only=slice(3, 50), lr_scale=0.5)
    engine.flush()
    for found, before in (
        (job.result.params, warm.result.params),
        (job.result.state["momentum"], warm.result.state["momentum"]),
    ):
        assert torch.equal(found[:3], before[:3])
        assert torch.equal(found[50:], before[50:])
        assert not torch.equal(found[3:50], before[3:50])


def test_scaled_and_plain_jobs_in_one_flush() -> None:
    engine = Engine(mlp_task(), SGD(lr=0.1))
    params, state = engine.initial_params, engine.init_state(engine.initial_params)
    jobs = [engine.submit_train(0, params, state, 1, 0, lr_scale=scale) for scale in (1.0, 0.25, 4.0)]
    engine.flush()
    step = jobs[0].result.params - params
    for job in jobs:
        torch.testing.assert_close(job.result.params, params + job.lr_scale * step, **CLOSE)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lr_scale": 0.0}, "above 0"),
        ({"lr_scale": float("nan")}, "above 0"),
        ({"only": slice(5, 5)}, "no coordinate"),
        ({"only": torch.zeros(3, dtype=torch.bool)}, "mask of shape"),
        ({"only": torch.tensor([10**6])}, "no part"),
    ],
)
def test_what_cannot_be_meant_is_an_error(options: dict[str, object], says: str) -> None:
    engine = Engine(mlp_task(), SGD(lr=0.1))
    with pytest.raises(ValueError, match=says):
        engine.submit_train(
            0, engine.initial_params, engine.init_state(engine.initial_params), 1, 0, **options
        )


class Dropping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop = nn.Linear(12, 10), nn.Dropout(0.5)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.layer(self.drop(inputs))


@pytest.mark.parametrize("model", TASKS)
def test_a_loss_is_that_of_the_gradient_on_the_same_batch(model: str) -> None:
    engine = Engine(TASKS[model](), SGD(lr=0.1))
    points = [engine.initial_params * (1 + 0.1 * worker) for worker in range(4)]
    losses = [engine.submit_loss(worker, points[worker], 3) for worker in range(4)]
    gradients = [engine.submit_gradient(worker, points[worker], 3) for worker in range(4)]
    engine.flush()
    for loss, gradient in zip(losses, gradients, strict=True):
        assert loss.result.item() == pytest.approx(gradient.result.loss.item(), rel=1e-12)
        assert loss.computed() == (0, 0)


@pytest.mark.filterwarnings("ignore:Dropping runs")
def test_a_loss_meets_the_same_dropout_as_the_gradient() -> None:
    engine = Engine(image_task(2, [12], Dropping), SGD(lr=0.1))
    loss, gradient = (
        submit(1, engine.initial_params, 4) for submit in (engine.submit_loss, engine.submit_gradient)
    )
    engine.flush()
    assert loss.result.item() == gradient.result.loss.item()
