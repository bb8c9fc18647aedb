"""States are read, averaged and sent: vectors of them, means of them, their bytes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_optimizers import MIXED
from torch import Tensor

from simnet.optim import (
    SGD,
    Adafactor,
    AdamW,
    Lion,
    Muon,
    NAdam,
    Nesterov,
    Optimizer,
    State,
    average_states,
    copy_with_vector,
    state_bytes,
    state_to_vector,
)

OPTIMIZERS: list[Optimizer] = [
    SGD(lr=0.1),
    Nesterov(lr=0.1),
    AdamW(),
    NAdam(),
    Lion(),
    Muon().with_layout(MIXED),
    Adafactor().with_layout(MIXED),
]


def used(optimizer: Optimizer, rows: tuple[int, ...], seed: int, steps: int = 3) -> tuple[Tensor, State]:
    draws = torch.Generator().manual_seed(seed)
    params = torch.randn(*rows, MIXED.parameters, generator=draws)
    state = optimizer.init(params)
    for _ in range(steps):
        optimizer.update_(params, torch.randn(params.shape, generator=draws), state)
    return params, state


@settings(deadline=None, max_examples=40)
@given(
    optimizer=st.sampled_from(OPTIMIZERS),
    rows=st.sampled_from([(), (3,), (2, 2)]),
    seed=st.integers(0, 2**20),
)
def test_there_and_back(optimizer: Optimizer, rows: tuple[int, ...], seed: int) -> None:
    """A state that was sent as a vector steps on as the one that stayed."""
    params, state = used(optimizer, rows, seed)
    vector = state_to_vector(state)
    assert vector.shape[:-1] == rows
    floats = sum(value.nbytes for value in state.values() if value.is_floating_point())
    assert vector.nbytes == floats == state_bytes(state) - state["step"].nbytes
    back = copy_with_vector(state, vector)
    assert list(back) == list(state)
    for name, value in state.items():
        assert torch.equal(back[name], value)
        assert back[name].dtype == value.dtype
        assert value.numel() == 0 or back[name].data_ptr() != value.data_ptr()
    gradient = torch.randn_like(params)
    stayed, _ = optimizer.step(params, gradient, state)
    came, _ = optimizer.step(params, gradient, back)
    assert torch.equal(stayed, came)


def test_vector_is_in_alphabetical_order() -> None:
    state = {"b": torch.tensor([1.0, 2.0]), "step": torch.tensor(3), "a": torch.tensor(5.0)}
    assert state_to_vector(state).tolist() == [5.0, 1.0, 2.0]
    back = copy_with_vector(state, torch.tensor([7.0, 8.0, 9.0]))
    assert {name: value.tolist() for name, value in back.items()} == {"b": [8.0, 9.0], "step": 3, "a": 7.0}
    assert state["a"].item() == 5.0


def test_types_survive() -> None:
    state = {
        "m": torch.ones(2, 3, dtype=torch.bfloat16),
        "p": torch.ones(2, dtype=torch.float32),
        "step": torch.zeros(2, dtype=torch.int64),
    }
    assert state_to_vector(state).dtype == torch.float32
    back = copy_with_vector(state, state_to_vector(state) * 2)
    assert {name: value.dtype for name, value in back.items()} == {
        "m": torch.bfloat16,
        "p": torch.float32,
        "step": torch.int64,
    }
    assert state_bytes(state) == 2 * 3 * 2 + 2 * 4 + 2 * 8


@pytest.mark.parametrize("shape", [(3,), (2, 5), ()])
def test_a_vector_that_does_not_fit(shape: tuple[int, ...]) -> None:
    state = AdamW().init(torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"shape \(2, 4\), not"):
        copy_with_vector(state, torch.zeros(shape))


def test_a_state_without_steps_is_none() -> None:
    with pytest.raises(ValueError, match="step count"):
        state_to_vector({"momentum": torch.zeros(3)})


@settings(deadline=None, max_examples=30)
@given(optimizer=st.sampled_from(OPTIMIZERS), copies=st.integers(1, 5), seed=st.integers(0, 2**20))
def test_the_mean_of_equals_is_itself(optimizer: Optimizer, copies: int, seed: int) -> None:
    _, state = used(optimizer, (2,), seed)
    mean = average_states([{name: value.clone() for name, value in state.items()} for _ in range(copies)])
    assert all(torch.equal(mean[name], value) for name, value in state.items())
    assert {name: value.dtype for name, value in mean.items()} == {n: v.dtype for n, v in state.items()}


def test_means_by_hand() -> None:
    states = [
        {"m": torch.tensor([1.0, 4.0]), "step": torch.tensor(10)},
        {"m": torch.tensor([3.0, 0.0]), "step": torch.tensor(13)},
        {"m": torch.tensor([5.0, 2.0]), "step": torch.tensor(12)},
    ]
    mean = average_states(states)
    torch.testing.assert_close(mean["m"], torch.tensor([3.0, 2.0]))
    assert mean["step"].item() == 12  # 35 / 3 = 11.67
    assert mean["step"].dtype == torch.int64
    weighted = average_states(states, [2, 0, 6])
    torch.testing.assert_close(weighted["m"], torch.tensor([4.0, 2.5]))
    assert weighted["step"].item() == 12  # 11.5, to the even one
    assert states[0]["m"].tolist() == [1.0, 4.0]


@settings(deadline=None, max_examples=30)
@given(data=st.data(), states=st.integers(1, 5), seed=st.integers(0, 2**20))
def test_mean_equals_mean_of_vectors(data: st.DataObject, states: int, seed: int) -> None:
    weights = data.draw(
        st.lists(st.floats(0, 10), min_size=states, max_size=states).filter(lambda w: sum(w) > 0.1)
    )
    many = [used(AdamW(), (2,), seed + index, steps=index)[1] for index in range(states)]
    mean = state_to_vector(average_states(many, weights))
    shares = torch.tensor(weights, dtype=torch.float64) / sum(weights)
    expected = (torch.stack([state_to_vector(own) for own in many]).double() * shares.view(-1, 1, 1)).sum(0)
    torch.testing.assert_close(mean.double(), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "says"),
    [([1.0], "as many"), ([1.0, -1.0], "negative"), ([0.0, 0.0], "all 0"), ([1.0, float("nan")], "weights")],
)
def test_weights_that_are_none(weights: list[float], says: str) -> None:
    state = AdamW().init(torch.zeros(3))
    with pytest.raises(ValueError, match=says):
        average_states([state, state], weights)


def test_states_that_cannot_be_averaged() -> None:
    with pytest.raises(ValueError, match="no state"):
        average_states([])
    with pytest.raises(ValueError, match="different names"):
        average_states([AdamW().init(torch.zeros(3)), Lion().init(torch.zeros(3))])
    with pytest.raises(ValueError, match="differ in first_moment"):
        average_states([AdamW().init(torch.zeros(3)), AdamW().init(torch.zeros(4))])
