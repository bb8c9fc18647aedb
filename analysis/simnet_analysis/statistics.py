"""What seeds allow to be said: intervals of means, paired differences, and which of them are significant.

Two methods under one seed meet the same initial weights, the same data and the same failures, so their
difference is taken seed by seed: what the seed did to both of them cancels out. Intervals and tests are
Student's t ("Student", 1908), which takes differences to be normally distributed; where many pairs are
tested, p-values are adjusted by Holm's step-down method (Holm, 1979), which holds the chance of even one
false claim under the level, whatever depends on what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import isfinite, sqrt

import numpy as np

LEVEL = 0.05
"""A difference is called significant where its adjusted p-value is below this; intervals hold 1 minus it."""

_SPREAD = 1e-12  # relative: below it numbers differ by their rounding alone


@dataclass(frozen=True)
class Interval:
    """A mean with its confidence interval; without one (``low`` and ``high`` are the mean) for one value."""

    mean: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Comparison:
    """``first`` minus ``second`` in one quantity, over the seeds that both have."""

    first: str
    second: str
    seeds: int
    difference: Interval | None
    """None where there is no mean: no common seed, or a value that is not finite."""
    p: float | None
    """Of the paired t-test, two-sided. None where there is nothing to test: see ``untested``."""
    p_adjusted: float | None
    """By Holm, over all comparisons of one call of `compare` that were tested."""
    untested: str = ""
    """Why there is no test: "one seed", "no common seed", "not finite", or "same in every seed"."""

    @property
    def significant(self) -> bool:
        """Whether the adjusted p-value is below ``LEVEL``."""
        return self.p_adjusted is not None and self.p_adjusted < LEVEL


def mean_interval(values: Sequence[float], level: float = LEVEL) -> Interval:
    """Mean -+ t(1 - level / 2, n - 1) s / sqrt(n) of ``values``, with s over n - 1.

    Raises:
        ValueError: There is no value, or one is not finite.
    """
    given = np.asarray(values, dtype=float)
    if not len(given) or not np.isfinite(given).all():
        raise ValueError(f"an interval is of one or more finite values, not of {list(values)}")
    mean = float(given.mean())
    if len(given) == 1:
        return Interval(mean, mean, mean, 1)
    from scipy.special import stdtrit

    half = float(stdtrit(len(given) - 1, 1 - level / 2) * given.std(ddof=1) / sqrt(len(given)))
    return Interval(mean, mean - half, mean + half, len(given))


def compare(values: Mapping[str, Mapping[int, float]]) -> list[Comparison]:
    """Every pair of methods, in the order of ``values``, which has for each method its value of each seed.

    A difference that is the same in every seed has no spread that a test could hold it against, and a method
    that never reached a target has no time: such pairs are not tested and have no part in Holm's adjustment.
    """
    raw = [_compared(first, second, values) for first, second in combinations(values, 2)]
    adjusted = iter(holm([one.p for one in raw if one.p is not None]))
    return [
        one
        if one.p is None
        else Comparison(one.first, one.second, one.seeds, one.difference, one.p, next(adjusted))
        for one in raw
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values: the i-th smallest of m becomes the largest (m - j + 1) p(j) of j <= i, at most 1.

    Raises:
        ValueError: One is not between 0 and 1.
    """
    if any(not 0 <= p <= 1 for p in p_values):
        raise ValueError(f"p-values are between 0 and 1, not {list(p_values)}")
    found = [0.0] * len(p_values)
    largest = 0.0
    for rank, at in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, (len(p_values) - rank) * p_values[at])
        found[at] = min(1.0, largest)
    return found


def _compared(first: str, second: str, values: Mapping[str, Mapping[int, float]]) -> Comparison:
    """A pair, before any adjustment."""
    seeds = [seed for seed in values[first] if seed in values[second]]
    if not seeds:
        return Comparison(first, second, 0, None, None, None, "no common seed")
    a = np.array([values[first][seed] for seed in seeds], dtype=float)
    b = np.array([values[second][seed] for seed in seeds], dtype=float)
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        return Comparison(first, second, len(seeds), None, None, None, "not finite")
    difference = a - b
    interval = mean_interval(difference.tolist())
    if len(seeds) == 1:
        return Comparison(first, second, 1, interval, None, None, "one seed")
    spread = float(difference.std(ddof=1))
    scale = float(max(np.abs(a).max(), np.abs(b).max()))
    if spread <= _SPREAD * scale:
        return Comparison(first, second, len(seeds), interval, None, None, "same in every seed")
    from scipy.special import stdtr

    t = interval.mean / (spread / sqrt(len(seeds)))
    p = float(2 * stdtr(len(seeds) - 1, -abs(t)))
    assert isfinite(p)
    return Comparison(first, second, len(seeds), interval, p, None)
