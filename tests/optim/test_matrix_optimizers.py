"""Muon and Adafactor: what they must know, what they keep, what they are charged."""

import math
from itertools import pairwise

import pytest
import torch
from plain_optimizers import MIXED, Shapes
from torch import Tensor

from simnet.optim import Adafactor, AdamW, Muon, Optimizer, state_bytes
from simnet.optim.muon import orthogonalised

MATRICES = Shapes(names=("a", "b", "c"), shapes=((16, 40), (40, 16), (16, 40)))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(7)


@pytest.mark.parametrize("unbound", [Muon(), Adafactor()])
def test_unbound_says_what_is_missing(unbound: Optimizer) -> None:
    assert unbound.needs_layout
    params = torch.zeros(2, 4)
    for attempt in (
        lambda: unbound.init(params),
        lambda: unbound.step(params, params, {"step": torch.zeros(2, dtype=torch.int64)}),
        lambda: unbound.flops_per_parameter,
        lambda: unbound.step_flops(10),
    ):
        with pytest.raises(ValueError, match=r"shapes of the model's parameters.*with_layout"):
            attempt()


@pytest.mark.parametrize("unbound", [Muon(), Adafactor()])
def test_another_model_is_refused(unbound: Optimizer) -> None:
    bound = unbound.with_layout(MIXED)
    with pytest.raises(ValueError, match=f"{MIXED.parameters} parameters, and was given 7"):
        bound.init(torch.zeros(7))
    with pytest.raises(ValueError, match="was given 7"):
        bound.update_(torch.zeros(7), torch.zeros(7), bound.init(torch.zeros(MIXED.parameters)))
    with pytest.raises(ValueError, match="6 entries"):
        unbound.with_layout(_Wrong())


class _Wrong:
    names = ("a",)
    shapes = ((2, 2),)
    sizes = (6,)


def test_binding_gives_a_new_one_that_is_written_alike() -> None:
    muon = Muon(lr=0.1)
    bound = muon.with_layout(MIXED)
    assert bound is not muon
    assert bound.model_dump() == muon.model_dump()
    assert bound.with_layout(MATRICES).init(torch.zeros(1920))["first_moment"].shape == (0,)
    with pytest.raises(ValueError, match=r"finds no matrix.*parameters are x"):
        muon.with_layout(Shapes(("x",), ((5,),)))
    adamw = AdamW()
    assert adamw.with_layout(MIXED) is adamw


def test_who_gets_muon() -> None:
    """Matrices, by the first dimension; not what is named like embeddings and heads, whatever its depth."""
    layout = Shapes(
        names=("0.tokens.weight", "1.proj.weight", "1.proj.bias", "conv.weight", "lm_head.weight"),
        shapes=((8, 2), (3, 2), (3,), (4, 2, 3, 3), (8, 2)),
    )
    sizes = Muon().with_layout(layout).state_sizes(layout.parameters)
    assert sizes == {"momentum": 6 + 72, "first_moment": 35, "second_moment": 35}
    all_of_them = Muon(adamw_for=()).with_layout(layout).state_sizes(layout.parameters)
    assert all_of_them == {"momentum": layout.parameters - 3, "first_moment": 3, "second_moment": 3}
    none = Muon(adamw_for=("*",))
    with pytest.raises(ValueError, match="finds no matrix"):
        none.with_layout(layout)


def singular_values(matrix: Tensor) -> Tensor:
    return torch.linalg.svdvals(matrix)


@pytest.mark.parametrize("shape", [(5, 9), (9, 5), (6, 6), (1, 7)])
@pytest.mark.parametrize("coefficients", [(3.4445, -4.7750, 2.0315), (2.0, -1.5, 0.5)])
def test_newton_schulz_maps_singular_values(
    shape: tuple[int, int], coefficients: tuple[float, float, float]
) -> None:
    """It keeps the singular vectors, and takes each singular value through the polynomial, step by step."""
    a, b, c = coefficients
    matrices = torch.randn(3, *shape, dtype=torch.float64)
    after = orthogonalised(matrices, 4, coefficients)
    for before, got in zip(matrices, after, strict=True):
        left, values, right = torch.linalg.svd(before, full_matrices=False)
        values = values / before.norm()
        for _ in range(4):
            values = a * values + b * values**3 + c * values**5
        torch.testing.assert_close(got, left @ torch.diag(values) @ right, rtol=1e-10, atol=1e-11)


def test_a_zero_matrix_stays_zero() -> None:
    assert torch.equal(orthogonalised(torch.zeros(2, 3, 4)), torch.zeros(2, 3, 4))


@pytest.mark.parametrize("scale", ["original", "match_rms_adamw"])
def test_size_of_an_update(scale: str) -> None:
    """An orthogonal update has a root mean square of 1 / sqrt(longer side); Liu et al. bring it to 0.2."""
    exact = {"ns_steps": 40, "ns_coefficients": (2.0, -1.5, 0.5)}
    muon = Muon(lr=1.0, scale=scale, **exact).with_layout(MATRICES)  # type: ignore[arg-type]
    start = torch.zeros(MATRICES.parameters, dtype=torch.float64)
    after, _ = muon.step(start, torch.randn_like(start), muon.init(start))
    for (rows, columns), update in zip(MATRICES.shapes, MATRICES.tensors(after), strict=True):
        size = math.sqrt(max(1, rows / columns)) if scale == "original" else 0.2 * math.sqrt(40)
        torch.testing.assert_close(
            singular_values(update), torch.full((16,), size, dtype=torch.float64), rtol=1e-9, atol=0
        )
        if scale == "match_rms_adamw":
            # s U V' has 16 singular values s among 16 x 40 entries, so a root mean square of s / sqrt(40).
            assert update.square().mean().sqrt().item() == pytest.approx(0.2, rel=1e-9)


def test_bf16_is_torch_s_own_muon() -> None:
    """Without any patching; bf16 has 8 bits, and the products may be summed in another order."""
    start, gradient = torch.randn(2, 1920), torch.randn(2, 1920)
    muon = Muon(lr=1.0, precision="bf16").with_layout(MATRICES)
    after, _ = muon.step(start, gradient, muon.init(start))
    for row in range(2):
        params = MATRICES.tensors(start[row])
        theirs = torch.optim.Muon(params, lr=1.0, weight_decay=0.0)
        for value, slope in zip(params, MATRICES.tensors(gradient[row]), strict=True):
            value.grad = slope
        theirs.step()
        for expected, before, got in zip(
            params, MATRICES.tensors(start[row]), MATRICES.tensors(after[row]), strict=True
        ):
            assert (got - expected).norm() < 2**-7 * (expected - before).norm()


def test_muon_s_flops_by_hand() -> None:
    layout = Shapes(names=("a", "b", "bias"), shapes=((8, 32), (32, 8), (10,)))
    muon = Muon(ns_steps=5).with_layout(layout)
    per_matrix = 5 * (4 * 8 * 8 * 32 + 2 * 8**3)  # three products per Newton-Schulz step
    added = 5 * (3 * 8 * 8 + 2 * 8 * 32)
    element_wise = 256 * (3 + 3 + 3 + 2)
    total = 2 * (per_matrix + added + element_wise) + 12 * 10
    assert muon.step_flops(522) == pytest.approx(total, rel=1e-15)
    assert muon.flops_per_parameter == pytest.approx(total / 522, rel=1e-15)
    # Without look-ahead, with decay of both kinds, with clipping.
    other = Muon(nesterov=False, weight_decay=0.1, adamw_weight_decay=0.1, clip_norm=1).with_layout(layout)
    expected = 2 * (per_matrix + added) + 512 * (3 + 3 + 2 + 2) + 10 * 14 + 522 * 3
    assert other.step_flops(522) == pytest.approx(expected, rel=1e-15)


def test_muon_s_flops_of_a_larger_model() -> None:
    """Charged for k^2 times the parameters, it costs what the same model k times wider costs."""
    small = Shapes(names=("a", "b", "bias"), shapes=((8, 32), (8, 8), (10,)))
    large = Shapes(names=("a", "b", "bias"), shapes=((24, 96), (24, 24), (90,)))
    charged = Muon().with_layout(small).step_flops(large.parameters)
    real = Muon().with_layout(large).step_flops(large.parameters)
    assert charged == pytest.approx(real, rel=1e-12)


def test_adafactor_keeps_rows_and_columns() -> None:
    adafactor = Adafactor().with_layout(MIXED)
    state = adafactor.init(torch.zeros(3, MIXED.parameters))
    rows = 4 + 3 + 3 + 6 + 2 * 3 + 3 + 2
    columns = 3 + 5 + 5 + 2 + 2 * 2 + 3 + 4
    assert {name: value.shape for name, value in state.items()} == {
        "row_variance": (3, rows),
        "column_variance": (3, columns),
        "variance": (3, 5 + 1),
        "step": (3,),
    }
    assert state_bytes(state) == 3 * (4 * (rows + columns + 6) + 8)


def test_adafactor_s_flops_by_hand() -> None:
    layout = Shapes(names=("a", "bias"), shapes=((3, 4), (8,)))
    assert Adafactor().with_layout(layout).step_flops(20) == pytest.approx(12 * 15 + 8 * 13)
    assert Adafactor(weight_decay=0.1).with_layout(layout).step_flops(20) == pytest.approx(12 * 17 + 8 * 15)


def test_adafactor_on_a_rank_one_square_is_exact() -> None:
    """Where g^2 is an outer product, rows and columns say all of it: the first step goes by signs."""
    layout = Shapes(names=("a",), shapes=((3, 5),))
    signs = torch.randn(3, 5, dtype=torch.float64).sign()
    gradient = torch.rand(3, 1, dtype=torch.float64).add(0.5) * torch.rand(1, 5, dtype=torch.float64) * signs
    adafactor = Adafactor(lr=0.01, eps=1e-12, eps_scale=1e-3).with_layout(layout)
    start = torch.zeros(15, dtype=torch.float64)
    after, _ = adafactor.step(start, gradient.flatten(), adafactor.init(start))
    torch.testing.assert_close(after.view(3, 5), -0.01 * 1e-3 * signs, rtol=1e-9, atol=0)


def test_muon_descends() -> None:
    """On a least-squares problem of one matrix, the loss falls at every tenth step."""
    layout = Shapes(names=("w",), shapes=((6, 10),))
    muon = Muon(lr=0.02, scale="original").with_layout(layout)
    target = torch.randn(4, 60)
    params = torch.zeros(4, 60)
    state = muon.init(params)
    losses = []
    for step in range(60):
        if step % 10 == 0:
            losses.append((params - target).square().sum(-1))
        params, state = muon.step(params, params - target, state)
    assert all(bool((later < earlier).all()) for earlier, later in pairwise(losses))
