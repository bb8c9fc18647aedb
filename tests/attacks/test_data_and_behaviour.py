"""Attacks on data and in time, and the registry of all attacks."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from simnet.faults.attacks import (
    AttackConfig,
    Delay,
    Dropping,
    Equivocation,
    FreeRider,
    LabelFlip,
    Memory,
    OptimalIpm,
    Outgoing,
    Poison,
    Replay,
    SignFlip,
    SlowLoris,
    Zero,
    attacks,
    build_attack,
)


def batch(classes: int = 10) -> tuple[torch.Tensor, torch.Tensor]:
    targets = torch.arange(60).reshape(3, 20) % classes
    return torch.arange(3 * 20 * 12.0).reshape(3, 20, 3, 4), targets


def test_flipped_twice_is_honest() -> None:
    inputs, targets = batch()
    same, flipped = LabelFlip().transform(inputs, targets, classes=10)
    assert torch.equal(same, inputs)
    assert torch.equal(flipped, 9 - targets)
    assert torch.equal(LabelFlip().transform(inputs, flipped, classes=10)[1], targets)


def test_one_class_becomes_another() -> None:
    inputs, targets = batch()
    flipped = LabelFlip(source=1, target=7).transform(inputs, targets, classes=10)[1]
    assert bool((flipped[targets == 1] == 7).all())
    assert torch.equal(flipped[targets != 1], targets[targets != 1])
    mirrored = LabelFlip(source=1).transform(inputs, targets, classes=10)[1]
    assert bool((mirrored[targets == 1] == 8).all())


@given(share=st.floats(0.1, 0.9), seed=st.integers(0, 99))
def test_a_share_is_drawn(share: float, seed: int) -> None:
    targets = torch.zeros(4000, dtype=torch.int64)
    inputs = torch.zeros(4000, 2)
    rng = np.random.default_rng(seed)
    flipped = LabelFlip(share=share).transform(inputs, targets, classes=5, rng=rng)[1]
    found = float((flipped == 4).double().mean())
    assert abs(found - share) < 5 * (share * (1 - share) / 4000) ** 0.5
    again = LabelFlip(share=share).transform(inputs, targets, classes=5, rng=np.random.default_rng(seed))[1]
    assert torch.equal(flipped, again)


def test_poison_sets_the_trigger_and_nothing_else() -> None:
    inputs, targets = batch()
    before = inputs.clone()
    attack = Poison(features=(0, 11), value=-1.0, target=3, share=0.5)
    dirty, changed = attack.transform(inputs, targets, classes=10, rng=np.random.default_rng(0))
    hit = (dirty != inputs).flatten(2).any(dim=2)
    assert 15 < int(hit.sum()) < 45
    flat = dirty.flatten(2)
    assert bool((flat[hit][:, [0, 11]] == -1.0).all())
    assert torch.equal(flat[..., 1:11], inputs.flatten(2)[..., 1:11])
    assert bool((changed[hit] == 3).all())
    assert torch.equal(changed[~hit], targets[~hit])
    assert torch.equal(inputs, before)
    assert bool((attack.trigger(inputs, 2).flatten(2)[..., 0] == -1.0).all())


def test_what_data_attacks_refuse() -> None:
    inputs, targets = batch()
    with pytest.raises(ValueError, match=r"label-flip needs targets that are classes, got torch\.float32"):
        LabelFlip().transform(inputs, targets.float(), classes=10)
    with pytest.raises(ValueError, match="label-flip names class 12, but there are 10"):
        LabelFlip(target=12).transform(inputs, targets, classes=10)
    with pytest.raises(ValueError, match=r"a share of 0\.5 draws its samples, so it needs rng"):
        LabelFlip(share=0.5).transform(inputs, targets, classes=10)
    with pytest.raises(ValueError, match="poison sets feature 12, but an input has 12"):
        Poison(features=(12,), share=1.0).transform(inputs, targets, classes=10)
    with pytest.raises(ValueError, match="inputs that are numbers"):
        Poison(features=(0,), share=1.0).transform(targets, targets, classes=10)
    with pytest.raises(ValidationError, match="features are counted from 0, got -1"):
        Poison(features=(-1,))


def test_replay_looks_back() -> None:
    past = [torch.full((2,), float(i)) for i in range(7)]
    own = torch.full((2,), 7.0)

    def sent(rounds: int, known: int) -> float:
        vector = Replay(rounds=rounds).outgoing(own, Memory(round=known, sent=past[:known])).vector
        assert vector is not None
        return float(vector[0])

    assert sent(1, 7) == 6.0
    assert sent(5, 7) == 2.0
    assert sent(20, 7) == 0.0  # the oldest there is
    assert sent(3, 0) == 7.0  # nothing before: its own


def test_behaviours_in_time() -> None:
    own = torch.ones(3)
    memory = Memory(round=0, sent=())
    late = Delay(seconds=4.0).outgoing(own, memory)
    assert (late.vector is own, late.delay, late.stretch) == (True, 4.0, 1.0)
    slow = SlowLoris(stretch=25.0).outgoing(own, memory)
    assert (slow.vector is own, slow.delay, slow.stretch) == (True, 0.0, 25.0)
    assert Dropping().outgoing(own, memory).vector is None


def test_dropping_drops_its_share() -> None:
    memory = Memory(round=0, sent=(), rng=np.random.default_rng(1))
    sent = [Dropping(probability=0.3).outgoing(torch.ones(1), memory).vector for _ in range(2000)]
    assert abs(sum(vector is None for vector in sent) / 2000 - 0.3) < 5 * (0.21 / 2000) ** 0.5


def test_free_riders_send_what_they_got() -> None:
    own, model = torch.ones(20_000), torch.full((20_000,), 5.0)

    def sent(noise: float, decay: float, round: int, received: torch.Tensor | None = model) -> torch.Tensor:
        memory = Memory(round=round, sent=(), received=received, rng=np.random.default_rng(0))
        outgoing: Outgoing = FreeRider(noise=noise, decay=decay).outgoing(own, memory)
        assert outgoing.vector is not None
        return outgoing.vector

    assert torch.equal(sent(0.0, 1.0, 3), model)
    assert torch.equal(sent(0.0, 1.0, 0, None), own)
    assert float((sent(2.0, 1.0, 0) - model).std()) == pytest.approx(2.0, rel=0.03)
    assert float((sent(2.0, 1.0, 9) - model).std()) == pytest.approx(0.2, rel=0.03)
    assert float((sent(2.0, 0.0, 9) - model).std()) == pytest.approx(2.0, rel=0.03)


class Holder(BaseModel):
    attack: AttackConfig = SignFlip()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("sign-flip", SignFlip()),
        ({"name": "sign-flip", "scale": 4.0}, SignFlip(scale=4.0)),
        ({"name": "poison", "features": [1, 2]}, Poison(features=(1, 2))),
        (
            {"name": "equivocation", "faces": ["zero", {"name": "sign-flip", "scale": 2.0}]},
            Equivocation(faces=(Zero(), SignFlip(scale=2.0))),
        ),
        (
            {"name": "optimal-ipm", "against": {"name": "krum", "f": 3}},
            OptimalIpm.model_validate({"against": {"name": "krum", "f": 3}}),
        ),
    ],
)
def test_mappings_become_attacks(given: object, expected: object) -> None:
    held = Holder.model_validate({"attack": given})
    assert held.attack == expected
    assert Holder.model_validate(held.model_dump()) == held
    assert Holder.model_validate_json(held.model_dump_json()) == held
    assert build_attack(held.attack) is held.attack


@pytest.mark.parametrize(
    ("given", "path", "says"),
    [
        ("signflip", ("name",), "did you mean 'sign-flip'"),
        ({"name": "alie", "knowledge": "some"}, ("knowledge",), "'own', 'peers' or 'all'"),
        ({"name": "zero", "scale": 2}, ("scale",), "not permitted"),
        ({"name": "optimal-ipm"}, ("against",), "required"),
        (
            {"name": "equivocation", "faces": ["zero", "label-flip"]},
            ("faces", 1, "name"),
            "no attack 'label-flip'",
        ),
        ({"name": "dropping", "probability": 0}, ("probability",), "greater than 0"),
    ],
)
def test_what_is_wrong_with_an_attack_is_said(given: object, path: tuple[str | int, ...], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as raised:
        Holder.model_validate({"attack": given})
    assert [error["loc"] for error in raised.value.errors()] == [("attack", *path)]


def test_the_json_schema_knows_every_attack() -> None:
    described = Holder.model_json_schema()["properties"]["attack"]["anyOf"]
    names = {option["properties"]["name"]["const"] for option in described if "properties" in option}
    assert names == set(attacks)
    assert "$ref" not in str(described)
    for kind in attacks.values():
        assert kind.__doc__
        assert all(field.description for field in kind.model_fields.values()), kind
