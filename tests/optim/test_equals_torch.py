"""Every optimizer takes the steps of its counterpart in `torch.optim`."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simnet.optim import SGD, Adam, AdamW, Constant, Cosine, Linear, Nesterov, Optimizer
from simnet.optim.schedule import Schedule

ROWS, SIZE, STEPS = 3, 11, 25


@dataclass(frozen=True)
class Pair:
    ours: Callable[..., Optimizer]
    theirs: Callable[[list[Tensor]], torch.optim.Optimizer]


PAIRS = {
    "sgd": Pair(lambda **o: SGD(lr=0.1, **o), lambda p: torch.optim.SGD(p, lr=0.1)),
    "sgd-decay": Pair(
        lambda **o: SGD(lr=0.1, weight_decay=0.2, **o),
        lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.2),
    ),
    "momentum": Pair(
        lambda **o: SGD(lr=0.1, momentum=0.9, **o), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)
    ),
    "dampening": Pair(
        lambda **o: SGD(lr=0.1, momentum=0.9, dampening=0.4, weight_decay=0.1, **o),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.4, weight_decay=0.1),
    ),
    "sgd-nesterov": Pair(
        lambda **o: SGD(lr=0.1, momentum=0.7, nesterov=True, **o),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.7, nesterov=True),
    ),
    "nesterov": Pair(
        lambda **o: Nesterov(lr=0.1, momentum=0.7, weight_decay=0.1, **o),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.7, nesterov=True, weight_decay=0.1),
    ),
    "adam": Pair(
        lambda **o: Adam(lr=0.01, betas=(0.8, 0.95), eps=1e-6, **o),
        lambda p: torch.optim.Adam(p, lr=0.01, betas=(0.8, 0.95), eps=1e-6),
    ),
    "adam-decay": Pair(
        lambda **o: Adam(weight_decay=0.3, **o), lambda p: torch.optim.Adam(p, weight_decay=0.3)
    ),
    "adamw": Pair(lambda **o: AdamW(lr=3e-3, **o), lambda p: torch.optim.AdamW(p, lr=3e-3)),
    "adamw-decay": Pair(
        lambda **o: AdamW(lr=3e-3, weight_decay=0.5, **o),
        lambda p: torch.optim.AdamW(p, lr=3e-3, weight_decay=0.5),
    ),
}
SCHEDULES: dict[str, Schedule] = {
    "constant": Constant(),
    "warm-up": Constant(warmup_steps=7),
    "linear": Linear(steps=18, warmup_steps=4, final=0.2),
    "cosine": Cosine(steps=20, final=0.1),
}
TOLERANCE = {torch.float64: {"rtol": 1e-12, "atol": 1e-13}, torch.float32: {"rtol": 2e-5, "atol": 2e-6}}


def torch_trajectory(
    pair: Pair, start: Tensor, gradients: Tensor, schedule: Schedule, clip_norm: float | None
) -> list[Tensor]:
    """Parameters after each step of one row, by `torch.optim` alone."""
    params = start.clone().requires_grad_()
    optimizer = pair.theirs([params])
    rates = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: schedule.factor(torch.tensor(step)).item()
    )
    after = []
    for gradient in gradients:
        params.grad = gradient.clone()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([params], clip_norm)
        optimizer.step()
        rates.step()
        after.append(params.detach().clone())
    return after


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("clip_norm", [None, 2.0])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", PAIRS)
def test_rows_equal_torch(name: str, schedule: str, clip_norm: float | None, dtype: torch.dtype) -> None:
    draws = torch.Generator().manual_seed(3)
    params = torch.randn(ROWS, SIZE, generator=draws, dtype=dtype)
    gradients = torch.randn(STEPS, ROWS, SIZE, generator=draws, dtype=dtype)
    pair = PAIRS[name]
    ours = pair.ours(schedule=SCHEDULES[schedule], clip_norm=clip_norm)
    expected = [
        torch_trajectory(pair, params[row], gradients[:, row], SCHEDULES[schedule], clip_norm)
        for row in range(ROWS)
    ]
    state = ours.init(params)
    for step in range(STEPS):
        params, state = ours.step(params, gradients[step], state)
        torch.testing.assert_close(params, torch.stack([row[step] for row in expected]), **TOLERANCE[dtype])


@settings(deadline=None, max_examples=30)
@given(
    name=st.sampled_from(sorted(PAIRS)),
    schedule=st.sampled_from(sorted(SCHEDULES)),
    ahead=st.lists(st.integers(0, 6), min_size=1, max_size=4),
)
def test_rows_at_different_steps(name: str, schedule: str, ahead: list[int]) -> None:
    """Rows that have taken different numbers of steps go on together as each would alone."""
    draws = torch.Generator().manual_seed(4)
    ours = PAIRS[name].ours(schedule=SCHEDULES[schedule], clip_norm=1.0)
    alone = []
    for steps in ahead:
        params = torch.randn(SIZE, generator=draws, dtype=torch.float64)
        state = ours.init(params)
        for _ in range(steps):
            params, state = ours.step(params, torch.randn(SIZE, generator=draws, dtype=torch.float64), state)
        alone.append((params, state))
    gradient = torch.randn(len(ahead), SIZE, generator=draws, dtype=torch.float64)
    stacked = {name: torch.stack([state[name] for _, state in alone]) for name in alone[0][1]}
    together, state = ours.step(torch.stack([params for params, _ in alone]), gradient, stacked)
    assert state["step"].tolist() == [steps + 1 for steps in ahead]
    for row, (params, own) in enumerate(alone):
        expected, after = ours.step(params, gradient[row], own)
        torch.testing.assert_close(together[row], expected, rtol=1e-12, atol=1e-14)
        for moment, value in after.items():
            torch.testing.assert_close(state[moment][row], value, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("shape", [(SIZE,), (2, SIZE), (2, 3, SIZE)])
def test_step_is_pure(name: str, shape: tuple[int, ...]) -> None:
    ours = PAIRS[name].ours(schedule=Constant(warmup_steps=3), clip_norm=0.5)
    params, gradient = torch.randn(shape), torch.randn(shape)
    state = ours.init(params)
    assert state["step"].shape == shape[:-1]
    assert state["step"].dtype == torch.int64
    before = [value.clone() for value in (params, gradient, *state.values())]
    new_params, new_state = ours.step(params, gradient, state)
    for value, copy in zip((params, gradient, *state.values()), before, strict=True):
        assert torch.equal(value, copy)
    assert not torch.equal(new_params, params)
    assert set(new_state) == set(state)
    again, _ = ours.step(params, gradient, state)
    assert torch.equal(again, new_params)


@pytest.mark.parametrize("name", PAIRS)
def test_update_equals_step(name: str) -> None:
    ours = PAIRS[name].ours(clip_norm=0.5)
    params, gradient = torch.randn(ROWS, SIZE), torch.randn(ROWS, SIZE)
    state = ours.init(params)
    expected, expected_state = ours.step(params, gradient, state)
    ours.update_(params, gradient, state)
    assert torch.equal(params, expected)
    for moment, value in expected_state.items():
        assert torch.equal(state[moment], value)


def test_outer_nesterov_is_diloco_s() -> None:
    """m = mu m + g; x -= lr (g + mu m), written out."""
    outer = Nesterov(lr=0.7, momentum=0.9)
    x, m = torch.randn(SIZE, dtype=torch.float64), torch.zeros(SIZE, dtype=torch.float64)
    params, state = x, outer.init(x)
    for _ in range(4):
        drift = torch.randn(SIZE, dtype=torch.float64)
        m = 0.9 * m + drift
        x = x - 0.7 * (drift + 0.9 * m)
        params, state = outer.step(params, drift, state)
        torch.testing.assert_close(params, x, rtol=1e-13, atol=1e-14)


def test_sgd_with_unit_rate_subtracts() -> None:
    params, drift = torch.randn(SIZE), torch.randn(SIZE)
    after, _ = SGD(lr=1.0).step(params, drift, SGD(lr=1.0).init(params))
    assert torch.equal(after, params - drift)


def test_clipping_takes_each_row_by_itself() -> None:
    ours = SGD(lr=1.0, clip_norm=1.0)
    gradient = torch.tensor([[3.0, 4.0], [0.3, 0.4]])
    after, _ = ours.step(torch.zeros(2, 2), gradient, ours.init(torch.zeros(2, 2)))
    torch.testing.assert_close(after, torch.tensor([[-0.6, -0.8], [-0.3, -0.4]]), rtol=1e-5, atol=0)
