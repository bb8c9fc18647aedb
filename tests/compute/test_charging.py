"""What bytes and layers are charged: P b / (d e), and even or named layers."""

import pytest
import torch
from engine_tasks import mlp_task
from hypothesis import given
from hypothesis import strategies as st

from simnet.compute import CostModel, Work
from simnet.compute.charging import byte_ratio, check_layers, even_layers, named_layers
from simnet.optim import SGD
from simnet.scenario import ChargeAs, ScenarioError


@pytest.mark.parametrize(
    ("bytes_each", "expected"),
    [(None, None), (2, 2e9), ("2 B", 2e9), ("13.4 bit", 1.675e9), ("13.4 bits", 1.675e9)],
)
def test_the_whole_vector_costs_what_the_large_model_takes(
    bytes_each: object, expected: float | None
) -> None:
    work = Work.of(mlp_task(), SGD(lr=1), ChargeAs(parameters=1e9, bytes_per_parameter=bytes_each))
    cost = CostModel((), work.parameters, work.charged_parameters, work.byte_ratio)
    element = next(mlp_task().make_model().parameters()).element_size()
    expected = 1e9 * element if expected is None else expected
    assert cost.charged_bytes(float(element * work.parameters)) == pytest.approx(expected, rel=1e-12)


@given(
    st.integers(1, 10**6),
    st.integers(1, 10**12),
    st.floats(0.01, 8),
    st.sampled_from([2, 4, 8]),
    st.floats(0, 1),
)
def test_charged_bytes_are_encoded_bytes_times_the_ratio(
    trained: int, pretended: int, wire: float, element: int, kept: float
) -> None:
    charge = ChargeAs(parameters=pretended, bytes_per_parameter=wire)
    ratio = byte_ratio(mlp_task(), trained, element, charge)
    encoded = kept * trained * element  # what a codec leaves of the vector
    assert encoded * ratio == pytest.approx(kept * pretended * wire, rel=1e-9)


@given(st.integers(1, 5000), st.data())
def test_even_layers_are_those_of_tensor_split(parameters: int, data: st.DataObject) -> None:
    layers = data.draw(st.integers(1, parameters))
    vector = torch.arange(parameters)
    parts = torch.tensor_split(vector, layers)
    assert all(
        torch.equal(vector[at], part) for at, part in zip(even_layers(parameters, layers), parts, strict=True)
    )


def test_layers_are_named_by_their_modules() -> None:
    names = [
        "embed.weight",
        "blocks.0.a.weight",
        "blocks.0.b.bias",
        "blocks.1.a.weight",
        "head.weight",
        "scale",
    ]
    found = named_layers(names, [5, 2, 3, 4, 6, 1])
    assert found == (slice(0, 5), slice(5, 10), slice(10, 14), slice(14, 20), slice(20, 21))


def test_step_seconds_are_the_whole_step() -> None:
    work = Work.of(mlp_task(), SGD(lr=1), ChargeAs(parameters=1e9, step_seconds="0.2 s"))
    from simnet.compute import DEVICES

    machine = work.on(DEVICES["t4"], speed=0.5, worker=0)
    assert machine.gradient_seconds() == machine.train_seconds() == 0.4
    assert machine.optimizer_seconds() == 0.0
    with pytest.raises(ValueError, match="no training data"):
        work.on(DEVICES["t4"]).gradient_seconds()


@pytest.mark.parametrize(
    ("keys", "at"),
    [
        ({"tokens_per_step": 1, "step_seconds": "1 s"}, "step_seconds"),
        ({"samples_per_step": 1, "step_seconds": "1 s"}, "step_seconds"),
        ({"tokens_per_step": 1, "samples_per_step": 1}, "samples_per_step"),
        ({"layers": 2_000_000_000}, "layers"),
        ({"bytes_per_parameter": -1}, "bytes_per_parameter"),
        ({"bytes_per_parameter": "2 s"}, "bytes_per_parameter"),
        ({"step_seconds": 3}, "step_seconds"),
    ],
)
def test_impossible_combinations(keys: dict[str, object], at: str) -> None:
    with pytest.raises(ValueError, match=at):
        ChargeAs(parameters=1e9, **keys)


def test_more_layers_than_trained_parameters() -> None:
    with pytest.raises(ScenarioError, match="more layers"):
        check_layers(ChargeAs(parameters=1e9, layers=101), 100)
    assert check_layers(ChargeAs(parameters=1e9, layers=100), 100) == 100
