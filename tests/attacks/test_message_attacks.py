"""Vectors that Byzantine nodes send: closed forms, and what each attack promises."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from simnet.aggregation import Bridge, Krum, Mean, SelfCentredClipping, TrimmedMean
from simnet.faults.attacks import (
    Alie,
    Constant,
    Dissensus,
    Equivocation,
    Gaussian,
    Honest,
    Ipm,
    Knowledge,
    MessageAttack,
    Mimic,
    MinMax,
    MinSum,
    NonFinite,
    OptimalAlie,
    OptimalIpm,
    Random,
    Receiver,
    SignFlip,
    View,
    Zero,
    alie_z,
    attacks,
    line_search,
    mimic_target,
)

ROWS = st.integers(0, 2**32 - 1)


def normal(seed: int, n: int = 8, d: int = 5) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, d)) * rng.uniform(0.3, 3.0, size=(n, 1)) + 1.0)


def all_seen(honest: Tensor, f: int = 2, **more: Any) -> View:
    return View.seen("all", honest[0], everyone=honest, nodes=len(honest) + f, byzantine=f, **more)


def close(first: Tensor, second: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(first, second, rtol=tolerance, atol=tolerance)


def test_simple_ones_by_hand() -> None:
    honest = torch.tensor([[1.0, 2.0], [3.0, -4.0]])
    view = all_seen(honest)
    assert Honest().craft(view).tolist() == [1.0, 2.0]
    assert Zero().craft(view).tolist() == [0.0, 0.0]
    assert Constant(value=-7.0).craft(view).tolist() == [-7.0, -7.0]
    assert SignFlip(scale=4.0, knowledge="all").craft(view).tolist() == [-8.0, 4.0]
    blind = View.seen("own", honest[0], everyone=honest, nodes=4, byzantine=2)
    assert SignFlip(scale=4.0).craft(blind).tolist() == [-4.0, -8.0]
    assert Ipm(scale=0.5).craft(view).tolist() == [-1.0, 0.5]
    # mu = (2, -1), sigma = (sqrt 2, sqrt 18) with m - 1 in the divisor
    close(Alie(z=1.0).craft(view), torch.tensor([2 - math.sqrt(2), -1 - math.sqrt(18)]), 1e-6)
    assert NonFinite(value="-inf").craft(view).tolist() == [-math.inf, -math.inf]
    assert bool(NonFinite(value="nan").craft(view).isnan().all())


def test_random_ones_have_their_moments() -> None:
    own = torch.full((40_000,), 2.0)
    view = View.seen("own", own, nodes=2, byzantine=1, rng=np.random.default_rng(5))
    noise = Gaussian(std=3.0).craft(view)
    assert abs(float(noise.mean())) < 4 * 3.0 / 200  # four standard errors
    assert float(noise.std()) == pytest.approx(3.0, rel=0.02)
    assert float(Gaussian(std=1.0, around="own").craft(view).mean()) == pytest.approx(2.0, abs=0.02)
    assert Gaussian(std=0.0, around="own").craft(view).tolist() == own.tolist()
    length = torch.linalg.vector_norm(own)
    assert float(Random().craft(view).norm()) == pytest.approx(float(length), rel=1e-5)
    assert float(Random(norm=0.25).craft(view).norm()) == pytest.approx(0.25, rel=1e-5)
    cosine = Random().craft(view) @ own / length**2
    assert abs(float(cosine)) < 4 / 200


def test_luck_is_the_view_s() -> None:
    own = torch.ones(6)

    def sent(seed: int) -> list[float]:
        view = View.seen("own", own, nodes=2, byzantine=1, rng=np.random.default_rng(seed))
        return Gaussian().craft(view).tolist()

    assert sent(1) == sent(1) != sent(2)


@pytest.mark.parametrize(
    ("knowledge", "known"), [("own", [[9.0], [8.0]]), ("peers", [[1.0]]), ("all", [[1.0], [2.0], [3.0]])]
)
def test_knowledge_is_what_is_seen(knowledge: Knowledge, known: list[list[float]]) -> None:
    view = View.seen(
        knowledge,
        torch.tensor([9.0]),
        nodes=5,
        byzantine=2,
        group=torch.tensor([[9.0], [8.0]]),
        peers=torch.tensor([[1.0]]),
        everyone=torch.tensor([[1.0], [2.0], [3.0]]),
        receiver=Receiver(rank=3, vector=torch.tensor([1.0])),
        warm_up=torch.zeros(2, 3, 1),
    )
    assert view.known.tolist() == known
    assert view.receiver.rank == 3
    assert (view.receiver.vector is None) == (knowledge == "own")
    assert (view.warm_up is None) == (knowledge != "all")


def test_a_spread_needs_two() -> None:
    alone = View.seen("own", torch.ones(3), nodes=10, byzantine=1)
    for attack in (Alie(), MinMax(), MinSum(), OptimalAlie(against=Mean())):
        with pytest.raises(ValueError, match=f"{attack.name} needs the spread of at least 2 .* sees 1"):
            attack.craft(alone)


@pytest.mark.parametrize(
    ("n", "f", "share"), [(50, 12, (50 - 12 - 14) / (50 - 12)), (20, 4, 9 / 16), (11, 5, 5 / 6)]
)
def test_deviations_of_alie(n: int, f: int, share: float) -> None:
    # The share of the normal distribution below z, by the error function.
    assert 0.5 * (1 + math.erf(alie_z(n, f) / math.sqrt(2))) == pytest.approx(share)


@pytest.mark.parametrize(("n", "f"), [(10, 0), (10, 6), (4, 3)])
def test_alie_without_anybody_to_win_over(n: int, f: int) -> None:
    with pytest.raises(ValueError, match=f"got n = {n} and f = {f}"):
        alie_z(n, f)


def largest_by_halving(fits: Any) -> float:
    """The paper's way to find the largest scale that fits."""
    scale, step = 0.0, 1e4
    while step > 1e-10:
        scale, step = (scale + step, step) if fits(scale + step) else (scale, step / 2)
    return scale


@pytest.mark.parametrize("direction", ["unit", "std", "sign"])
@given(seed=ROWS, n=st.integers(2, 9))
def test_min_max_is_as_far_as_it_may(direction: Any, seed: int, n: int) -> None:
    honest = normal(seed, n)
    sent = MinMax(direction=direction).craft(all_seen(honest))
    limit = float(torch.cdist(honest, honest).max())
    assert float((sent - honest).norm(dim=1).max()) <= limit * (1 + 1e-9)
    mean = honest.mean(dim=0)
    push = {"unit": -mean / mean.norm(), "std": -honest.std(dim=0), "sign": -mean.sign()}[direction]
    scale = largest_by_halving(lambda g: (mean + g * push - honest).norm(dim=1).max() <= limit)
    close(sent, mean + scale * push, 1e-6)


@pytest.mark.parametrize("direction", ["unit", "std", "sign"])
@given(seed=ROWS, n=st.integers(2, 9))
def test_min_sum_is_as_far_as_it_may(direction: Any, seed: int, n: int) -> None:
    honest = normal(seed, n)
    sent = MinSum(direction=direction).craft(all_seen(honest))
    limit = float(torch.cdist(honest, honest).square().sum(dim=1).max())
    mean = honest.mean(dim=0)
    push = {"unit": -mean / mean.norm(), "std": -honest.std(dim=0), "sign": -mean.sign()}[direction]
    scale = largest_by_halving(lambda g: (mean + g * push - honest).square().sum() <= limit)
    close(sent, mean + scale * push, 1e-6)


def test_agr_attacks_on_equal_vectors_do_nothing() -> None:
    honest = torch.ones(4, 3)
    for attack in (MinMax(), MinSum(), Alie(z=3.0)):
        assert attack.craft(all_seen(honest)).tolist() == [1.0, 1.0, 1.0]


@given(seed=ROWS)
def test_optimal_scale_beats_the_plain_ones(seed: int) -> None:
    honest = normal(seed)
    mean = honest.mean(dim=0)
    for rule in (TrimmedMean(f=2), Krum(f=2)):

        def moved(vector: Tensor, rule: TrimmedMean | Krum = rule) -> float:
            return float((rule(torch.cat([honest, vector.expand(2, -1)])) - mean).norm())

        search = {"against": rule, "start": 0.5, "step": 1.0}
        found = OptimalAlie(**search).craft(all_seen(honest))
        assert moved(found) >= moved(Alie(z=0.5).craft(all_seen(honest))) * (1 - 1e-9)
        assert moved(found) >= moved(Alie(z=1.5).craft(all_seen(honest))) * (1 - 1e-9)
        found = OptimalIpm(**search).craft(all_seen(honest))
        assert moved(found) >= moved(Ipm(scale=0.5).craft(all_seen(honest))) * (1 - 1e-9)


def test_the_search_goes_where_values_grow() -> None:
    asked: list[float] = []

    def hill(x: float) -> float:
        asked.append(x)
        return -abs(x - 100.0)

    best = line_search(hill, 0.0, 10.0, 0.8, 40)
    assert asked[:5] == [0.0, 10.0, 30.0, 70.0, 150.0]
    assert best == max(asked, key=lambda x: -abs(x - 100.0)) == pytest.approx(121.2)  # it never turns back
    assert len(asked) == 40
    assert line_search(lambda x: 1.0, 3.0, 1.0, 0.8, 20) == 3.0  # a plateau: nothing gained, nothing moved


def test_what_the_search_cannot_know() -> None:
    with pytest.raises(ValueError, match="fltrust needs trusted, which an attacker has not"):
        OptimalIpm.model_validate({"against": "fltrust"})


def test_mimic_copies() -> None:
    honest = normal(3)
    assert torch.equal(Mimic(worker=4).craft(all_seen(honest)), honest[4])
    with pytest.raises(ValueError, match="copies worker 8, but sees only 8"):
        Mimic(worker=8).craft(all_seen(honest))
    # Along (1, 0, 0) they differ most; over all rounds, the second is furthest out there.
    rounds = torch.tensor(
        [
            [[1.0, 0.1, 0.0], [9.0, 0.0, 0.1], [-8.0, 0.1, 0.0]],
            [[1.0, 0.0, 0.1], [9.0, 0.1, 0.0], [-5.0, 0.0, 0.0]],
        ]
    )
    assert mimic_target(rounds) == 1
    view = all_seen(rounds[1], warm_up=rounds)
    assert torch.equal(Mimic().craft(view), rounds[1, 1])
    assert mimic_target(rounds[:, [2, 1, 0]]) == 1
    assert mimic_target(rounds[:, [1, 2, 0]]) == 0


def gossip(own: Tensor, others: Tensor, mixing: Tensor) -> Tensor:
    return own + mixing @ (others - own)


@given(seed=ROWS, scale=st.sampled_from([1.0, 1.5, 4.0]), byzantine=st.integers(1, 3))
def test_dissensus_undoes_gossip(seed: int, scale: float, byzantine: int) -> None:
    vectors = normal(seed)
    own, others = vectors[0], vectors[1:]
    weights = torch.from_numpy(np.random.default_rng(seed).dirichlet(np.ones(len(others) + byzantine + 1)))
    honest, bad = weights[: len(others)], weights[len(others) : -1]
    to = Receiver(rank=0, vector=own, neighbours=others, mixing=honest, byzantine_mixing=float(bad.sum()))
    sent = Dissensus(scale=scale).craft(all_seen(others, byzantine, receiver=to))
    everyone = torch.cat([others, sent.expand(byzantine, -1)])
    without = gossip(own, others, honest) - own
    close(gossip(own, everyone, torch.cat([honest, bad])), own + (1 - scale) * without, 1e-7)


def test_dissensus_with_equal_weights() -> None:
    own, others = torch.zeros(1), torch.tensor([[1.0], [3.0]])
    view = all_seen(others, 2, receiver=Receiver(vector=own, neighbours=others))
    sent = Dissensus(scale=1.0).craft(view)
    assert sent.tolist() == [-2.0]  # twice this takes away 1 + 3
    assert Mean().update(own, torch.cat([others, sent.expand(2, -1)])).vector.tolist() == [0.0]


def test_dissensus_on_a_ring_and_who_withstands() -> None:
    # Eight honest nodes on a ring, and two Byzantine neighbours of each: plain gossip never agrees.
    start = normal(11, 8, 3)

    def spread_after(rule: Any) -> float:
        vectors = start.clone()
        for _ in range(30):
            new = []
            for i in range(8):
                others = vectors[[(i + s) % 8 for s in (-2, -1, 1, 2, 3)]]
                to = Receiver(rank=i, vector=vectors[i], neighbours=others)
                lies = Dissensus(scale=1.5).craft(all_seen(others, 2, receiver=to)).expand(2, -1)
                new.append(rule.update(vectors[i], torch.cat([others, lies])).vector)
            vectors = torch.stack(new)
        return float((vectors - vectors.mean(dim=0)).norm())

    before = float((start - start.mean(dim=0)).norm())
    assert spread_after(Mean()) > 5 * before
    assert spread_after(SelfCentredClipping(delta=0.25)) < 0.5 * before
    assert spread_after(Bridge(f=2)) < 0.01 * before


def test_dissensus_needs_its_receiver() -> None:
    others = normal(1)
    with pytest.raises(ValueError, match="needs the receiver's vector"):
        Dissensus().craft(all_seen(others, receiver=Receiver(rank=1)))
    to = Receiver(vector=others[0], neighbours=others[1:], mixing=torch.full((7,), 0.1).double())
    with pytest.raises(ValueError, match="mixing weight of the receiver's Byzantine"):
        Dissensus().craft(all_seen(others, receiver=to))


def test_equivocation_has_a_face_for_each() -> None:
    honest = normal(2)
    attack = Equivocation(faces=(Honest(), SignFlip(), Zero()))

    def sent(rank: int) -> Tensor:
        view = View.seen(attack.sees, honest[0], nodes=4, byzantine=1, receiver=Receiver(rank=rank))
        return attack.craft(view)

    assert torch.equal(sent(0), honest[0])
    assert torch.equal(sent(4), -honest[0])
    assert not sent(2).any()
    assert attack.sees == "own"
    assert Equivocation(faces=(Honest(), Ipm(knowledge="peers"))).sees == "peers"
    assert Equivocation(faces=(Alie(), Ipm(knowledge="peers"))).sees == "all"
    with pytest.raises(ValueError, match="two faces or more, got 1"):
        Equivocation(faces=(Honest(),))


MESSAGES = sorted(name for name, kind in attacks.items() if issubclass(kind, MessageAttack))


@pytest.mark.parametrize("name", MESSAGES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shape_and_type_are_the_honest_ones(name: str, dtype: torch.dtype) -> None:
    honest = normal(7).to(dtype)
    options = {"against": "median"} if "against" in attacks[name].model_fields else {}
    attack = attacks[name].model_validate(options)
    assert isinstance(attack, MessageAttack)
    to = Receiver(rank=1, vector=honest[1], neighbours=honest[2:])
    before = honest.clone()
    sent = attack.craft(all_seen(honest, receiver=to))
    assert sent.shape == honest[0].shape
    assert sent.dtype == dtype
    assert torch.equal(honest, before)


@given(seed=ROWS, f=st.integers(1, 3))
def test_alie_hides_among_the_honest(seed: int, f: int) -> None:
    # With the z of the paper the lie lies inside of the honest range in most coordinates, so a median and a
    # trimmed mean cannot tell it; with z = 10 it does not.
    honest = normal(seed, 12, 200)
    assume(f < 6)
    sent = Alie().craft(all_seen(honest, f))
    inside = (sent >= honest.amin(dim=0)) & (sent <= honest.amax(dim=0))
    assert float(inside.double().mean()) > 0.9
    far = Alie(z=10.0).craft(all_seen(honest, f))
    assert not bool((far >= honest.amin(dim=0)).any())
