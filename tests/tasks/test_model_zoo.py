"""Logistic regression, ResNet, ViT and GRU: against second implementations and known counts."""

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from simnet.tasks.losses import cross_entropy
from simnet.tasks.models.gru import GRU, GRUOptions, Recurrent, build_gru
from simnet.tasks.models.logistic import Logistic
from simnet.tasks.models.resnet import ResNet, ResNetOptions
from simnet.tasks.models.vit import Patches, ViT, ViTOptions


def parameters(model: nn.Module) -> int:
    return sum(value.numel() for value in model.parameters())


def flops(model: nn.Module, inputs: Tensor) -> int:
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(inputs)
    return counter.get_total_flops()


def test_the_recurrent_layer_is_torchs_gru() -> None:
    torch.manual_seed(0)
    ours, theirs = Recurrent(5, 7).double(), nn.GRU(5, 7, batch_first=True).double()
    with torch.no_grad():
        ours.input.weight.copy_(theirs.weight_ih_l0)
        ours.input.bias.copy_(theirs.bias_ih_l0)
        ours.state.weight.copy_(theirs.weight_hh_l0)
        ours.state.bias.copy_(theirs.bias_hh_l0)
    inputs = torch.randn(3, 11, 5, dtype=torch.float64)
    torch.testing.assert_close(ours(inputs), theirs(inputs)[0], rtol=1e-12, atol=1e-12)


def test_the_recurrent_layers_own_backward_is_right() -> None:
    torch.manual_seed(0)
    layer = Recurrent(3, 4).double()
    named = {key: torch.randn(2, *value.shape).double() for key, value in layer.named_parameters()}
    leaves = [value.requires_grad_() for value in named.values()]
    inputs = torch.randn(2, 3, 5, 3, dtype=torch.float64, requires_grad=True)

    def stacked(inputs: Tensor, *values: Tensor) -> Tensor:
        return layer.stacked_forward(dict(zip(named, values, strict=True)), inputs)

    assert torch.autograd.gradcheck(stacked, (inputs, *leaves))


def test_a_gru_can_be_followed_by_vmap() -> None:
    torch.manual_seed(0)
    model = GRU(20, width=6, layers=2).double()
    params = {key: torch.randn(3, *value.shape).double() for key, value in model.named_parameters()}
    inputs = torch.randint(20, (3, 2, 5))
    outputs = vmap(lambda own, batch: functional_call(model, own, (batch,)))(params, inputs)
    torch.testing.assert_close(model.stacked_forward(params, inputs), outputs, rtol=1e-10, atol=1e-10)


def test_a_gru_does_not_see_the_future() -> None:
    model = GRU(20, width=8, layers=2)
    inputs = torch.randint(20, (2, 9))
    changed = inputs.clone()
    changed[:, 6] = (changed[:, 6] + 1) % 20
    before, after = model(inputs), model(changed)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.allclose(before[:, 6:], after[:, 6:])


def test_a_gru_needs_sequences() -> None:
    with pytest.raises(ValueError, match="steps, features"):
        build_gru(GRUOptions(), (64,), 10)
    assert build_gru(GRUOptions(width=8), (1, 6, 5), 10)(torch.rand(2, 1, 6, 5)).shape == (2, 10)


def test_flops_are_counted() -> None:
    batch, t, width = 3, 9, 8
    products = 2 * batch * t * 3 * width
    gru = GRU(20, width=width, layers=2)
    expected = 2 * 2 * products * width + 2 * batch * t * width * 20
    assert flops(gru, torch.randint(20, (batch, t))) == expected
    assert flops(Logistic(12, 5), torch.rand(4, 12)) == 2 * 4 * 12 * 5
    # Per token: 12 width^2 weights, and two products of attention, all times two.
    vit = ViT((1, 8, 8), 10, patch=2, layers=3, width=16, heads=2)
    attention = 2 * 2 * 16 * 16 * 16
    assert flops(vit, torch.rand(1, 1, 8, 8)) == (
        2 * 16 * 4 * 16 + 3 * (2 * 16 * 12 * 16**2 + attention) + 2 * 16 * 10
    )
    resnet = ResNet((1, 8, 8), 10, width=8)
    stages = [(8, 8, 64, False), (8, 16, 16, True), (16, 32, 4, True)]
    convolutions = 64 * 9 * 8 + sum(
        pixels * (9 * a * b + 9 * b * b + a * b * short) for a, b, pixels, short in stages
    )
    assert flops(resnet, torch.rand(2, 1, 8, 8)) == 2 * 2 * (convolutions + 32 * 10)


def test_a_resnet_18_has_the_usual_parameters() -> None:
    # As published for 32 x 32 colour images and ten classes; group norm has as many as batch norm.
    assert parameters(ResNet((3, 32, 32), 10, depth=18, width=64)) == 11_173_962


def test_depth_counts_layers() -> None:
    for depth in (8, 18):
        model = ResNet((1, 8, 8), 10, depth=depth, width=8)
        weights = [value for name, value in model.named_parameters() if "shortcut" not in name]
        assert sum(value.dim() > 1 for value in weights) == depth


def test_patches_are_cut_row_by_row() -> None:
    embedding = Patches(2, 2, 6, 8)
    with torch.no_grad():
        embedding.pixels.weight.copy_(torch.eye(8))
        embedding.pixels.bias.zero_()
        embedding.positions.weight.zero_()
    images = torch.arange(48.0).view(1, 2, 4, 6)
    patches = embedding(images)
    assert patches.shape == (1, 6, 8)
    assert torch.equal(patches[0, 4].view(2, 2, 2), images[0, :, 2:, 2:4])


def test_a_vit_without_positions_does_not_know_the_order_of_its_patches() -> None:
    torch.manual_seed(0)
    model = ViT((1, 4, 8), 3, patch=4, width=8, heads=2).double()
    images = torch.rand(5, 1, 4, 8, dtype=torch.float64)
    swapped = torch.cat([images[..., 4:], images[..., :4]], -1)
    assert not torch.allclose(model(images), model(swapped), rtol=0, atol=1e-9)
    nn.init.zeros_(model.embedding.positions.weight)
    torch.testing.assert_close(model(images), model(swapped), rtol=1e-10, atol=1e-12)


def test_logistic_regression_starts_at_chance_and_is_convex() -> None:
    torch.manual_seed(0)
    model = Logistic(6, 4).double()
    inputs, targets = torch.randn(20, 6, dtype=torch.float64), torch.randint(4, (20,))
    assert cross_entropy(model(inputs), targets).mean().item() == pytest.approx(
        torch.tensor(4.0).log().item()
    )

    def loss(weight: Tensor) -> Tensor:
        return cross_entropy(inputs @ weight.view(4, 6).T, targets).mean()

    point = torch.randn(24, dtype=torch.float64)
    assert torch.linalg.eigvalsh(torch.func.hessian(loss)(point)).min() > -1e-12


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (ViTOptions, {"width": 10, "heads": 3}),
        (ViTOptions, {"patch": 0}),
        (ResNetOptions, {"depth": 20}),
        (ResNetOptions, {"width": 12}),
        (GRUOptions, {"layers": 0}),
        (GRUOptions, {"heads": 2}),
    ],
)
def test_impossible_options_of_models_are_errors(
    kind: type[ViTOptions] | type[ResNetOptions] | type[GRUOptions], options: dict[str, object]
) -> None:
    with pytest.raises(ValidationError):
        kind.model_validate(options)


@pytest.mark.parametrize("shape", [(64,), (1, 9, 8)])
def test_samples_that_do_not_suit_are_errors(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"vit needs samples|do not tile"):
        ViT(shape, 10)
    if len(shape) == 1:
        with pytest.raises(ValueError, match="resnet needs samples"):
            ResNet(shape, 10)


@pytest.mark.parametrize(
    "model",
    [
        lambda: ResNet((1, 8, 8), 2, width=8),
        lambda: ViT((1, 8, 8), 2, width=16, layers=1),
        lambda: GRU(2, features=8, width=16),
    ],
    ids=["resnet", "vit", "gru"],
)
def test_it_learns_where_a_bar_stands(model: object) -> None:
    torch.manual_seed(0)
    made = model()  # type: ignore[operator]
    images = 0.3 * torch.rand(64, 1, 8, 8)
    targets = torch.arange(64) % 2
    for row, (image, target) in enumerate(zip(images, targets, strict=True)):
        place = row % 8
        (image[0, place] if target else image[0, :, place]).fill_(1.0)
    optimizer = torch.optim.Adam(made.parameters(), lr=0.01)
    for _ in range(80):
        optimizer.zero_grad()
        loss = cross_entropy(made(images), targets).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
