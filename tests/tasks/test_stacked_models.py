"""A stacked forward does the same as n separate modules, in outputs and in gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from simnet.tasks.losses import cross_entropy
from simnet.tasks.models.cnn import CNN
from simnet.tasks.models.gpt import GPT
from simnet.tasks.models.gru import GRU
from simnet.tasks.models.logistic import Logistic
from simnet.tasks.models.mlp import MLP
from simnet.tasks.models.quadratic import Quadratic
from simnet.tasks.models.resnet import ResNet
from simnet.tasks.models.vit import ViT

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def images(*shape: int) -> Callable[[int, int], Tensor]:
    return lambda n, batch: torch.rand(n, batch, *shape)


def ids(length: int, vocabulary: int = 256) -> Callable[[int, int], Tensor]:
    return lambda n, batch: torch.randint(vocabulary, (n, batch, length))


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[int, int], Tensor], int]] = {
    "mlp": (lambda: MLP(64, 10), images(1, 8, 8), 10),
    "mlp-deep-gelu": (lambda: MLP(12, 3, (7, 5), "gelu"), images(12), 3),
    "mlp-tanh": (lambda: MLP(12, 3, (4,), "tanh"), images(3, 4), 3),
    "mlp-linear": (lambda: MLP(12, 3, ()), images(12), 3),
    "cnn": (lambda: CNN((1, 8, 8), 10), images(1, 8, 8), 10),
    "cnn-colour": (lambda: CNN((3, 9, 6), 4, (5,), "tanh"), images(3, 9, 6), 4),
    "gpt": (lambda: GPT(width=16, context=12), ids(12), 256),
    "gpt-short": (lambda: GPT(width=16, context=12), ids(5), 256),
    "gpt-rotary-untied": (
        lambda: GPT(40, layers=3, width=24, heads=2, context=9, positions="rotary", tied=False),
        ids(9, 40),
        40,
    ),
    "logistic": (lambda: Logistic(12, 3), images(3, 4), 3),
    "resnet-8": (lambda: ResNet((1, 8, 8), 10, width=8, groups=4), images(1, 8, 8), 10),
    "resnet-18": (lambda: ResNet((3, 9, 7), 4, depth=18, width=4, groups=2), images(3, 9, 7), 4),
    "vit": (lambda: ViT((3, 8, 12), 5, patch=4, width=16, heads=4), images(3, 8, 12), 5),
    "gru-text": (lambda: GRU(40, width=10, layers=2), ids(7, 40), 40),
    "gru-sequences": (lambda: GRU(3, features=5, width=6), images(2, 4, 5), 3),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("n", "batch"), [(1, 4), (3, 1), (5, 6)])
@pytest.mark.parametrize("name", MODELS)
def test_stacked_equals_separate(name: str, n: int, batch: int, dtype: torch.dtype) -> None:
    make, draw, classes = MODELS[name]
    torch.manual_seed(1)
    models = [make().to(dtype) for _ in range(n)]
    for model in models:  # biases and norms begin equal; make every parameter differ
        for parameter in model.parameters():
            parameter.data.add_(torch.randn_like(parameter), alpha=0.1)
    inputs = draw(n, batch)
    inputs = inputs.to(dtype) if inputs.is_floating_point() else inputs
    targets = torch.randint(classes, (n, batch) if inputs.is_floating_point() else inputs.shape)

    outputs = torch.stack([model(one) for model, one in zip(models, inputs, strict=True)])
    for row, wanted in zip(outputs, targets, strict=True):
        cross_entropy(row, wanted).mean().backward(retain_graph=True)

    named = [dict(model.named_parameters()) for model in models]
    params = {key: torch.stack([one[key].detach() for one in named]).requires_grad_() for key in named[0]}
    stacked = models[0].stacked_forward(params, inputs)  # type: ignore[operator]
    losses = cross_entropy(stacked, targets).flatten(1).mean(1)
    gradients = torch.autograd.grad(losses.sum(), list(params.values()))

    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(stacked, outputs, rtol=tolerance, atol=tolerance)
    for key, gradient in zip(params, gradients, strict=True):
        separate = torch.stack([one[key].grad for one in named])  # type: ignore[misc]
        torch.testing.assert_close(gradient, separate, rtol=tolerance, atol=tolerance, msg=key)


def test_quadratic_stacked_equals_separate() -> None:
    torch.manual_seed(0)
    factor = torch.rand(6, 6, dtype=torch.float64)
    models = [Quadratic(factor) for _ in range(4)]
    points = torch.rand(4, 6, dtype=torch.float64)
    inputs = torch.rand(4, 3, 6, dtype=torch.float64)
    for model, point in zip(models, points, strict=True):
        model.x.data.copy_(point)
    separate = torch.stack([model(one) for model, one in zip(models, inputs, strict=True)])
    stacked = models[0].stacked_forward({"x": points}, inputs)
    torch.testing.assert_close(stacked, separate, rtol=1e-12, atol=1e-12)


def test_one_workers_parameters_touch_only_its_outputs() -> None:
    for make, draw, _ in MODELS.values():
        model = make()
        params = {key: torch.stack([value.detach()] * 3) for key, value in model.named_parameters()}
        inputs = draw(3, 2)
        before = model.stacked_forward(params, inputs)  # type: ignore[operator]
        for value in params.values():
            value[1] += 0.5
        after = model.stacked_forward(params, inputs)  # type: ignore[operator]
        assert torch.equal(before[0], after[0])
        assert torch.equal(before[2], after[2])
        assert not torch.allclose(before[1], after[1])
