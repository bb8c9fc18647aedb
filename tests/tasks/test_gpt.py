"""What makes the GPT a GPT: causality, positions, initial weights."""

import math

import pytest
import torch
from pydantic import ValidationError

from simnet.tasks.losses import cross_entropy
from simnet.tasks.models.gpt import GPT, GPTOptions, Positions
from simnet.tasks.models.transformer import rotary_angles, rotate


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_future_bytes_do_not_change_past_outputs(positions: Positions) -> None:
    torch.manual_seed(0)
    model = GPT(width=16, context=20, positions=positions).double()
    inputs = torch.randint(256, (2, 20))
    before = model(inputs)
    for place in (5, 13, 19):
        changed = inputs.clone()
        changed[:, place] = (changed[:, place] + 1) % 256
        after = model(changed)
        assert torch.equal(before[:, :place], after[:, :place])
        assert (before[:, place:] - after[:, place:]).abs().amax((0, 2)).min() > 1e-9  # and all later ones do


@pytest.mark.parametrize("positions", ["learned", "rotary"])
def test_order_matters(positions: Positions) -> None:
    torch.manual_seed(0)
    model = GPT(width=16, context=8, positions=positions, layers=1).double()
    inputs = torch.tensor([[1, 2, 3, 4], [2, 1, 3, 4]])
    first, second = model(inputs)
    assert (first[-1] - second[-1]).abs().max() > 1e-9


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    torch.manual_seed(0)
    cosines, sines = rotary_angles(64, 16)
    query, key = torch.rand(2, 16, dtype=torch.float64)
    queries = rotate(query.expand(64, 16), cosines, sines)
    keys = rotate(key.expand(64, 16), cosines, sines)
    scores = queries @ keys.T
    for shift in (0, 1, 7, 30):
        diagonal = scores.diagonal(-shift)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal), rtol=1e-12, atol=1e-12)
    assert (scores[30, 30] - scores[30, 23]).abs() > 1e-3
    torch.testing.assert_close(queries.norm(dim=1), query.norm().expand(64))  # a rotation


def test_initial_weights_are_gpt2s() -> None:
    torch.manual_seed(0)
    model = GPT(layers=8, width=128, heads=4)
    deviations = {name: value.std().item() for name, value in model.named_parameters()}
    residual = 0.02 / math.sqrt(16)
    assert deviations["embedding.tokens.weight"] == pytest.approx(0.02, rel=0.05)
    assert deviations["layers.3.qkv.weight"] == pytest.approx(0.02, rel=0.05)
    assert deviations["layers.3.attended.weight"] == pytest.approx(residual, rel=0.05)
    assert deviations["layers.3.contract.weight"] == pytest.approx(residual, rel=0.05)
    assert all(not value.any() for name, value in model.named_parameters() if name.endswith("bias"))
    targets = torch.randint(256, (4, 64))
    loss = cross_entropy(model(targets), targets.roll(1)).mean().item()
    assert loss == pytest.approx(math.log(256), rel=0.02)  # begins knowing nothing


def test_tying_saves_the_output_layer() -> None:
    def size(tied: bool) -> int:
        return sum(value.numel() for value in GPT(width=32, tied=tied).parameters())

    assert size(False) - size(True) == 256 * 32


@pytest.mark.parametrize(
    "options",
    [
        {"width": 10, "heads": 3},
        {"width": 6, "heads": 2, "positions": "rotary"},
        {"layers": 0},
        {"positions": "absolute"},
        {"depth": 2},
    ],
)
def test_impossible_options_are_errors(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        GPTOptions.model_validate(options)


def test_it_learns_a_cycle() -> None:
    torch.manual_seed(0)
    model = GPT(8, layers=1, width=16, heads=2, context=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    text = torch.arange(64) % 8
    inputs, targets = text[:-1].unfold(0, 8, 5), text[1:].unfold(0, 8, 5)
    for _ in range(60):
        optimizer.zero_grad()
        loss = cross_entropy(model(inputs), targets).mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
