"""Resilience by definition: `|Agg(V) - mean of honest|^2 <= kappa * variance of honest`.

(f, kappa)-robustness and the kappas of the trimmed mean, Krum, the medians and of mixing are from Allouah et
al., "Fixing by Mixing" (AISTATS 2023); that of SMEA is from "On the Privacy-Robustness-Utility Trilemma in
Distributed Learning" (ICML 2023), that of ARC from arXiv:2405.14432. Krum's is for `n - f - 1` neighbours in a
score. The bounds of the other forms are derived where they stand.
"""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from stacks import Stack, stacks

from simnet.aggregation import (
    AdaptiveRobustClipping,
    Aggregation,
    Bridge,
    Bulyan,
    CentredClipping,
    Context,
    GeometricMedian,
    Krum,
    Meamed,
    Mean,
    Median,
    MinimumDiameter,
    Monna,
    MultiKrum,
    NearestNeighbourMixing,
    PreAggregation,
    SelfCentredClipping,
    SmallestEigenvalue,
    TrimmedMean,
)

Kappa = Callable[[int, int], float]


def of_trimmed_mean(n: int, f: int) -> float:
    return 6 * f / (n - 2 * f) * (1 + f / (n - 2 * f))


def of_median(n: int, f: int) -> float:
    return 4 * (1 + f / (n - 2 * f)) ** 2


def of_krum(n: int, f: int) -> float:
    return 6 * (1 + f / (n - 2 * f))


def of_krum_as_published_first(n: int, f: int) -> float:
    # The proof for n - f - 1 neighbours, with n - 2f - 1 honest vectors among the n - f - 1 nearest (itself
    # counted) in place of n - 2f.
    return 6 * (n - f) / (n - 2 * f - 1)


def of_meamed(n: int, f: int) -> float:
    # Kept K and honest S have n - f members each, so mean(K) - mean(S) is 1 / (n - f) times a sum over at
    # most f pairs b - s, b in K but not S, s in S but not K; b is no further from the median m than s, so
    # that |b - s| <= 2 |s - m| <= 2 |s - mu| + 2 |m - mu|. Square, and use the median's bound for |m - mu|.
    share = f / (n - f)
    return 8 * share * (1 + share * of_median(n, f))


def of_smea(n: int, f: int) -> float:
    return 4 * f / (n - f) * (1 + f / (n - 2 * f)) ** 2


def geometric_median(f: int) -> Aggregation:
    return GeometricMedian(iterations=400, nu=1e-9)


CASES: dict[str, tuple[Callable[[int], Aggregation], Kappa, tuple[int, int]]] = {
    "trimmed-mean": (lambda f: TrimmedMean(f=f), of_trimmed_mean, (2, 1)),
    "median": (lambda f: Median(), of_median, (2, 1)),
    "geometric-median": (geometric_median, of_median, (2, 1)),
    "meamed": (lambda f: Meamed(f=f), of_meamed, (2, 1)),
    "krum": (lambda f: Krum(f=f, nearest="n-f-1"), of_krum, (2, 3)),
    "krum, n-f-2": (lambda f: Krum(f=f), of_krum_as_published_first, (2, 3)),
    # The mean of n - f vectors whose scores sum to no more than the honest ones' do: Jensen, then as for Krum.
    "multi-krum": (lambda f: MultiKrum(f=f, nearest="n-f-1"), of_krum, (2, 3)),
    "multi-krum, n-f-2": (lambda f: MultiKrum(f=f), of_krum_as_published_first, (2, 3)),
    "smea": (lambda f: SmallestEigenvalue(f=f), of_smea, (2, 1)),
}


def error_and_variance(answer: torch.Tensor, stack: Stack) -> tuple[float, float]:
    mean = stack.honest.mean(dim=0)
    variance = (stack.honest - mean).square().sum(dim=1).mean()
    return float((answer - mean).square().sum()), float(variance)


def within(error: float, bound: float, stack: Stack) -> bool:
    """With room for the rounding of float64 at the size of these numbers."""
    return error <= bound * (1 + 1e-9) + 1e-18 * float(stack.vectors.abs().max()) ** 2


@pytest.mark.parametrize("name", CASES)
def test_published_kappa(name: str) -> None:
    make, kappa, fewest = CASES[name]

    @given(stacks(fewest))
    def holds(stack: Stack) -> None:
        error, variance = error_and_variance(make(stack.f)(stack.vectors), stack)
        assert within(error, kappa(len(stack.vectors), stack.f) * variance, stack)

    holds()


@pytest.mark.parametrize("name", ["trimmed-mean", "median", "geometric-median", "krum", "multi-krum"])
def test_mixing_first(name: str) -> None:
    make, kappa, fewest = CASES[name]

    @given(stacks(fewest))
    def holds(stack: Stack) -> None:
        before: tuple[PreAggregation, ...] = (NearestNeighbourMixing(f=stack.f),)
        rule = make(stack.f).model_copy(update={"before": before})
        error, variance = error_and_variance(rule(stack.vectors), stack)
        n, f = len(stack.vectors), stack.f
        assert within(error, 8 * f / (n - f) * (kappa(n, f) + 1) * variance, stack)

    holds()


@pytest.mark.parametrize("name", ["trimmed-mean", "median", "geometric-median", "krum", "multi-krum"])
def test_adaptive_clipping_first(name: str) -> None:
    make, kappa, fewest = CASES[name]

    @given(stacks(fewest))
    def holds(stack: Stack) -> None:
        n, f = len(stack.vectors), stack.f
        rule = make(f).model_copy(update={"before": (AdaptiveRobustClipping(f=f),)})
        error, variance = error_and_variance(rule(stack.vectors), stack)
        assert within(error, (kappa(n, f) + 2 * f / (n - 2 * f)) * variance, stack)
        clipped = AdaptiveRobustClipping().mix(stack.vectors, f).vectors
        longest = torch.linalg.vector_norm(stack.honest, dim=1).max()
        assert torch.linalg.vector_norm(clipped, dim=1).max() <= longest * (1 + 1e-9) + 1e-9

    holds()


@given(stacks((2, 1)))
def test_mixing_brings_the_honest_together(stack: Stack) -> None:
    # Lemma of "Fixing by Mixing": variance of the mixed plus squared bias of their mean.
    n, f = len(stack.vectors), stack.f
    mixed = NearestNeighbourMixing(f=f).mix(stack.vectors).vectors[: n - f]
    bias, variance = error_and_variance(mixed.mean(dim=0), stack)
    left = float((mixed - mixed.mean(dim=0)).square().sum(dim=1).mean())
    assert within(left + bias, 8 * f / (n - f) * variance, stack)


@given(stacks((2, 1)))
def test_monna_is_the_same_lemma_node_by_node(stack: Stack) -> None:
    n, f = len(stack.vectors), stack.f
    errors = []
    for node in range(n - f):
        others = torch.cat([stack.vectors[:node], stack.vectors[node + 1 :]])
        answer = Monna(f=f).update(stack.vectors[node], others).vector
        error, variance = error_and_variance(answer, stack)
        errors.append(error)
    assert within(sum(errors) / (n - f), 8 * f / (n - f) * variance, stack)


@given(stacks((2, 1), most=9))
def test_minimum_diameter_by_the_honest_diameter(stack: Stack) -> None:
    # Resilient averaging: |MDA - mean of honest| <= 2f / (n - f) * honest diameter (Farhadkhani et al., 2022).
    n, f = len(stack.vectors), stack.f
    error, _ = error_and_variance(MinimumDiameter(f=f)(stack.vectors), stack)
    diameter = float(torch.cdist(stack.honest, stack.honest).max())
    assert within(error, (2 * f / (n - f) * diameter) ** 2, stack)


@given(stacks((2, 1)))
def test_order_statistics_stay_among_the_honest(stack: Stack) -> None:
    low, high = stack.honest.amin(dim=0) - 1e-9, stack.honest.amax(dim=0) + 1e-9
    for rule in (Median(), TrimmedMean(f=stack.f)):
        answer = rule(stack.vectors)
        assert bool(((answer >= low) & (answer <= high)).all())


@given(stacks((4, 3), most=13))
def test_bulyan_stays_near_the_honest_in_every_coordinate(stack: Stack) -> None:
    # The median of the chosen is among the honest, and n - 3f honest ones are chosen: no kept value is further
    # from the median than some honest one, so none is further out than the honest range on either side.
    low, high = stack.honest.amin(dim=0), stack.honest.amax(dim=0)
    answer = Bulyan(f=stack.f)(stack.vectors)
    assert bool((answer >= low - (high - low) - 1e-9).all())
    assert bool((answer <= high + (high - low) + 1e-9).all())


@given(stacks((2, 2)))
def test_bridge_stays_among_the_honest(stack: Stack) -> None:
    low, high = stack.honest.amin(dim=0) - 1e-9, stack.honest.amax(dim=0) + 1e-9
    answer = Bridge(f=stack.f).update(stack.vectors[0], stack.vectors[1:]).vector
    assert bool(((answer >= low) & (answer <= high)).all())


@given(stacks((2, 1)))
def test_clipping_bounds_the_way(stack: Stack) -> None:
    centre = stack.honest[0]
    for steps in (1, 3):
        rule = CentredClipping(radius=0.5, iterations=steps)
        moved = rule(stack.vectors, context(centre)) - centre
        assert float(torch.linalg.vector_norm(moved)) <= 0.5 * steps + 1e-9
    own, others = stack.vectors[0], stack.vectors[1:]
    moved = SelfCentredClipping(radius=0.5).update(own, others).vector - own
    assert float(torch.linalg.vector_norm(moved)) <= 0.5 * len(others) / (len(others) + 1) + 1e-9


def context(centre: torch.Tensor) -> Context:
    return Context(centre=centre)


def test_one_lie_moves_the_mean_anywhere() -> None:
    vectors = torch.zeros(10, 3, dtype=torch.float64)
    vectors[-1] = 1e9
    assert float(Mean()(vectors)[0]) == pytest.approx(1e8)
    assert not TrimmedMean(f=1)(vectors).any()
