"""Every optimizer, over its hyperparameters: the steps of torch (or of a plain second implementation).

All work on a model of mixed shapes, several rows at once, under a schedule and with clipping.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_optimizers import MIXED, PlainLion, PlainSignum, flat
from torch import Tensor

from simnet.optim import (
    SGD,
    Adafactor,
    Adam,
    AdamW,
    Constant,
    Cosine,
    InverseSqrt,
    Lion,
    Muon,
    NAdam,
    Optimizer,
    SignSGD,
    State,
)
from simnet.optim.schedule import WSD, Schedule

Options = dict[str, Any]
MUON_S = [name in ("0.wide", "1.wide", "1.tall", "kernel", "square") for name in MIXED.names]


@dataclass(frozen=True)
class Kind:
    """Ours, theirs on named parameters, and what hypothesis draws."""

    ours: Callable[..., Optimizer]
    theirs: Callable[[list[Tensor], Options], list[torch.optim.Optimizer]]
    options: dict[str, st.SearchStrategy[Any]]


def one(make: Callable[..., torch.optim.Optimizer]) -> Callable[..., list[torch.optim.Optimizer]]:
    return lambda params, options: [make(params, **options)]


def torch_adafactor(params: list[Tensor], options: Options) -> list[torch.optim.Optimizer]:
    eps = (options.pop("eps"), options.pop("eps_scale"))
    return [torch.optim.Adafactor(params, eps=eps, d=options.pop("clip_update"), **options)]


def torch_muon(params: list[Tensor], options: Options) -> list[torch.optim.Optimizer]:
    adamw = {key.removeprefix("adamw_"): options.pop(key) for key in list(options) if key[:6] == "adamw_"}
    matrices = [value for value, mine in zip(params, MUON_S, strict=True) if mine]
    rest = [value for value, mine in zip(params, MUON_S, strict=True) if not mine]
    return [
        torch.optim.Muon(matrices, adjust_lr_fn=options.pop("scale"), **options),
        torch.optim.AdamW(rest, **adamw),
    ]


def plain_lion(params: list[Tensor], options: Options) -> list[torch.optim.Optimizer]:
    b1, b2 = options.pop("betas")
    return [PlainLion(params, b1=b1, b2=b2, **options)]


def plain_signum(params: list[Tensor], options: Options) -> list[torch.optim.Optimizer]:
    return [PlainSignum(params, mu=options.pop("momentum"), **options)]


rates = st.floats(1e-4, 0.3)
decays = st.sampled_from([0.0, 0.01, 0.3])
shares = st.floats(0.0, 0.99)
betas = st.tuples(shares, st.floats(0.5, 0.999))
floors = st.floats(1e-8, 1e-3)
common = {"lr": rates, "weight_decay": decays}
KINDS = {
    "sgd": Kind(
        SGD,
        one(torch.optim.SGD),
        {**common, "momentum": shares.filter(lambda mu: mu > 0), "nesterov": st.booleans()},
    ),
    "adam": Kind(Adam, one(torch.optim.Adam), {**common, "betas": betas, "eps": floors}),
    "adamw": Kind(AdamW, one(torch.optim.AdamW), {**common, "betas": betas, "eps": floors}),
    "nadam": Kind(
        NAdam,
        one(torch.optim.NAdam),
        {
            **common,
            "betas": betas,
            "eps": floors,
            "momentum_decay": st.floats(0, 0.1),
            "decoupled_weight_decay": st.booleans(),
        },
    ),
    "lion": Kind(Lion, plain_lion, {**common, "betas": st.tuples(shares, shares)}),
    "signsgd": Kind(SignSGD, plain_signum, {**common, "momentum": shares}),
    "adafactor": Kind(
        Adafactor,
        torch_adafactor,
        {
            **common,
            "beta2_decay": st.floats(-1.0, -0.1),
            "eps": st.one_of(st.none(), st.floats(1e-8, 0.1)),
            "eps_scale": st.floats(1e-4, 0.1),
            "clip_update": st.floats(1.0, 2.0),
        },
    ),
    "muon": Kind(
        Muon,
        torch_muon,
        {
            **common,
            "momentum": shares,
            "nesterov": st.booleans(),
            "ns_steps": st.integers(1, 6),
            "ns_coefficients": st.sampled_from([(3.4445, -4.7750, 2.0315), (2.0, -1.5, 0.5)]),
            "scale": st.sampled_from(["original", "match_rms_adamw"]),
            "adamw_lr": rates,
            "adamw_betas": betas,
            "adamw_eps": floors,
            "adamw_weight_decay": decays,
        },
    ),
}
SCHEDULES: list[Schedule] = [
    Constant(),
    Constant(warmup_steps=3),
    Cosine(steps=9, warmup_steps=2, final=0.1),
    WSD(steps=8, warmup_steps=2, decay_steps=3, shape="sqrt"),
    InverseSqrt(warmup_steps=2),
]
LIMIT = {torch.float64: 1e-10, torch.float32: 1e-5}


@contextmanager
def torch_computes_in(dtype: torch.dtype) -> Iterator[None]:
    """Torch's Muon casts to bf16, and its NAdam keeps a product in the default type: let both be `dtype`."""
    cast, default = torch.Tensor.bfloat16, torch.get_default_dtype()
    torch.Tensor.bfloat16 = torch.Tensor.clone  # type: ignore[method-assign]
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.Tensor.bfloat16 = cast  # type: ignore[method-assign]
        torch.set_default_dtype(default)


def reference(kind: Kind, options: Options, start: Tensor, gradients: Tensor, clips: Options) -> Tensor:
    """Parameters of one row after all steps, by torch: kernels as matrices of their first dimension."""
    schedule = clips["schedule"]
    params = MIXED.tensors(start)
    if kind.ours is Muon:
        params = [value.flatten(1) if value.dim() > 2 else value for value in params]
    with torch_computes_in(start.dtype):
        optimizers = kind.theirs(params, dict(options))
        rates = [
            torch.optim.lr_scheduler.LambdaLR(own, lambda step: schedule.factor(torch.tensor(step)).item())
            for own in optimizers
        ]
        for gradient in gradients:
            for value, slope in zip(params, MIXED.tensors(gradient), strict=True):
                value.grad = slope.view(value.shape)
            if clips["clip_value"] is not None:
                torch.nn.utils.clip_grad_value_(params, clips["clip_value"])
            if clips["clip_norm"] is not None:
                torch.nn.utils.clip_grad_norm_(params, clips["clip_norm"])
            for own, rate in zip(optimizers, rates, strict=True):
                own.step()
                rate.step()
    return flat(params)


def walk(ours: Optimizer, params: Tensor, gradients: Tensor) -> tuple[Tensor, State]:
    state = ours.init(params)
    for gradient in gradients:
        params, state = ours.step(params, gradient, state)
    return params, state


def clippings() -> st.SearchStrategy[Options]:
    limits = st.one_of(st.none(), st.floats(0.1, 3.0))
    return st.fixed_dictionaries(
        {"schedule": st.sampled_from(SCHEDULES), "clip_value": limits, "clip_norm": limits}
    )


def assert_close(got: Tensor, expected: Tensor) -> None:
    """Within the limit of its type, relative to the largest entry."""
    error = (got - expected).abs().max() / expected.abs().max()
    assert error < LIMIT[got.dtype], f"relative error {error:.2g}"


@pytest.mark.parametrize("dtype", LIMIT, ids=str)
@pytest.mark.parametrize("name", KINDS)
@settings(deadline=None, max_examples=30)
@given(data=st.data(), clips=clippings(), seed=st.integers(0, 2**20), steps=st.integers(1, 9))
def test_steps_are_torch_s(
    name: str, dtype: torch.dtype, data: st.DataObject, clips: Options, seed: int, steps: int
) -> None:
    kind = KINDS[name]
    options = data.draw(st.fixed_dictionaries(kind.options))
    draws = torch.Generator().manual_seed(seed)
    start = torch.randn(2, MIXED.parameters, generator=draws, dtype=torch.float64).to(dtype)
    gradients = torch.randn(steps, 2, MIXED.parameters, generator=draws, dtype=torch.float64).to(dtype)
    ours = kind.ours(**options, **clips).with_layout(MIXED)
    got, state = walk(ours, start, gradients)
    assert state["step"].tolist() == [steps, steps]
    for row in range(2):
        assert_close(got[row], reference(kind, options, start[row], gradients[:, row], clips))


@pytest.mark.parametrize("name", KINDS)
@settings(deadline=None, max_examples=20)
@given(
    data=st.data(),
    clips=clippings(),
    ahead=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    seed=st.integers(0, 2**20),
)
def test_rows_go_as_they_would_alone(
    name: str, data: st.DataObject, clips: Options, ahead: list[int], seed: int
) -> None:
    """Rows that have taken different numbers of steps, and that are arranged in two dimensions."""
    kind = KINDS[name]
    options = data.draw(st.fixed_dictionaries(kind.options))
    ours = kind.ours(**options, **clips).with_layout(MIXED)
    draws = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, MIXED.parameters, generator=draws, dtype=torch.float64)

    alone = [walk(ours, draw(), draw(steps)) for steps in ahead]
    gradient = draw(len(ahead))
    stacked = torch.stack([params for params, _ in alone]).unsqueeze(1)
    state = {key: torch.stack([own[key] for _, own in alone]).unsqueeze(1) for key in alone[0][1]}
    together, after = ours.step(stacked, gradient.unsqueeze(1), state)
    assert after["step"].flatten().tolist() == [steps + 1 for steps in ahead]
    for row, (params, own) in enumerate(alone):
        expected, own_after = ours.step(params, gradient[row], own)
        assert_close(together[row, 0], expected)
        for key, value in own_after.items():
            torch.testing.assert_close(after[key][row, 0], value, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", KINDS)
def test_a_step_leaves_its_arguments(name: str) -> None:
    lr = 0.1
    ours = KINDS[name].ours(lr=lr, weight_decay=0.1, clip_value=0.7, clip_norm=0.5).with_layout(MIXED)
    params, gradient = torch.randn(2, MIXED.parameters), torch.randn(2, MIXED.parameters)
    state = ours.init(params)
    before = [value.clone() for value in (params, gradient, *state.values())]
    new_params, new_state = ours.step(params, gradient, state)
    assert all(torch.equal(*pair) for pair in zip((params, gradient, *state.values()), before, strict=True))
    ours.update_(params, gradient, state)
    assert torch.equal(params, new_params)
    assert list(state) == list(new_state)
    assert all(torch.equal(state[key], new_state[key]) for key in state)
