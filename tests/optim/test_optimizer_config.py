"""Hyperparameters: what is accepted, what is refused, and how an optimizer is written down again."""

import math

import pytest
import torch
from pydantic import BaseModel, ValidationError

from simnet.optim import (
    SGD,
    WSD,
    Adafactor,
    Adam,
    AdamW,
    Constant,
    Cosine,
    InverseSqrt,
    Linear,
    Lion,
    Muon,
    NAdam,
    Nesterov,
    OptimizerConfig,
    Schedule,
    SignSGD,
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
        (
            {"name": "nadam", "betas": [0.99, 0.999], "decoupled_weight_decay": True},
            NAdam(betas=(0.99, 0.999), decoupled_weight_decay=True),
        ),
        (
            {"name": "lion", "schedule": {"name": "inverse_sqrt", "warmup_steps": 9}},
            Lion(schedule=InverseSqrt(warmup_steps=9)),
        ),
        (
            {"name": "signsgd", "lr": 0.1, "momentum": 0.9, "clip_value": 1},
            SignSGD(lr=0.1, momentum=0.9, clip_value=1),
        ),
        ("adafactor", Adafactor()),
        (
            {
                "name": "muon",
                "adamw_for": ["tokens"],
                "schedule": {"name": "wsd", "steps": 9, "decay_steps": 2},
            },
            Muon(adamw_for=("tokens",), schedule=WSD(steps=9, decay_steps=2)),
        ),
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
        ({"name": "sgd", "lr": 1, "clip_value": 0}, ("clip_value",), "greater than 0"),
        ({"name": "nadam", "momentum_decay": -1}, ("momentum_decay",), "greater than or equal to 0"),
        ({"name": "lion", "betas": [0.9, 1.0]}, ("betas", 1), "less than 1"),
        ({"name": "signsgd"}, ("lr",), "required"),
        ({"name": "adafactor", "beta2_decay": 0.8}, ("beta2_decay",), "less than or equal to 0"),
        ({"name": "adafactor", "clip_update": 0.5}, ("clip_update",), "greater than or equal to 1"),
        ({"name": "muon", "ns_steps": 0}, ("ns_steps",), "greater than 0"),
        ({"name": "muon", "scale": "rms"}, ("scale",), "original.*match_rms_adamw"),
        ({"name": "muon", "momentum": 1}, ("momentum",), "less than 1"),
        (
            {"name": "adam", "schedule": {"name": "wsd", "steps": 9, "decay_steps": 5, "warmup_steps": 5}},
            ("schedule", "wsd"),
            "must fit",
        ),
        (
            {"name": "adam", "schedule": {"name": "wsd", "steps": 9}},
            ("schedule", "wsd", "decay_steps"),
            "required",
        ),
        (
            {"name": "adam", "schedule": {"name": "inverse_sqrt", "timescale": 0}},
            ("schedule", "inverse_sqrt", "timescale"),
            "greater than 0",
        ),
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


@pytest.mark.parametrize(("shape", "half"), [("linear", 0.5), ("cosine", 0.5), ("sqrt", 1 - math.sqrt(0.5))])
def test_wsd_by_hand(shape: str, half: float) -> None:
    """Up over 4 steps, flat until 10 - 4, down to 0.2 at 10: half of the way down at 8."""
    wsd = WSD(steps=10, warmup_steps=4, decay_steps=4, final=0.2, shape=shape)  # type: ignore[arg-type]
    steps = torch.tensor([0, 1, 3, 4, 6, 8, 10, 99])
    expected = [0.25, 0.5, 1, 1, 1, 0.2 + 0.8 * half, 0.2, 0.2]
    assert wsd.factor(steps).tolist() == pytest.approx(expected)
    # Nothing stable, and no warm-up: the other schedules.
    whole = WSD(steps=10, decay_steps=10, final=0.2, shape=shape)  # type: ignore[arg-type]
    if shape != "sqrt":
        other = Linear(steps=10, final=0.2) if shape == "linear" else Cosine(steps=10, final=0.2)
        torch.testing.assert_close(whole.factor(steps), other.factor(steps), rtol=1e-14, atol=0)


def test_inverse_sqrt_by_hand() -> None:
    steps = torch.tensor([0, 3, 4, 8, 12, 64])
    factors = InverseSqrt(warmup_steps=4).factor(steps).tolist()
    assert factors == pytest.approx([0.25, 1, 1, 1 / math.sqrt(2), 1 / math.sqrt(3), 0.25])
    assert InverseSqrt().factor(steps).tolist() == pytest.approx([(1 + k) ** -0.5 for k in steps.tolist()])
    assert InverseSqrt(timescale=12).factor(torch.tensor(36)).item() == pytest.approx(0.5)


@pytest.mark.parametrize(
    "schedule",
    [
        Constant(warmup_steps=5),
        Linear(steps=30, warmup_steps=5),
        Cosine(steps=30, warmup_steps=5),
        WSD(steps=30, warmup_steps=5, decay_steps=9),
        InverseSqrt(warmup_steps=5),
    ],
)
def test_every_warm_up_is_the_same(schedule: Schedule) -> None:
    """Linear from 1/5, at 1 in the fifth step; never above 1, and never up again."""
    factors = schedule.factor(torch.arange(40))
    assert factors.dtype == torch.float64
    assert factors[:6].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, 1])
    assert bool((factors[5:].diff() <= 0).all())
    assert schedule.factor(torch.arange(40).view(2, 20)).shape == (2, 20)


def test_clipping_by_value_comes_first() -> None:
    optimizer = SGD(lr=1.0, clip_value=1.0, clip_norm=1.0)
    gradient = torch.tensor([[3.0, -4.0], [0.3, 0.4]])
    after, _ = optimizer.step(torch.zeros(2, 2), gradient, optimizer.init(torch.zeros(2, 2)))
    half = math.sqrt(0.5)
    torch.testing.assert_close(after, torch.tensor([[-half, half], [-0.3, -0.4]]), rtol=1e-5, atol=0)


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
        (NAdam(), 14),  # 7 for the moments, root and floor, 3 for the mixture, divide and subtract
        (Lion(), 9),
        (Lion(weight_decay=0.1, clip_value=1), 13),
        (SignSGD(lr=1), 3),  # x - lr sign(g)
        (SignSGD(lr=1, momentum=0.9), 6),
    ],
)
def test_flops(optimizer: SGD, flops: float) -> None:
    assert optimizer.flops_per_parameter == flops
