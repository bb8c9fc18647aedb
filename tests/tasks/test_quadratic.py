"""The quadratic against its formulas."""

from typing import Any

import pytest
import torch
from task_scenarios import task
from torch import Tensor

from simnet.scenario import ScenarioError
from simnet.tasks import Task

N, D = 5, 12


def quadratic(**options: Any) -> Task:
    return task({"name": "quadratic", "dimensions": D, "batch_size": "full", **options}, workers=N)


def curvature(made: Task) -> Tensor:
    factor = made.make_model().factor
    assert isinstance(factor, Tensor)
    return (factor @ factor.T).double()


def gradient(made: Task, x: Tensor, worker: int, batch: int = 0) -> Tensor:
    model = made.make_model()
    (parameter,) = model.parameters()
    parameter.data.copy_(x)
    inputs, targets = made.batches(worker, batch, 1)
    made.loss(model(inputs[0]), targets[0]).mean().backward()
    assert parameter.grad is not None
    return parameter.grad.double()


def optimum(made: Task) -> Tensor:
    assert made.optimum is not None
    return made.optimum


def test_curvature_is_dense_symmetric_and_as_conditioned() -> None:
    matrix = curvature(quadratic(condition=50))
    torch.testing.assert_close(matrix, matrix.T)
    eigenvalues = torch.linalg.eigvalsh(matrix)
    assert eigenvalues.min().item() == pytest.approx(1 / 50, rel=1e-3)
    assert eigenvalues.max().item() == pytest.approx(1, rel=1e-5)
    assert matrix.abs().min() > 0


def test_gradients_at_the_optimum_average_to_zero_but_are_not_zero() -> None:
    made = quadratic(heterogeneity=3)
    gradients = torch.stack([gradient(made, optimum(made), worker) for worker in range(N)])
    assert gradients.mean(0).norm() < 1e-5
    assert gradients.norm(dim=1).min() > 0.1


def test_gradient_is_the_curvature_times_the_distance_from_the_workers_optimum() -> None:
    made = quadratic()
    x = torch.randn(D)
    for worker in range(N):
        own = made.batches(worker, 0, 1)[0][0, 0]
        expected = curvature(made) @ (x - own).double()
        torch.testing.assert_close(gradient(made, x, worker), expected, rtol=1e-4, atol=1e-5)


def test_heterogeneity_is_the_distance_of_the_optima_and_zero_makes_all_equal() -> None:
    made = quadratic(heterogeneity=2.5)
    optima = torch.stack([made.batches(worker, 0, 1)[0][0, 0] for worker in range(N)])
    torch.testing.assert_close(optima.mean(0), optimum(made), rtol=1e-5, atol=1e-5)
    rms = (optima - optimum(made)).square().sum(1).mean().sqrt().item()
    assert rms == pytest.approx(2.5, rel=1e-5)
    same = quadratic(heterogeneity=0)
    for worker in range(N):
        torch.testing.assert_close(same.batches(worker, 0, 1)[0][0, 0], optimum(same))


def test_loss_is_the_suboptimality_and_distance_the_squared_distance() -> None:
    made = quadratic(condition=20)
    x = torch.randn(D)
    model = made.make_model()
    (parameter,) = model.parameters()
    parameter.data.copy_(x)
    inputs, targets = made.evaluation()
    outputs = model(inputs)
    away = (x - optimum(made)).double()
    loss = made.loss(outputs, targets).mean().item()
    assert loss == pytest.approx((away @ curvature(made) @ away / 2).item(), rel=1e-4)
    distance = made.metrics["distance"](outputs, targets).mean().item()
    assert distance == pytest.approx(away.square().sum().item(), rel=1e-4)
    workers = []
    for worker in range(N):  # the workers' own losses average to the same
        own_inputs, own_targets = made.batches(worker, 0, 1)
        workers.append(made.loss(model(own_inputs[0]), own_targets[0]).mean().item())
    assert sum(workers) / N == pytest.approx(loss, rel=1e-4)


def test_starts_at_the_stated_distance() -> None:
    made = quadratic(distance=7)
    model = made.make_model()
    inputs, targets = made.evaluation()
    assert made.metrics["distance"](model(inputs), targets).item() == pytest.approx(49, rel=1e-4)


@pytest.mark.parametrize("batch_size", [1, 16])
def test_noise_has_the_stated_deviation_and_no_bias(batch_size: int) -> None:
    made = quadratic(batch_size=batch_size, noise=0.8, heterogeneity=0, condition=30)
    model = made.make_model()
    x = optimum(made)
    steps = 4000
    inputs, targets = made.batches(2, 0, steps)
    factor = model.factor
    assert isinstance(factor, Tensor)
    gradients = ((x - inputs.double()) @ (factor @ factor.T).double()).mean(1)  # the true one is zero
    variance = gradients.square().sum(1).mean().item()
    assert variance == pytest.approx(0.8**2 / batch_size, rel=0.06)
    assert gradients.mean(0).norm().item() < 4 * 0.8 / (batch_size * steps) ** 0.5
    outputs = (x - inputs) @ factor
    assert made.loss(outputs, targets).mean().item() == pytest.approx(0, abs=1e-4)  # unbiased, too


def test_one_worker_owns_the_optimum() -> None:
    made = task({"name": "quadratic", "dimensions": 1, "batch_size": "full"}, workers=1)
    assert gradient(made, optimum(made), 0).abs() < 1e-6


def test_gradient_descent_finds_it() -> None:
    made = quadratic(condition=5)
    x = torch.zeros(D)
    for _ in range(120):
        x -= torch.stack([gradient(made, x, worker) for worker in range(N)]).mean(0).float()
    assert (x - optimum(made)).norm() < 1e-4


@pytest.mark.parametrize(
    ("key", "value"),
    [("dataset", "digits"), ("model", "mlp"), ("partition", {"name": "dirichlet", "alpha": 1})],
)
def test_what_it_cannot_use_is_an_error(key: str, value: object) -> None:
    with pytest.raises(ScenarioError) as caught:
        quadratic(**{key: value})
    assert caught.value.problems[0].path == ("task", key)
