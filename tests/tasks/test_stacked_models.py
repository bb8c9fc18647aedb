"""A stacked forward does the same as n separate modules, in outputs and in gradients."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from simnet.compute.layout import Layout
from simnet.tasks.losses import cross_entropy
from simnet.tasks.models import stacked
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


def compare(
    make: Callable[[], nn.Module],
    draw: Callable[[int, int], Tensor],
    classes: int,
    n: int,
    batch: int,
    dtype: torch.dtype,
    slots: bool = False,
) -> None:
    """The stacked form against n modules: outputs, gradients, and those of floating inputs.

    With `slots`, each parameter carries a place for its gradient, as in the engine.
    """
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

    layout = Layout.of(models[0])
    flat = torch.stack([layout.flatten(dict(model.named_parameters())) for model in models])
    leaves = [view.detach().requires_grad_() for view in layout.views(flat)]
    places = layout.views(torch.full_like(flat, torch.nan))
    if slots:
        for leaf, place in zip(leaves, places, strict=True):
            leaf.gradient_slot = place  # type: ignore[attr-defined]
    params = layout.named(leaves)
    together = models[0].stacked_forward(params, inputs)  # type: ignore[operator]
    losses = cross_entropy(together, targets).flatten(1).mean(1)
    gradients = torch.autograd.grad(losses.sum(), leaves)

    tolerance = TOLERANCE[dtype]
    torch.testing.assert_close(together, outputs, rtol=tolerance, atol=tolerance)
    for key, gradient in zip(params, gradients, strict=True):
        separate = torch.stack([dict(one.named_parameters())[key].grad for one in models])  # type: ignore[misc]
        torch.testing.assert_close(gradient, separate, rtol=tolerance, atol=tolerance, msg=key)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("n", "batch"), [(1, 4), (3, 1), (5, 6)])
@pytest.mark.parametrize("name", MODELS)
def test_stacked_equals_separate(name: str, n: int, batch: int, dtype: torch.dtype) -> None:
    compare(*MODELS[name], n, batch, dtype)


@pytest.mark.parametrize("name", MODELS)
def test_gradients_may_be_written_to_slots(name: str) -> None:
    compare(*MODELS[name], 3, 4, torch.float64, slots=True)


@pytest.mark.parametrize("slots", [False, True])
@pytest.mark.parametrize(("stride", "side", "biased"), [(1, 3, True), (2, 3, False), (2, 1, False)])
def test_wide_convolutions_of_few_pixels_are_convolutions(
    stride: int, side: int, biased: bool, slots: bool
) -> None:
    torch.manual_seed(0)
    n, batch, inputs, outputs = 2, 3, 128, stacked.MANY_PAIRS // 128
    images = torch.randn(n, batch, inputs, 4, 3, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(n, outputs, inputs, side, side, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(n, outputs, dtype=torch.float64, requires_grad=True) if biased else None
    leaves = [images, weight, *([] if bias is None else [bias])]
    expected = torch.stack(
        [
            F.conv2d(images[k], weight[k], None if bias is None else bias[k], stride, side // 2)
            for k in range(n)
        ]
    )
    wanted = torch.autograd.grad(expected.square().sum(), leaves)
    if slots:
        weight.gradient_slot = torch.empty(n, weight[0].numel() + 5, dtype=torch.float64)[:, 5:].view(
            weight.shape
        )  # type: ignore[attr-defined]
    together = stacked.conv2d(stacked.side_by_side(images), weight, bias, stride, side // 2)
    found = stacked.one_by_one(together, n)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)
    for ours, theirs in zip(torch.autograd.grad(found.square().sum(), leaves), wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-8)


@st.composite
def models_of_any_size(draw: st.DrawFn) -> tuple[Callable[[], nn.Module], Callable[[int, int], Tensor], int]:
    """A small model of any kind and shape, inputs for it, and how many classes it tells apart."""

    def whole(low: int, high: int) -> int:
        return draw(st.integers(low, high))

    classes, channels = whole(2, 6), whole(1, 3)
    layers, heads = whole(1, 2), whole(1, 3)
    width, context = 2 * heads * whole(1, 3), whole(1, 9)
    activation = draw(st.sampled_from(["relu", "tanh", "gelu"]))
    kind = draw(st.sampled_from(["logistic", "mlp", "cnn", "resnet", "vit", "gpt", "gru", "sequences"]))
    if kind in ("logistic", "mlp"):
        features = whole(1, 9)
        hidden = [] if kind == "logistic" else draw(st.lists(st.integers(1, 7), max_size=2))
        return lambda: MLP(features, classes, hidden, activation), images(features), classes
    if kind == "cnn":
        sides, sizes = (whole(4, 9), whole(4, 9)), draw(st.lists(st.integers(1, 5), min_size=1, max_size=2))
        return lambda: CNN((channels, *sides), classes, sizes, activation), images(channels, *sides), classes
    if kind == "resnet":
        sides, groups = (whole(1, 9), whole(1, 9)), whole(1, 2)
        wide, depth = groups * whole(2, 3), draw(st.sampled_from([8, 18]))
        shape = (channels, *sides)
        return (
            lambda: ResNet(shape, classes, depth=depth, width=wide, groups=groups),
            images(*shape),
            classes,
        )
    if kind == "vit":
        patch = whole(1, 3)
        shape = (channels, patch * whole(1, 3), patch * whole(1, 3))
        return (
            lambda: ViT(shape, classes, patch=patch, layers=layers, width=width, heads=heads),
            images(*shape),
            classes,
        )
    if kind == "sequences":
        steps, features = whole(1, 5), whole(1, 4)
        return (
            lambda: GRU(classes, features=features, layers=layers, width=width),
            images(steps, features),
            classes,
        )
    if kind == "gru":
        return lambda: GRU(classes, layers=layers, width=width), ids(context, classes), classes
    positions, tied = draw(st.sampled_from(["learned", "rotary"])), draw(st.booleans())
    length = whole(1, context)
    return (
        lambda: GPT(
            classes, layers=layers, width=width, heads=heads, context=context, positions=positions, tied=tied
        ),
        ids(length, classes),
        classes,
    )


@settings(max_examples=60, deadline=None)
@given(model=models_of_any_size(), n=st.integers(1, 4), batch=st.integers(1, 4), slots=st.booleans())
def test_stacked_equals_separate_for_any_shape(
    model: tuple[Callable[[], nn.Module], Callable[[int, int], Tensor], int], n: int, batch: int, slots: bool
) -> None:
    compare(*model, n, batch, torch.float64, slots)


def test_quadratic_stacked_equals_separate() -> None:
    torch.manual_seed(0)
    factor = torch.rand(6, 6, dtype=torch.float64)
    models = [Quadratic(factor) for _ in range(4)]
    points = torch.rand(4, 6, dtype=torch.float64)
    inputs = torch.rand(4, 3, 6, dtype=torch.float64)
    for model, point in zip(models, points, strict=True):
        model.x.data.copy_(point)
    separate = torch.stack([model(one) for model, one in zip(models, inputs, strict=True)])
    together = models[0].stacked_forward({"x": points}, inputs)
    torch.testing.assert_close(together, separate, rtol=1e-12, atol=1e-12)


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
