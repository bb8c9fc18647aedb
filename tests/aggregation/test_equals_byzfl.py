"""Rules and attacks against byzfl, by the numbers that `make_byzfl_numbers.py` wrote down."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from simnet.aggregation import Bucketing, Monna, aggregations, build_aggregation, pre_aggregations
from simnet.faults.attacks import MessageAttack, View, build_attack
from simnet.faults.attacks.optimal import OptimalScale

NUMBERS: dict[str, Any] = json.loads((Path(__file__).parent / "byzfl-numbers.json").read_text())


def stack(case: dict[str, Any]) -> Tensor:
    return torch.tensor(NUMBERS["stacks"][case["stack"]], dtype=torch.float64)


def close(ours: Tensor, theirs: list[Any]) -> None:
    torch.testing.assert_close(ours, torch.tensor(theirs, dtype=torch.float64), rtol=1e-6, atol=1e-6)


def named(cases: list[dict[str, Any]], key: str) -> dict[str, list[dict[str, Any]]]:
    grouped: dict[str, list[dict[str, Any]]] = {}
    for case in cases:
        grouped.setdefault(case[key]["name"], []).append(case)
    return grouped


RULES = named(NUMBERS["rules"], "rule")
BEFORE = named(NUMBERS["before"], "rule")
ATTACKS = named(NUMBERS["attacks"], "attack")


class Dealt(np.random.Generator):
    """Random numbers that give one permutation: byzfl's."""

    def __init__(self, order: list[int]) -> None:
        super().__init__(np.random.PCG64(0))
        self.order = order

    def permutation(self, *_: Any, **__: Any) -> Any:
        return np.array(self.order)


def test_all_that_both_have_is_compared() -> None:
    assert set(aggregations) - set(RULES) == {"bulyan", "sign-vote", "fltrust"}
    assert set(BEFORE) == set(pre_aggregations)
    assert set(ATTACKS) == {
        "ipm", "alie", "sign-flip", "mimic", "non-finite", "optimal-ipm", "optimal-alie",
    }  # fmt: skip


@pytest.mark.parametrize("name", RULES)
def test_rule(name: str) -> None:
    assert len(RULES[name]) >= 10
    for case in RULES[name]:
        close(build_aggregation(case["rule"])(stack(case)), case["vector"])


@pytest.mark.parametrize("name", BEFORE)
def test_pre_aggregator(name: str) -> None:
    for case in BEFORE[name]:
        rule = pre_aggregations[name](**{k: v for k, v in case["rule"].items() if k != "name"})
        rng = Dealt(case["order"]) if isinstance(rule, Bucketing) else None
        close(rule.mix(stack(case), rng=rng).vectors, case["vectors"])


def test_monna() -> None:
    for case in NUMBERS["monna"]:
        vectors, own = stack(case), case["own"]
        others = torch.cat([vectors[:own], vectors[own + 1 :]])
        close(Monna(f=case["f"]).update(vectors[own], others).vector, case["vector"])


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(name: str) -> None:
    for case in ATTACKS[name]:
        honest = stack(case)
        attack = build_attack(case["attack"])
        assert isinstance(attack, MessageAttack)
        view = View.seen(
            "all", honest[0], everyone=honest, nodes=len(honest) + case["f"], byzantine=case["f"]
        )
        ours = attack.craft(view)
        if isinstance(attack, OptimalScale):
            close(moved(attack, honest, ours), moved(attack, honest, torch.tensor(case["vector"])).tolist())
            if attack.against.before and attack.against.name == "mean":
                continue  # clipped: any large scale does the same, and byzfl's choice among them is rounding
        close(ours, case["vector"])


def moved(attack: OptimalScale, honest: Tensor, vector: Tensor) -> Tensor:
    """How far two of these vectors take the rule from the honest mean."""
    answer = attack.against(torch.cat([honest, vector.to(honest.dtype).expand(2, -1)]))
    return torch.linalg.vector_norm(answer - honest.mean(dim=0))
