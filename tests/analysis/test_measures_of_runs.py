"""The numbers behind figures, held against closed forms and brute force."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from math import inf, isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.results import ResultsError, Run
from simnet_analysis.breakdown import covered
from simnet_analysis.curves import band_of, curve
from simnet_analysis.groups import group_runs
from simnet_analysis.heatmap import winner
from simnet_analysis.measures import Goal, estimate, goal, key_scale, only_difference, swept
from simnet_analysis.pareto import pareto_front
from simnet_analysis.scaling import scalings
from simnet_analysis.speedup import crossovers, speed_ups

MakeRun = Callable[..., Run]


def test_the_band_of_known_numbers() -> None:
    values = np.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])
    low, high = band_of(values, "confidence")
    half = 4.302652729911275 / 3**0.5  # t(0.975, 2) times s = 1 over the root of 3
    assert low == pytest.approx([2 - half, 5.0])
    assert high == pytest.approx([2 + half, 5.0])
    assert [list(one) for one in band_of(values, "range")] == [[1.0, 5.0], [3.0, 5.0]]
    assert [list(one) for one in band_of(values, "none")] == [[2.0, 5.0]] * 2
    assert [list(one) for one in band_of(values[:1], "confidence")] == [[1.0, 5.0]] * 2


def test_a_curve_is_the_mean_in_its_band(make_run: MakeRun) -> None:
    rows = [(0.0, 0.0, 0.0, 4.0), (10.0, 1.0, 100.0, 2.0)]
    runs = [make_run("diloco", [(t, s, b, v + seed) for t, s, b, v in rows], seed=seed) for seed in (0, 1, 2)]
    (group,) = group_runs(runs)
    one = curve(group, "loss", "bytes", "confidence")
    assert list(one.x) == [0.0, 100.0]
    assert list(one.mean) == [5.0, 3.0]
    assert one.high - one.mean == pytest.approx([4.302652729911275 / 3**0.5] * 2)


@given(
    st.floats(0.2, 5),
    st.floats(-3, -0.2),
    st.floats(1.5, 900),
    st.lists(st.floats(1, 1000), min_size=0, max_size=6),
)
def test_crossovers_of_power_laws_are_exact(slope: float, other: float, at: float, more: list[float]) -> None:
    x = sorted({1.0, 1000.0, *more})
    ratio = [(value / at) ** slope / (value / at) ** other for value in x]
    assert crossovers(x, ratio) == [pytest.approx(at)]


def test_crossovers_of_lines_and_of_what_only_touches() -> None:
    assert crossovers([0.0, 10.0], [np.exp(-1.0), np.exp(3.0)]) == [pytest.approx(2.5)]
    assert crossovers([1.0, 2.0, 4.0], [2.0, 1.0, 2.0]) == []
    assert crossovers([1.0, 2.0, 4.0], [2.0, 1.0, 0.5]) == [pytest.approx(2.0)]
    assert crossovers([1.0, 2.0, 8.0, 16.0], [2.0, 1.0, 1.0, 0.5]) == [pytest.approx(4.0)]
    assert crossovers([1.0, 10.0, 100.0, 1000.0], [0.1, 10.0, 0.1, 0.1]) == pytest.approx([10**0.5, 10**1.5])
    assert crossovers([1.0, 2.0], [inf, 0.0]) == []
    assert crossovers([1.0, 2.0, 3.0], [nan, 2.0, 3.0]) == []


def run_at(make_run: MakeRun, method: str, bandwidth: str, seconds: float, seed: int = 0) -> Run:
    rows = [(0.0, 0.0, 0.0, 3.0), (seconds, 10.0, 1e6, 2.0), (2 * seconds, 20.0, 2e6, 1.0)]
    return make_run(method, rows, seed=seed, bandwidth=bandwidth)


def test_speed_ups_are_geometric_means_over_pairs_of_seeds(make_run: MakeRun) -> None:
    runs = [run_at(make_run, "allreduce", b, 100.0, seed) for b in ("1 Mbps", "9 Mbps") for seed in (0, 1)]
    runs += [run_at(make_run, "diloco", "1 Mbps", seconds, seed) for seed, seconds in ((0, 25.0), (1, 100.0))]
    runs += [run_at(make_run, "diloco", "9 Mbps", 200.0, seed) for seed in (0, 1)]
    sweep = swept(runs, None)
    assert sweep.key == "network.link.bandwidth"
    assert sweep.values == (1.25e5, 9 * 1.25e5)
    (one,) = speed_ups(sweep, Goal("time", "loss", 2.0), "allreduce")
    assert one.ratio == pytest.approx((2.0, 0.5))  # the roots of 4 x 1 and of 1/2 x 1/2
    assert (one.low, one.high) == (pytest.approx((1.0, 0.5)), pytest.approx((4.0, 0.5)))
    (never,) = speed_ups(sweep, Goal("time", "loss", 0.5), "allreduce")
    assert all(isnan(ratio) for ratio in never.ratio)


def test_goals_measure_what_a_target_takes(make_run: MakeRun) -> None:
    run = run_at(make_run, "diloco", "1 Mbps", 50.0)
    assert Goal("time", "loss", 2.0).of(run) == 50.0
    assert Goal("bytes", "loss", 2.0).of(run) == 1e6
    assert Goal("steps", "loss", 1.5).of(run) == 20.0
    assert Goal("time", "loss", 0.5).of(run) == inf
    assert Goal("time", "loss", None).of(run) == 100.0
    assert Goal("final", "loss").of(run) == 1.0
    with pytest.raises(ResultsError, match="dollars cannot be told"):
        Goal("dollars", "loss", 2.0).of(run)
    with pytest.raises(ValueError, match="none of time"):
        goal([run], "minutes", "loss", None)
    assert goal([run], "time", "loss", None).target == 1.0


def test_estimates_say_who_never_arrived() -> None:
    assert estimate([1.0, 3.0]).mean == 2.0
    assert (estimate([1.0, 3.0]).low, estimate([1.0, 3.0]).high) == (1.0, 3.0)
    missed = estimate([1.0, inf])
    assert (missed.mean, missed.reached, missed.runs, missed.known) == (inf, 1, 2, False)


def test_what_is_swept_must_be_one_thing(make_run: MakeRun) -> None:
    same = [run_at(make_run, "diloco", "1 Mbps", 50.0, seed) for seed in (0, 1)]
    with pytest.raises(ResultsError, match="which key is swept"):
        only_difference(same)
    with pytest.raises(ResultsError, match=r"all runs have network\.link\.bandwidth=1Mbps"):
        swept(same, "network.link.bandwidth")
    with pytest.raises(ResultsError, match=r"did you mean `network\.link\.latency`"):
        swept(same, "network.link.latenci")
    both = [*same, run_at(make_run, "diloco", "9 Mbps", 50.0)]
    with pytest.raises(ResultsError, match=r"differ in network\.link\.bandwidth too: choose by a filter"):
        swept(both, "seed")


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12))
def test_the_pareto_front_is_what_nobody_beats(points: list[tuple[int, int]]) -> None:
    def beaten(i: int) -> bool:
        return any(
            all(a <= b for a, b in zip(points[j], points[i], strict=True)) and points[j] != points[i]
            for j in range(len(points))
        )

    front = pareto_front([(float(a), float(b)) for a, b in points])
    assert sorted(front) == [i for i in range(len(points)) if not beaten(i)]
    assert all(points[a] <= points[b] for a, b in pairwise(front))


def test_points_that_were_never_reached_are_on_no_front() -> None:
    assert pareto_front([(inf, 0.0), (1.0, 2.0), (0.0, inf)]) == [1]
    assert pareto_front([(inf, inf)]) == []


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=15))
def test_the_length_of_a_union(parts: list[tuple[int, int]]) -> None:
    start = np.array([float(a) for a, _ in parts])
    end = np.array([float(a + length) for a, length in parts])
    assert covered(start, end) == len({second for a, length in parts for second in range(a, a + length)})


def test_who_wins_a_cell_and_by_how_much() -> None:
    best = winner({"a": 30.0, "b": 10.0, "c": inf})
    assert best is not None
    assert (best.method, best.amount, best.factor) == ("b", 10.0, 3.0)
    only = winner({"a": 5.0, "b": inf})
    assert only is not None
    assert only.factor == inf
    alone = winner({"a": 5.0})
    assert alone is not None
    assert isnan(alone.factor)
    assert winner({"a": inf, "b": inf}) is None


def test_scaling_is_relative_to_the_least_number(make_run: MakeRun) -> None:
    """The fixture's runs have 8 workers: the key that counts here is the bandwidth."""
    runs = [
        run_at(make_run, "diloco", b, s) for b, s in (("1 Mbps", 100.0), ("2 Mbps", 50.0), ("4 Mbps", 40.0))
    ]
    (one,) = scalings(swept(runs, "network.link.bandwidth"))
    assert one.gain == pytest.approx((1.0, 2.0, 2.5))
    assert one.efficiency == pytest.approx(2.5 / 4)


@pytest.mark.parametrize(
    ("key", "values", "label", "first"),
    [
        ("network.link.bandwidth", [1.25e5, 1.25e9], "bandwidth of a link (Mbit/s)", 1.0),
        ("network.link.bandwidth", [1.25e8, 1.25e9], "bandwidth of a link (Gbit/s)", 1.0),
        ("network.link.latency", [0.001, 0.5], "latency of a link (ms)", 1.0),
        ("workers", [2.0, 4.0], "workers", 2.0),
        ("algorithm.local_steps", [5.0, 50.0], "local steps", 5.0),
    ],
)
def test_axes_of_keys_have_units(key: str, values: list[float], label: str, first: float) -> None:
    scale = key_scale(key, values)
    assert scale.label == label
    assert values[0] / scale.size == pytest.approx(first)
