"""What must not change a rule's answer, and settings in which two rules are one."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stacks import Stack, generator, stacks
from torch import Tensor

from simnet.aggregation import (
    AdaptiveRobustClipping,
    Aggregation,
    Bridge,
    Bucketing,
    Bulyan,
    CentredClipping,
    Clipping,
    Context,
    CovarianceFilter,
    FLTrust,
    GeometricMedian,
    GossipRule,
    Krum,
    Meamed,
    Mean,
    Median,
    MinimumDiameter,
    Monna,
    MultiKrum,
    NearestNeighbourMixing,
    SelfCentredClipping,
    SignVote,
    SmallestEigenvalue,
    TrimmedMean,
    Ubar,
)

ROWS = st.integers(0, 2**32 - 1)

SYMMETRIC: list[Aggregation] = [
    Mean(),
    Median(),
    TrimmedMean(f=2),
    Meamed(f=2),
    Krum(f=2),
    MultiKrum(f=2),
    MultiKrum(f=2, m=3),
    Bulyan(f=2),
    GeometricMedian(),
    MinimumDiameter(f=2),
    SmallestEigenvalue(f=2),
    CovarianceFilter(f=2),
    CentredClipping(radius=1.0, iterations=2),
    SignVote(),
    FLTrust(),
    Krum(f=2, before=(NearestNeighbourMixing(),)),
    TrimmedMean(f=2, before=(AdaptiveRobustClipping(), NearestNeighbourMixing())),
]
GOSSIP: list[GossipRule] = [
    SelfCentredClipping(),
    SelfCentredClipping(radius=0.7),
    Bridge(f=2),
    Monna(f=2),
    Ubar(),
    *SYMMETRIC,
]


def normal(seed: int, n: int = 11, d: int = 5) -> Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.normal(size=(n, d)) * rng.uniform(0.3, 3.0, size=(n, 1)) + 1.0)


def context(shift: float = 0.0) -> Context:
    trusted = torch.arange(1.0, 6.0, dtype=torch.float64)
    return Context(
        centre=torch.full((5,), shift, dtype=torch.float64),
        trusted=trusted,
        loss=lambda v: float((v - shift).square().sum()),
    )


def close(first: Tensor, second: Tensor, tolerance: float = 1e-9) -> None:
    torch.testing.assert_close(first, second, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("rule", SYMMETRIC, ids=repr)
@given(seed=ROWS)
def test_order_does_not_matter(rule: Aggregation, seed: int) -> None:
    vectors = normal(seed)
    order = torch.from_numpy(generator(seed).permutation(len(vectors)))
    plain, moved = rule.combine(vectors, context()), rule.combine(vectors[order], context())
    close(moved.vector, plain.vector)
    if plain.weights is not None and moved.weights is not None:
        close(moved.weights, plain.weights[order])
    if plain.kept is not None and moved.kept is not None:
        assert moved.kept.tolist() == plain.kept[order].tolist()


@pytest.mark.parametrize("rule", GOSSIP, ids=repr)
@given(seed=ROWS)
def test_order_of_neighbours_does_not_matter(rule: GossipRule, seed: int) -> None:
    vectors = normal(seed)
    order = torch.from_numpy(generator(seed).permutation(len(vectors) - 1)) + 1
    plain = rule.update(vectors[0], vectors[1:], context())
    close(rule.update(vectors[0], vectors[order], context()).vector, plain.vector)


NOT_TRANSLATED = ("sign-vote", "fltrust")


@pytest.mark.parametrize("rule", GOSSIP, ids=repr)
@given(seed=ROWS, shift=st.sampled_from([-3.0, 0.5, 40.0]))
def test_where_zero_is_does_not_matter(rule: GossipRule, seed: int, shift: float) -> None:
    if rule.name in NOT_TRANSLATED or "AdaptiveRobustClipping" in repr(rule):
        return  # directions and norms are seen from zero
    vectors = normal(seed)
    plain = rule.update(vectors[0], vectors[1:], context())
    moved = rule.update(vectors[0] + shift, vectors[1:] + shift, context(shift))
    close(moved.vector, plain.vector + shift)
    if plain.weights is not None and moved.weights is not None:
        close(moved.weights, plain.weights)


@pytest.mark.parametrize("rule", GOSSIP, ids=repr)
@given(seed=ROWS)
def test_weights_make_the_vector(rule: GossipRule, seed: int) -> None:
    vectors = normal(seed)
    known = context()
    answer = rule.update(vectors[0], vectors[1:], known)
    if answer.weights is None:
        assert rule.name in ("median", "trimmed-mean", "meamed", "bulyan", "sign-vote", "bridge")
        return
    made = answer.weights @ vectors
    if rule.name == "centred-clipping":
        assert known.centre is not None
        made = made + (1.0 - answer.weights.sum()) * known.centre
    close(made, answer.vector)


@pytest.mark.parametrize("rule", GOSSIP, ids=repr)
def test_stacks_side_by_side(rule: GossipRule) -> None:
    many = torch.stack([normal(seed) for seed in range(6)]).reshape(2, 3, 11, 5)
    many[1, 2, 4, 0] = math.nan  # one broken vector: a fewer f for that stack, and no change for the others
    if rule.name == "mean":
        many = torch.nan_to_num(many)
    together = rule.update(many[..., 0, :], many[..., 1:, :], context())
    assert together.vector.shape == (2, 3, 5)
    for i, j in itertools.product(range(2), range(3)):
        alone = rule.update(many[i, j, 0], many[i, j, 1:], context())
        close(together.vector[i, j], alone.vector)
        assert together.flops == alone.flops
        if alone.weights is not None and together.weights is not None:
            close(together.weights[i, j], alone.weights)
        if alone.kept is not None and together.kept is not None:
            assert together.kept[i, j].tolist() == alone.kept.tolist()


@given(seed=ROWS, n=st.integers(3, 9))
def test_without_lies_assumed_it_is_the_mean(seed: int, n: int) -> None:
    vectors = normal(seed, n)
    mean = vectors.mean(dim=0)
    for rule in (
        TrimmedMean(f=0),
        Meamed(f=0),
        MultiKrum(f=0),
        Bulyan(f=0),
        MinimumDiameter(f=0),
        SmallestEigenvalue(f=0),
        CovarianceFilter(f=0),
        CentredClipping(radius=1e9),
        Median(before=(NearestNeighbourMixing(f=0),)),
        Krum(f=0, before=(NearestNeighbourMixing(),)),
        Mean(before=(AdaptiveRobustClipping(f=0), Clipping(radius=1e9))),
        Mean(before=(Bucketing(size=1),)),
        Median(before=(Bucketing(size=n),)),
    ):
        close(rule(vectors, Context(rng=generator(seed))), mean)
    for gossip in (Monna(f=0), Bridge(f=0), SelfCentredClipping(radius=1e9), Ubar(rho=1.0, alpha=1 / n)):
        close(gossip.update(vectors[0], vectors[1:], Context(loss=lambda v: 0.0)).vector, mean)


@given(seed=ROWS, n=st.integers(1, 9))
def test_trimming_all_it_can_is_the_median(seed: int, n: int) -> None:
    vectors = normal(seed, n)
    close(TrimmedMean(f=(n - 1) // 2)(vectors), Median()(vectors))
    close(Median()(vectors), torch.from_numpy(np.median(vectors.numpy(), axis=0)))


@given(seed=ROWS)
def test_one_of_multi_krum_is_krum(seed: int) -> None:
    vectors = normal(seed)
    close(MultiKrum(f=3, m=1)(vectors), Krum(f=3)(vectors))


def test_of_vectors_that_are_all_one() -> None:
    one = torch.tensor([3.0, -1.0, 0.0, 2.0, 5.0], dtype=torch.float64)
    for rule in SYMMETRIC:
        if rule.name not in NOT_TRANSLATED:
            known = Context(centre=one)
            close(rule(one.expand(11, -1), known), one)
    close(SignVote()(one.expand(11, -1)), torch.sign(one))
    close(FLTrust()(7.0 * one.expand(11, -1), Context(trusted=one)), one)


@given(seed=ROWS, half=st.integers(1, 5))
def test_geometric_median_on_a_line_is_the_median(seed: int, half: int) -> None:
    line = normal(seed, 2 * half + 1, 1)
    answer = GeometricMedian(iterations=3000, nu=1e-12)(line)
    close(answer, Median()(line), 2e-3)


@given(stacks((2, 1)))
def test_geometric_median_is_where_pulls_balance(stack: Stack) -> None:
    # At the minimum of the sum of distances the unit vectors to all points sum to 0, or to at most the number
    # of points that it sits on; and no step along a coordinate makes the sum of distances smaller.
    point = GeometricMedian(iterations=2000, nu=1e-12)(stack.vectors)

    def distances(at: Tensor) -> float:
        return float(torch.linalg.vector_norm(stack.vectors - at, dim=1).sum())

    least = distances(point)
    size = float(stack.honest.std(dim=0, correction=0).max()) + 1e-6
    for step in (0.1, 1.0):
        for axis in torch.eye(stack.vectors.shape[1], dtype=torch.float64):
            for sign in (-1.0, 1.0):
                assert distances(point + sign * step * size * axis) >= least * (1 - 1e-6)


@given(stacks((2, 1), most=8))
def test_minimum_diameter_on_a_line_is_the_shortest_interval(stack: Stack) -> None:
    line = stack.vectors[:, :1]
    n, k = len(line), len(line) - stack.f
    ordered = np.sort(line.numpy()[:, 0])
    widths = [ordered[i + k - 1] - ordered[i] for i in range(n - k + 1)]
    answer = float(MinimumDiameter(f=stack.f)(line)[0])
    means = [ordered[i : i + k].mean() for i, width in enumerate(widths) if width <= min(widths) + 1e-9]
    assert min(abs(answer - mean) for mean in means) <= 1e-6 * (1 + abs(answer))


def filtered_by_covariances(vectors: np.ndarray, f: int) -> np.ndarray:
    """CAF once more, with covariance matrices as the paper writes them."""
    left = np.ones(len(vectors))
    best, smallest = vectors.mean(axis=0), np.inf
    while left.sum() > len(vectors) - 2 * f:
        mean = left @ vectors / left.sum()
        covariance = (vectors - mean).T @ np.diag(left) @ (vectors - mean) / left.sum()
        values, directions = np.linalg.eigh(covariance)
        if values[-1] < smallest:
            best, smallest = mean, values[-1]
        out = np.where(left > 0, ((vectors - mean) @ directions[:, -1]) ** 2, 0.0)
        left = left * (1 - out / out.max())
    return best


@given(seed=ROWS, f=st.integers(1, 4), size=st.sampled_from([1.0, 30.0]))
def test_caf_from_inner_products_is_caf_from_covariances(seed: int, f: int, size: float) -> None:
    vectors = normal(seed)
    vectors[-f:] += size
    answer = torch.from_numpy(filtered_by_covariances(vectors.numpy(), f))
    close(CovarianceFilter(f=f)(vectors), answer, 1e-6)


@pytest.mark.parametrize("rule", [CovarianceFilter(f=2), SmallestEigenvalue(f=2), MinimumDiameter(f=2)])
def test_huge_lies_leave_digits_for_the_others(rule: Aggregation) -> None:
    vectors = normal(5).float()
    vectors[-2:] = torch.tensor([1e18, -3e18, 2e18, 0.0, 1e18])
    answer = rule(vectors)
    assert bool(torch.isfinite(answer).all())
    honest = vectors[:-2]
    assert float((answer - honest.mean(dim=0)).norm()) <= float(honest.std(dim=0).norm())


def test_trust_by_hand() -> None:
    trusted = torch.tensor([2.0, 0.0])
    vectors = torch.tensor([[5.0, 0.0], [0.0, 3.0], [-1.0, 0.0], [1.0, 1.0]])
    answer = FLTrust().combine(vectors, Context(trusted=trusted))
    half = math.sqrt(0.5)  # cosines are 1, 0, -1 and this
    expected = (1.0 * torch.tensor([2.0, 0.0]) + half * torch.tensor([2 * half, 2 * half])) / (1 + half)
    close(answer.vector, expected, 1e-6)
    assert answer.kept is not None
    assert answer.kept.tolist() == [True, False, False, True]
    nobody = FLTrust().combine(-vectors[:1], Context(trusted=trusted))
    assert nobody.vector.tolist() == [2.0, 0.0]
    zeros = FLTrust().combine(torch.zeros(2, 2), Context(trusted=trusted))
    assert zeros.vector.tolist() == [2.0, 0.0]


def test_majority_by_hand() -> None:
    vectors = torch.tensor([[1.0, -2.0, 0.0], [9.0, 3.0, 0.0], [-1.0, -4.0, 5.0], [1.0, 1.0, -5.0]])
    assert SignVote()(vectors).tolist() == [1.0, 0.0, 0.0]


def test_radius_of_self_centred_clipping_by_hand() -> None:
    own = torch.zeros(1, dtype=torch.float64)
    others = torch.tensor([[1.0], [2.0], [-100.0], [3.0]], dtype=torch.float64)
    # Weights 1/5; the furthest is left out for delta = 0.2: r^2 = (1 + 4 + 9) / 5 / 0.2 = 14.
    answer = SelfCentredClipping(delta=0.2).update(own, others)
    assert float(answer.vector) == pytest.approx((1 + 2 - math.sqrt(14) + 3) / 5)
    mixing = torch.tensor([0.1, 0.2, 0.3, 0.1], dtype=torch.float64)
    # 0.3 is left out for delta = 0.35, and 0.1 for 3 fits no more: r^2 = (0.1 + 0.8 + 0.9) / 0.35.
    answer = SelfCentredClipping(delta=0.35).update(own, others, Context(mixing=mixing))
    radius = math.sqrt(1.8 / 0.35)
    assert float(answer.vector) == pytest.approx(0.1 + 0.4 - 0.3 * radius + 0.1 * min(3.0, radius))
    assert SelfCentredClipping().update(own, others[:0]).vector.tolist() == [0.0]


def test_ubar_by_hand() -> None:
    own = torch.tensor([0.0])
    others = torch.tensor([[1.0], [-2.0], [3.0], [50.0], [-4.0]])
    asked: list[float] = []

    def loss(vector: Tensor) -> float:
        asked.append(float(vector))
        return (float(vector) - 10.0) ** 2

    answer = Ubar(rho=0.6, alpha=0.5).update(own, others, Context(loss=loss))
    # The three nearest are 1, -2 and 3; of these 1 and 3 are better than 0.
    assert asked == [1.0, -2.0, 3.0, 0.0]
    assert answer.loss_evaluations == 4
    assert float(answer.vector) == 0.5 * 0.0 + 0.5 * 2.0
    assert answer.kept is not None
    assert answer.kept.tolist() == [True, True, False, True, False, False]
    nobody = Ubar(rho=0.6).update(torch.tensor([10.0]), others, Context(loss=loss))
    assert float(nobody.vector) == 0.5 * 10.0 + 0.5 * 3.0  # the least loss of 3, 1 and -2
