"""Intervals, paired tests and Holm's adjustment against closed forms, scipy and their definitions."""

from itertools import combinations
from math import inf, isclose, nan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from simnet_analysis.statistics import LEVEL, compare, holm, mean_interval

VALUES = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 6)), min_size=3, max_size=8)
P_VALUES = st.lists(st.floats(0, 1), max_size=8)


def test_two_values_have_the_interval_of_the_cauchy_distribution():
    # One degree of freedom: the 97.5 % quantile is tan(pi (0.975 - 0.5)), and s / sqrt(2) = |a - b| / 2.
    found = mean_interval([1.0, 3.0])
    half = np.tan(np.pi * 0.475)
    assert (found.mean, found.count) == (2.0, 2)
    assert isclose(found.high - 2.0, half)
    assert isclose(2.0 - found.low, half)


def test_three_values_by_the_closed_form_of_two_degrees_of_freedom():
    # The quantile of t with two degrees of freedom is (2 q - 1) / sqrt(2 q (1 - q)); s is 1 here.
    quantile = (2 * 0.975 - 1) / sqrt(2 * 0.975 * 0.025)
    found = mean_interval([1.0, 2.0, 3.0])
    assert isclose(found.high - found.mean, quantile / sqrt(3))


@given(VALUES)
def test_intervals_equal_scipys(values):
    found = mean_interval(values)
    if np.std(values) < 1e-9:
        return
    expected = stats.t.interval(1 - LEVEL, len(values) - 1, np.mean(values), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_one_value_has_no_interval():
    found = mean_interval([4.0])
    assert (found.low, found.high, found.count) == (4.0, 4.0, 1)


@pytest.mark.parametrize("values", [[], [1.0, inf], [nan]])
def test_what_is_not_finite_has_no_interval(values):
    with pytest.raises(ValueError, match="finite"):
        mean_interval(values)


def test_intervals_cover_the_mean_as_often_as_they_say():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(2000):
        found = mean_interval(rng.normal(7.0, 2.0, size=5).tolist())
        covered += found.low <= 7.0 <= found.high
    assert abs(covered / 2000 - 0.95) < 4 * sqrt(0.95 * 0.05 / 2000)


@given(st.lists(st.tuples(st.integers(-500, 500), st.integers(-500, 500)), min_size=3, max_size=8))
def test_a_pair_equals_scipys_paired_test(pairs):
    a, b = np.array(pairs, dtype=float).T
    (found,) = compare({"a": dict(enumerate(a)), "b": dict(enumerate(b))})
    if np.std(a - b) == 0:
        assert (found.p, found.untested) == (None, "same in every seed")
        return
    expected = stats.ttest_rel(a, b)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    interval = expected.confidence_interval(1 - LEVEL)
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(interval), rel=1e-6)
    assert found.p_adjusted == found.p  # one test is not adjusted


def test_pairing_cancels_what_the_seed_does_to_both():
    luck = {seed: 100.0 * seed for seed in range(5)}
    noise = [0.1, -0.1, 0.05, 0.0, -0.05]
    a = {seed: value + 1.0 + noise[seed] for seed, value in luck.items()}
    (paired,) = compare({"a": a, "b": luck})
    assert paired.significant
    assert stats.ttest_ind(list(a.values()), list(luck.values())).pvalue > 0.9


def test_only_seeds_of_both_are_paired():
    (found,) = compare({"a": {0: 1.0, 1: 2.0, 2: 4.0, 9: 1e9}, "b": {2: 1.0, 1: 1.5, 0: 0.0, 7: -1e9}})
    assert found.seeds == 3
    assert isclose(found.difference.mean, (1.0 + 0.5 + 3.0) / 3)


@pytest.mark.parametrize(
    ("a", "b", "why"),
    [
        ({0: 1.0}, {1: 1.0}, "no common seed"),
        ({0: 1.0}, {0: 2.0}, "one seed"),
        ({0: 1.0, 1: inf}, {0: 2.0, 1: 2.0}, "not finite"),
        ({0: 1.0, 1: 2.0}, {0: 2.0, 1: 3.0}, "same in every seed"),
        ({0: 0.3, 1: 0.3}, {0: 0.1 + 0.2, 1: 0.3}, "same in every seed"),
    ],
)
def test_what_cannot_be_tested_says_why(a, b, why):
    (found,) = compare({"a": a, "b": b})
    assert (found.p, found.p_adjusted, found.untested, found.significant) == (None, None, why, False)


def test_untested_pairs_do_not_weaken_the_others():
    spread = {0: 1.0, 1: 1.4, 2: 0.9, 3: 1.3}
    other = {0: 2.1, 1: 2.2, 2: 1.9, 3: 2.6}
    (alone,) = compare({"a": spread, "b": other})
    found = compare({"a": spread, "b": other, "never": dict.fromkeys(range(4), inf)})
    assert [one.untested for one in found] == ["", "not finite", "not finite"]
    assert found[0].p_adjusted == alone.p


@given(P_VALUES)
def test_holm_rejects_what_its_step_down_rejects(p_values):
    adjusted = holm(p_values)
    for level in (0.01, 0.05, 0.2):
        # Holm (1979): go up from the smallest, stop at the first p(i) > level / (m - i).
        rejected: set[int] = set()
        order = sorted(range(len(p_values)), key=lambda i: p_values[i])
        for rank, at in enumerate(order):
            if (len(p_values) - rank) * p_values[at] > level:
                break
            rejected.add(at)
        assert {at for at, p in enumerate(adjusted) if p <= level} == rejected


def test_holm_of_a_worked_example():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_holds_the_family_below_the_level():
    """Five methods that are the same: in at most 5 % of studies is any pair called different."""
    rng = np.random.default_rng(11)
    names = "abcde"
    false = 0
    for _ in range(400):
        values = {name: dict(enumerate(rng.normal(size=6))) for name in names}
        found = compare(values)
        assert [(one.first, one.second) for one in found] == list(combinations(names, 2))
        false += any(one.significant for one in found)
    assert false / 400 < 0.05 + 3 * sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize("p", [-0.1, 1.1, nan])
def test_holm_wants_p_values(p):
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, p])
