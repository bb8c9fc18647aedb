"""Every sample goes to exactly one worker, in the proportions that were asked for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.scenario import ScenarioError
from simnet.tasks.partitions import (
    ByClassOptions,
    DirichletOptions,
    IidOptions,
    Shares,
    by_class,
    dirichlet,
    iid,
)

PATH = ("task", "partition")


def labels(samples: int, classes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(np.arange(samples) % classes)


def is_partition(shares: Shares, samples: int) -> bool:
    return sorted(np.concatenate(shares).tolist()) == list(range(samples))


@settings(max_examples=60, deadline=None)
@given(
    samples=st.integers(30, 400),
    classes=st.integers(2, 10),
    workers=st.integers(1, 12),
    alpha=st.floats(1e-4, 1e4),
    seed=st.integers(0, 1000),
    data=st.data(),
)
def test_disjoint_and_complete(
    samples: int, classes: int, workers: int, alpha: float, seed: int, data: st.DataObject
) -> None:
    y = labels(samples, classes, seed)

    def generator() -> np.random.Generator:
        return np.random.default_rng(seed)

    minimum = data.draw(st.integers(1, samples // workers))
    shares = iid(IidOptions(), y, workers, generator(), PATH)
    assert is_partition(shares, samples)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    options = DirichletOptions(alpha=alpha, minimum=minimum)
    shares = dirichlet(options, y, workers, generator(), PATH)
    assert is_partition(shares, samples)
    assert min(map(len, shares)) >= minimum
    again = dirichlet(options, y, workers, generator(), PATH)
    assert all(np.array_equal(a, b) for a, b in zip(shares, again, strict=True))


def test_dirichlet_proportions_are_equal_in_the_mean_and_spread_as_dirichlet_says() -> None:
    workers, alpha, draws, size = 5, 0.5, 600, 400
    y = np.zeros(size, dtype=np.int64)  # one class: its proportions are one Dirichlet draw
    generator = np.random.default_rng(0)
    options = DirichletOptions(alpha=alpha, minimum=1)
    parts = np.array(
        [
            [len(share) / size for share in dirichlet(options, y, workers, generator, PATH)]
            for _ in range(draws)
        ]
    )
    mean = 1 / workers
    variance = mean * (1 - mean) / (workers * alpha + 1)
    error = np.sqrt(variance / draws)
    assert np.abs(parts.mean(0) - mean).max() < 4 * error
    assert parts.var(0).mean() == pytest.approx(variance, rel=0.1)


def test_small_alpha_concentrates_each_class_and_large_alpha_spreads_it() -> None:
    y = labels(2000, 10)

    def largest_share(alpha: float) -> float:
        shares = dirichlet(DirichletOptions(alpha=alpha), y, 8, np.random.default_rng(0), PATH)
        counts = np.array([np.bincount(y[share], minlength=10) for share in shares])
        return float((counts.max(0) / counts.sum(0)).mean())

    assert largest_share(0.001) > 0.97  # but for the samples that the minimum takes
    assert largest_share(1e4) < 0.15
    assert largest_share(0.001) > largest_share(0.1) > largest_share(1) > largest_share(100)


@settings(max_examples=60, deadline=None)
@given(
    classes=st.integers(2, 10),
    workers=st.integers(1, 15),
    count=st.integers(1, 10),
    seed=st.integers(0, 1000),
)
def test_by_class_gives_each_worker_exactly_so_many_classes(
    classes: int, workers: int, count: int, seed: int
) -> None:
    y = labels(40 * classes, classes, seed)
    options = ByClassOptions(classes_per_worker=count)
    if count > classes or workers * count < classes:
        with pytest.raises(ScenarioError) as caught:
            by_class(options, y, workers, np.random.default_rng(seed), PATH)
        assert caught.value.problems[0].path == (*PATH, "classes_per_worker")
        return
    shares = by_class(options, y, workers, np.random.default_rng(seed), PATH)
    assert is_partition(shares, len(y))
    assert {len(np.unique(y[share])) for share in shares} == {count}


def test_too_many_workers_is_an_error() -> None:
    y = labels(5, 5)
    with pytest.raises(ScenarioError, match="too few for 6"):
        iid(IidOptions(), y, 6, np.random.default_rng(0), PATH)
    with pytest.raises(ScenarioError, match="cannot have 3 each"):
        dirichlet(DirichletOptions(alpha=1, minimum=3), y, 2, np.random.default_rng(0), PATH)
    with pytest.raises(ScenarioError, match="share a class of 1"):
        by_class(ByClassOptions(classes_per_worker=2), y, 5, np.random.default_rng(0), PATH)
