"""Names, options, conditions on n and f, costs: what is wrong is said."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError
from stacks import generator

from simnet.aggregation import (
    Aggregation,
    AggregationConfig,
    Bridge,
    Bulyan,
    Context,
    GossipRuleConfig,
    Krum,
    Mean,
    Median,
    Monna,
    MultiKrum,
    NearestNeighbourMixing,
    PreAggregationConfig,
    SelfCentredClipping,
    TrimmedMean,
    aggregations,
    build_aggregation,
    build_gossip_rule,
    gossip_rules,
    pre_aggregations,
)


class Server(BaseModel):
    rule: AggregationConfig = Krum(f=2)
    before: PreAggregationConfig = NearestNeighbourMixing(f=1)


class Gossiper(BaseModel):
    rule: GossipRuleConfig = SelfCentredClipping()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("krum", Krum()),
        ({"name": "krum", "f": 2}, Krum(f=2)),
        (
            {"name": "krum", "f": 2, "before": [{"name": "nnm"}]},
            Krum(f=2, before=(NearestNeighbourMixing(),)),
        ),
        (
            {"name": "median", "before": [{"name": "nnm", "f": 1}]},
            Median(before=(NearestNeighbourMixing(f=1),)),
        ),
    ],
)
def test_mappings_become_rules(given: object, expected: Aggregation) -> None:
    held = Server.model_validate({"rule": given})
    assert held.rule == expected
    assert Server.model_validate(held.model_dump()) == held
    assert Server.model_validate_json(held.model_dump_json()) == held
    assert held.model_dump()["rule"]["name"] == expected.name
    assert build_aggregation(expected) is expected


def test_a_gossip_node_takes_all_rules() -> None:
    assert Gossiper.model_validate({"rule": "bridge"}).rule == Bridge()
    assert Gossiper.model_validate({"rule": {"name": "krum", "f": 3}}).rule == Krum(f=3)
    held = Gossiper.model_validate({"rule": {"name": "krum", "f": 3}})
    assert Gossiper.model_validate_json(held.model_dump_json()) == held
    assert not set(aggregations) & set(gossip_rules)


@pytest.mark.parametrize(
    ("given", "path", "says"),
    [
        ({"name": "crum"}, ("name",), "did you mean 'krum'"),
        ({"name": "monna"}, ("name",), "there is no aggregation 'monna'"),
        ({"f": 1}, ("name",), "which aggregation"),
        (3, (), "a name or a mapping"),
        ({"name": "krum", "f": -1}, ("f",), "greater than or equal to 0"),
        ({"name": "krum", "g": 1}, ("g",), "not permitted"),
        ({"name": "median", "f": 1}, ("f",), "not permitted"),
        ({"name": "krum", "before": ["nmm"]}, ("before", 0, "name"), "did you mean 'nnm'"),
        ({"name": "krum", "before": [{"name": "clipping"}]}, ("before", 0, "radius"), "required"),
        ({"name": "median", "before": ["nnm"]}, (), "nnm needs f, since median has none"),
        ({"name": "median", "before": ["arc"]}, (), "arc needs f, since median has none"),
        ({"name": "geometric-median", "nu": 0}, ("nu",), "greater than 0"),
        ({"name": "centred-clipping", "radius": math.inf}, ("radius",), "finite"),
    ],
)
def test_what_is_wrong_is_said(given: object, path: tuple[str | int, ...], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as raised:
        Server.model_validate({"rule": given})
    assert [error["loc"] for error in raised.value.errors()] == [("rule", *path)]


def test_the_json_schema_knows_every_rule() -> None:
    def names(model: type[BaseModel]) -> set[str]:
        described = model.model_json_schema()["properties"]["rule"]["anyOf"]
        assert "$ref" not in str(described)
        return {option["properties"]["name"]["const"] for option in described if "properties" in option}

    assert names(Server) == set(aggregations)
    assert names(Gossiper) == set(aggregations) | set(gossip_rules)
    for kinds in (aggregations, gossip_rules, pre_aggregations):
        for kind in kinds.values():
            assert kind.__doc__
            assert all(field.description for field in kind.model_fields.values()), kind


FEWEST = {
    "krum": ("n > 2f \\+ 2", 7),
    "multi-krum": ("n > 2f \\+ 2", 7),
    "bulyan": ("n >= 4f \\+ 3", 11),
    "trimmed-mean": ("n > 2f", 5),
    "meamed": ("n > 2f", 5),
    "mda": ("n > 2f", 5),
    "smea": ("n > 2f", 5),
    "caf": ("n > 2f", 5),
    "monna": ("n > 2f", 5),
    "bridge": ("2f \\+ 1 neighbours", 6),
}


@pytest.mark.parametrize("name", FEWEST)
def test_too_few_vectors_for_so_many_lies(name: str) -> None:
    condition, fewest = FEWEST[name]
    rule = build_gossip_rule({"name": name, "f": 2})
    vectors = torch.from_numpy(generator().normal(size=(fewest, 3)))
    rule.update(vectors[0], vectors[1:])
    with pytest.raises(
        ValueError, match=rf"{name} with f = 2 needs at least {fewest} vectors \(.*{condition}"
    ):
        rule.update(vectors[0], vectors[1:-1])


def test_all_with_f_are_in_that_table() -> None:
    kinds = {**aggregations, **gossip_rules}
    assert {name for name, kind in kinds.items() if "f" in kind.model_fields} == set(FEWEST)


def test_other_conditions() -> None:
    vectors = torch.ones(6, 2)
    with pytest.raises(ValueError, match=r"nnm with f = 3 needs at least 7 vectors \(n > 2f\), got 6"):
        Mean(before=(NearestNeighbourMixing(f=3),))(vectors)
    with pytest.raises(ValueError, match="arc with f = 3 needs at least 7"):
        build_aggregation({"name": "mean", "before": [{"name": "arc", "f": 3}]})(vectors)
    with pytest.raises(ValueError, match=r"trimmed-mean with f = 2 needs at least 5 vectors .* got 3"):
        bucketed = build_aggregation({"name": "trimmed-mean", "f": 2, "before": ["bucketing"]})
        bucketed(vectors, Context(rng=generator()))
    with pytest.raises(ValueError, match="needs rng"):
        bucketed(vectors)
    with pytest.raises(ValueError, match="fltrust needs trusted in its context"):
        build_aggregation("fltrust")(vectors)
    with pytest.raises(ValueError, match="ubar needs loss in its context"):
        build_gossip_rule("ubar").update(vectors[0], vectors[1:])
    with pytest.raises(ValueError, match=r"mda tries all subsets .* 54,627,300 for n = 40 and f = 8"):
        aggregations["mda"](f=8)(torch.ones(40, 2))
    with pytest.raises(ValueError, match=r"combines a stack \[n, d\], got shape \(3,\)"):
        Mean()(torch.ones(3))
    with pytest.raises(ValueError, match=r"bridge needs own .* got \(2,\) and \(6, 3\)"):
        Bridge().update(torch.ones(2), torch.ones(6, 3))
    with pytest.raises(ValueError, match="multi-krum with f = 1 needs at least 9"):
        MultiKrum(f=1, m=9)(vectors)


BROKEN = [math.nan, math.inf, -math.inf]


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize("name", [*aggregations, *gossip_rules])
def test_broken_vectors_are_left_out(name: str, value: float) -> None:
    rng = generator(3)
    vectors = torch.from_numpy(rng.normal(size=(12, 4)))
    vectors[5, 1] = value
    vectors[9] = value
    known = Context(trusted=vectors[0], loss=lambda v: float(v.sum()))
    options = {"f": 2} if "f" in (aggregations | gossip_rules)[name].model_fields else {}
    rule = build_gossip_rule({"name": name, **options})
    answer = rule.update(vectors[0], vectors[1:], known)
    if name == "mean":  # no defence
        assert not bool(torch.isfinite(answer.vector).any())
        return
    whole = vectors[[0, 1, 2, 3, 4, 6, 7, 8, 10, 11]]
    fewer = build_gossip_rule({"name": name, **({"f": 0} if options else {})})
    torch.testing.assert_close(answer.vector, fewer.update(whole[0], whole[1:], known).vector)
    assert answer.kept is not None
    assert not answer.kept[5]
    assert not answer.kept[9]
    assert answer.flops == rule.flops(12, 4)
    if answer.weights is not None:
        assert answer.weights[[5, 9]].tolist() == [0.0, 0.0]


def test_when_all_are_broken() -> None:
    with pytest.raises(ValueError, match="got 3 vectors, and none of them is finite"):
        Median()(torch.full((3, 2), math.nan))
    alone = Monna(f=0).update(torch.ones(2), torch.full((1, 2), math.nan))
    assert alone.vector.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("given", "n", "d", "flops"),
    [
        ("mean", 10, 100, 1000),
        ("median", 8, 100, 2400),  # 8 x 3 comparisons
        ({"name": "trimmed-mean", "f": 2}, 8, 100, 2400 + 400),
        ({"name": "krum", "f": 2}, 10, 100, 45 * 3 * 100),  # 45 pairs: subtract, square, add
        ({"name": "multi-krum", "f": 2}, 10, 100, 45 * 3 * 100 + 800),
        ({"name": "geometric-median", "iterations": 3}, 10, 100, 1000 + 3 * 5000),
        ({"name": "centred-clipping", "iterations": 2}, 10, 100, 2 * 5000),
        ({"name": "mean", "before": [{"name": "bucketing", "size": 3}]}, 10, 100, 1000 + 400 + 400),
        ({"name": "mean", "before": [{"name": "nnm", "f": 2}]}, 10, 100, 45 * 300 + 20000 + 1000),
        ({"name": "monna", "f": 2}, 10, 100, 9 * 300 + 800),
        ("self-centred-clipping", 10, 100, 9 * 500),
        ({"name": "bridge", "f": 2}, 9, 100, 2400 + 500),
    ],
)
def test_flops(given: object, n: int, d: int, flops: float) -> None:
    rule = build_gossip_rule(given)
    assert rule.flops(n, d) == pytest.approx(flops)
    vectors = torch.from_numpy(generator().normal(size=(n, d)))
    assert rule.update(vectors[0], vectors[1:], Context(rng=generator())).flops == pytest.approx(flops)


@given(st.sampled_from([*aggregations, *gossip_rules]), st.integers(9, 20))
def test_cost_grows_with_d(name: str, n: int) -> None:
    rule = build_gossip_rule(name)
    assert 0 < rule.flops(n, 1e3) < rule.flops(n, 1e9)
    assert rule.flops(n, 2e9) == pytest.approx(2 * rule.flops(n, 1e9), rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rules_keep_the_type_and_their_inputs(dtype: torch.dtype) -> None:
    vectors = torch.from_numpy(generator().normal(size=(11, 4))).to(dtype)
    before = vectors.clone()
    for name in [*aggregations, *gossip_rules]:
        known = Context(trusted=vectors[0], loss=lambda v: float(v.sum()))
        answer = build_gossip_rule(name).update(vectors[0], vectors[1:], known)
        assert answer.vector.dtype == dtype
        assert answer.vector.shape == (4,)
        assert torch.equal(vectors, before)
    clipped = TrimmedMean(before=(pre_aggregations["arc"](), pre_aggregations["clipping"](radius=0.1)))
    assert clipped(vectors).dtype == dtype
    assert torch.equal(vectors, before)


def test_bulyan_says_whom_it_kept() -> None:
    vectors = torch.zeros(11, 2)
    vectors[-2:] = 50.0
    kept = Bulyan(f=2).combine(vectors + torch.arange(11.0).unsqueeze(1) * 1e-3).kept
    assert kept is not None
    assert int(kept.sum()) == 7
    assert not kept[-2:].any()
