"""Values over time: what they are, when they change, and what flows under them."""

from itertools import pairwise
from math import inf, pi, sin

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.network.profiles import Constant, OnOff, Steps, Switched, ends_at_zero, steps, wave


def integral(profile, end):
    """What flows until `end`, by walking from change to change."""
    total, time = 0.0, 0.0
    while time < end:
        upcoming = min(end, profile.next_change(time))
        assert upcoming > time
        total += profile.at(time) * (upcoming - time)
        time = upcoming
    return total


def test_a_step_holds_from_its_time_to_the_next():
    profile = Steps((0.0, 10.0, 15.0), (3.0, 1.0, 0.0))
    assert [profile.at(t) for t in (0, 9.999, 10, 15, 1e9)] == [3, 3, 1, 0, 0]
    assert [profile.next_change(t) for t in (0, 10, 14, 15, 20)] == [10, 15, 15, inf, inf]
    assert profile.mean == pytest.approx((30 + 5) / 15)


def test_a_loop_begins_again():
    profile = Steps((0.0, 3.0), (8.0, 2.0), period=4.0)
    assert [profile.at(t) for t in (0, 3, 4, 7, 8.5, 4e9 + 3)] == [8, 2, 8, 2, 8, 2]
    assert [profile.next_change(t) for t in (0, 3, 4, 7.5)] == [3, 4, 7, 8]
    assert profile.mean == 6.5
    assert integral(profile, 400.0) == pytest.approx(400 * 6.5, rel=1e-12)


@given(
    lengths=st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=6),
    rest=st.floats(1e-3, 1e3),
    rounds=st.integers(0, 10**7),
)
def test_changes_are_in_order_and_a_profile_asked_at_its_change_has_changed(lengths, rest, rounds):
    starts = tuple(float(t) for t in np.cumsum([0.0, *lengths]))
    profile = Steps(starts, tuple(map(float, range(len(starts)))), starts[-1] + rest)
    time, seen = rounds * profile.period, []
    for _ in range(3 * len(starts)):
        upcoming = profile.next_change(time)
        assert upcoming > time
        time = upcoming
        seen.append(profile.at(time))
    assert all((b - a) % len(starts) == 1 or len(starts) == 1 for a, b in pairwise(seen))


def test_steps_that_change_nothing_are_left_out():
    assert steps((0, 1, 2), (5.0, 5.0, 5.0)) == Constant(5.0)
    assert steps((0, 1, 2), (5.0, 5.0, 4.0)) == Steps((0, 2), (5.0, 4.0))


@pytest.mark.parametrize(
    ("starts", "values", "period"),
    [
        ((1.0,), (1.0,), inf),
        ((0.0, 0.0), (1.0, 2.0), inf),
        ((0.0, 2.0), (1.0, 2.0), 2.0),
        ((), (), inf),
        ((0.0,), (), inf),
    ],
)
def test_impossible_steps_are_refused(starts, values, period):
    with pytest.raises(ValueError, match=r"steps start|values for"):
        Steps(starts, values, period)


@pytest.mark.parametrize("step", [None, 1.0, 2.5, 7.0])
def test_under_a_wave_flows_what_flows_under_its_sine(step):
    mean, amplitude, period, phase = 50.0, 0.8, 24.0, 5.0
    profile = wave(mean, amplitude, period, phase, step)

    def antiderivative(t):
        return mean * (t - amplitude * period / (2 * pi) * np.cos(2 * pi * (t + phase) / period))

    length = period / 96 if step is None else step
    for end in (length, 3 * length, period, 10 * period + 2 * length):
        assert integral(profile, end) == pytest.approx(antiderivative(end) - antiderivative(0), rel=1e-12)
    assert profile.mean == pytest.approx(mean, rel=1e-12)
    for time in (0.3, 7.0, 13.2):
        assert abs(profile.at(time) - mean * (1 + amplitude * sin(2 * pi * (time + phase) / period))) <= (
            mean * amplitude * 2 * pi / period * length
        )


def test_a_full_wave_touches_zero_and_never_goes_below():
    assert min(wave(10.0, 1.0, 96.0).values) >= 0


def on_off(seed=0, start="random", on=10.0, off=0.0):
    return OnOff(on, off, 120.0, 20.0, np.random.default_rng(seed), start)


def test_on_and_off_last_as_long_as_they_should_on_average():
    profile, time = on_off(start="on"), 0.0
    lasted: dict[float, list[float]] = {10.0: [], 0.0: []}
    for _ in range(20_000):
        upcoming = profile.next_change(time)
        lasted[profile.at(time)].append(upcoming - time)
        time = upcoming
    for value, mean in ((10.0, 120.0), (0.0, 20.0)):
        spans = np.array(lasted[value])
        assert len(spans) == 10_000
        assert abs(spans.mean() - mean) < 4 * mean / 100  # 4 standard errors of 10,000 exponentials
        assert abs(spans.std() - mean) < 0.06 * mean
    assert profile.mean == pytest.approx(10 * 120 / 140)


def test_it_begins_as_asked_or_on_with_its_share_of_the_time():
    assert on_off(start="on").at(0) == 10
    assert on_off(start="off").at(0) == 0
    begins_on = [on_off(seed).at(0) == 10 for seed in range(2000)]
    assert abs(np.mean(begins_on) - 120 / 140) < 4 * np.sqrt(120 / 140 * 20 / 140 / 2000)


def test_the_history_does_not_depend_on_who_asks_when():
    forward, random_access = on_off(3), on_off(3)
    times = np.random.default_rng(0).uniform(0, 1e5, 200)
    asked = {t: random_access.at(t) for t in times}
    assert asked == {t: forward.at(t) for t in np.sort(times)}


def test_one_profile_after_another():
    profile = Switched(
        (0.0, 30.0, 60.0), (Steps((0.0, 20.0), (1.0, 2.0), 25.0), Constant(0.0), Constant(7.0))
    )
    assert [profile.at(t) for t in (0, 20, 25, 29.9, 30, 59, 60)] == [1, 2, 1, 1, 0, 0, 7]
    assert [profile.next_change(t) for t in (0, 20, 25, 30, 60)] == [20, 25, 30, 60, inf]


def test_zero_for_ever_is_told_from_zero_for_now():
    assert ends_at_zero(Constant(0.0), 5)
    assert ends_at_zero(Switched((0.0, 9.0), (Constant(1.0), Constant(0.0))), 9)
    assert not ends_at_zero(Switched((0.0, 9.0), (Constant(1.0), Constant(0.0))), 8)
    assert not ends_at_zero(Steps((0.0, 1.0), (0.0, 1.0), 2.0), 0)
    assert not ends_at_zero(Constant(1.0), 0)


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.floats(0, 1e4))
def test_a_change_of_luck_is_strictly_later(seed, time):
    assert on_off(seed).next_change(time) > time
