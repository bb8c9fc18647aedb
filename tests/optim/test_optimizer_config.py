"""Hyperparameters: what is accepted, what is refused, and how an optimizer is written down again."""

import math

import pytest
import torch
from pydantic import BaseModel, ValidationError

from simnet.optim import (
    SGD,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Linear,
    Nesterov,
    OptimizerConfig,
    build_optimizer,
    registry,
)


class Holder(BaseModel):
    outer: OptimizerConfig = Nesterov(lr=0.7, momentum=0.9)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"name": "sgd", "lr": 0.1, "momentum": 0.9}, SGD(lr=0.1, momentum=0.9)),
        ({"name": "nesterov", "lr": 0.7, "momentum": 0.9}, Nesterov(lr=0.7, momentum=0.9)),
        ({"name": "adam", "lr": 1e-2}, Adam(lr=1e-2)),
        ({"name": "adamw", "lr": 3e-4, "betas": [0.9, 0.95]}, AdamW(lr=3e-4, betas=(0.9, 0.95))),
        (
            {"name": "adamw", "schedule": {"name": "cosine", "steps": 100, "warmup_steps": 10}},
            AdamW(schedule=Cosine(steps=100, warmup_steps=10)),
        ),
        ("adamw", AdamW()),
    ],
)
def test_mappings_become_optimizers(given: object, expected: object) -> None:
    held = Holder.model_validate({"outer": given})
    assert held.outer == expected
    assert type(held.outer) is type(expected)
    # Written down, read again: in Python and as JSON.
    assert Holder.model_validate(held.model_dump()) == held
    assert Holder.model_validate_json(held.model_dump_json()) == held
    assert held.model_dump()["outer"]["name"] == held.outer.name


def test_instances_pass_and_the_default_stands() -> None:
    mine = SGD(lr=1.0)
    assert Holder(outer=mine).outer is mine
    assert Holder().outer == Nesterov(lr=0.7, momentum=0.9)
    assert build_optimizer(mine) is mine


@pytest.mark.parametrize(
    ("given", "path", "says"),
    [
        ({"name": "adamv", "lr": 1}, ("name",), "did you mean 'adam'"),
        ({"name": "nestrov", "lr": 1}, ("name",), "did you mean 'nesterov'"),
        ({"name": "zzz"}, ("name",), "adam, adamw, lion, muon, nadam, nesterov, sgd, signsgd"),
        ({"lr": 1}, ("name",), "which optimizer"),
        (3, (), "mapping with a name"),
        ({"name": "sgd"}, ("lr",), "required"),
        ({"name": "sgd", "lr": 0}, ("lr",), "greater than 0"),
        ({"name": "sgd", "lr": math.inf}, ("lr",), "finite"),
        ({"name": "sgd", "lr": math.nan}, ("lr",), "greater than 0|finite"),
        ({"name": "sgd", "lr": 1, "momentun": 0.9}, ("momentun",), "not permitted"),
        ({"name": "sgd", "lr": 1, "momentum": 1.0}, ("momentum",), "less than 1"),
        ({"name": "sgd", "lr": 1, "momentum": -0.1}, ("momentum",), "greater than or equal to 0"),
        ({"name": "nesterov", "lr": 1, "momentum": 0}, ("momentum",), "greater than 0"),
        ({"name": "sgd", "lr": 1, "nesterov": True}, (), "needs a momentum"),
        ({"name": "sgd", "lr": 1, "weight_decay": -1}, ("weight_decay",), "greater than or equal to 0"),
        ({"name": "sgd", "lr": 1, "clip_norm": 0}, ("clip_norm",), "greater than 0"),
        ({"name": "adam", "betas": [0.9, 1.0]}, ("betas", 1), "less than 1"),
        ({"name": "adam", "betas": [-0.1, 0.9]}, ("betas", 0), "greater than or equal to 0"),
        ({"name": "adam", "eps": 0}, ("eps",), "greater than 0"),
        ({"name": "adam", "schedule": {"name": "cosin"}}, ("schedule",), "constant.*linear.*cosine"),
        ({"name": "adam", "schedule": {"name": "linear"}}, ("schedule", "linear", "steps"), "required"),
        (
            {"name": "adam", "schedule": {"name": "linear", "steps": 5, "warmup_steps": 5}},
            ("schedule", "linear"),
            "warm-up",
        ),
    ],
)
def test_what_is_wrong_is_said(given: object, path: tuple[str | int, ...], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as raised:
        Holder.model_validate({"outer": given})
    assert [error["loc"] for error in raised.value.errors()] == [("outer", *path)]


def test_optimizers_are_frozen() -> None:
    with pytest.raises(ValidationError):
        SGD(lr=1.0).lr = 2.0  # type: ignore[misc]


def test_the_json_schema_knows_every_optimizer() -> None:
    described = Holder.model_json_schema()["properties"]["outer"]["anyOf"]
    names = {option["properties"]["name"]["const"] for option in described if "properties" in option}
    assert (
        names
        == set(registry)
        >= {"sgd", "nesterov", "adam", "adamw", "nadam", "lion", "signsgd", "adafactor", "muon"}
    )
    assert "$ref" not in str(described)


def test_schedules_by_hand() -> None:
    steps = torch.tensor([0, 1, 3, 4, 8, 12, 20])
    assert Constant().factor(steps).tolist() == [1.0] * 7
    assert Constant(warmup_steps=4).factor(steps).tolist() == [0.25, 0.5, 1, 1, 1, 1, 1]
    linear = Linear(steps=12, warmup_steps=4, final=0.5)
    assert linear.factor(steps).tolist() == pytest.approx([0.25, 0.5, 1, 1, 0.75, 0.5, 0.5])
    cosine = Cosine(steps=12, warmup_steps=4, final=0.5)
    assert cosine.factor(steps).tolist() == pytest.approx([0.25, 0.5, 1, 1, 0.75, 0.5, 0.5])
    quarter = 0.5 + 0.5 * 0.5 * (1 + math.cos(math.pi / 4))
    assert cosine.factor(torch.tensor(6)).item() == pytest.approx(quarter)


@pytest.mark.parametrize(
    ("optimizer", "flops"),
    [
        (SGD(lr=1), 2),  # x - lr g
        (SGD(lr=1, weight_decay=0.1), 4),  # g + wd x
        (SGD(lr=1, momentum=0.9), 4),  # mu m + g
        (SGD(lr=1, momentum=0.9, dampening=0.1), 5),
        (SGD(lr=1, momentum=0.9, nesterov=True), 6),
        (Nesterov(lr=1), 6),
        (Nesterov(lr=1, clip_norm=1), 9),  # square and add, then scale
        (Adam(), 12),
        (AdamW(), 14),
    ],
)
def test_flops(optimizer: SGD, flops: float) -> None:
    assert optimizer.flops_per_parameter == flops
