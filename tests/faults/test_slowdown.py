"""Time and work under a slowdown: hand-made integrals, inverses, and factors that know no order of use."""

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.compute.cost import Machine
from simnet.compute.devices import NO_DEVICE
from simnet.faults.slowdown import BLOCK, NO_SLOWDOWN, Slowdown, StepFactors
from simnet.network.profiles import Constant, OnOff, Steps
from simnet.runtime.clocked_work import ClockedWork

SLOW_IN_THE_MIDDLE = Steps((0.0, 2.0, 5.0), (1.0, 3.0, 0.5))


def profiles(seed: int) -> tuple[OnOff, Steps]:
    """Two factors that change all the time, at times that have nothing to do with each other."""
    episodes = OnOff(1.0, 4.0, 2.0, 0.7, np.random.default_rng(seed))
    return episodes, Steps((0.0, 0.3, 1.1, 1.9), (1.0, 0.25, 2.0, 7.0), period=2.3)


def test_work_within_changing_factors_by_hand() -> None:
    slowdown = Slowdown(profiles=(SLOW_IN_THE_MIDDLE,))
    assert slowdown.seconds(0.0, 1.5) == 1.5  # done before anything changes
    # Two seconds of work till 2 s, one more during the three slow ones, and one in half its time.
    assert slowdown.seconds(0.0, 4.0) == pytest.approx(5.5, rel=1e-14)
    assert slowdown.seconds(1.0, 2.0) == pytest.approx(4.0, rel=1e-14)  # till exactly 5 s
    assert slowdown.seconds(3.0, 1.0) == pytest.approx(2.0 + (1 - 2 / 3) * 0.5, rel=1e-14)
    assert slowdown.work(0.0, 5.5) == pytest.approx(4.0, rel=1e-14)
    assert slowdown.work(4.0, 4.0) == 0.0
    twice = Slowdown(2.0, profiles=(SLOW_IN_THE_MIDDLE, Constant(3.0)))
    assert twice.seconds(0.0, 4.0 / 6) == pytest.approx(5.5, rel=1e-14)


def test_no_slowdown_changes_no_bit() -> None:
    for work in np.random.default_rng(0).random(100) * 1e3:
        assert NO_SLOWDOWN.seconds(17.3, work) == work
        assert NO_SLOWDOWN.work(17.3, 17.3 + work) == 17.3 + work - 17.3


@given(
    seed=st.integers(0, 20),
    start=st.floats(0, 50),
    work=st.floats(1e-6, 30),
    constant=st.floats(0.1, 10),
    cut=st.floats(0, 1),
)
def test_work_and_seconds_are_inverse_and_add_up(
    seed: int, start: float, work: float, constant: float, cut: float
) -> None:
    slowdown = Slowdown(constant, profiles=profiles(seed))
    seconds = slowdown.seconds(start, work)
    assert slowdown.work(start, start + seconds) == pytest.approx(work, rel=1e-9, abs=1e-12)
    first = slowdown.seconds(start, cut * work)
    rest = slowdown.seconds(start + first, (1 - cut) * work)
    assert first + rest == pytest.approx(seconds, rel=1e-9, abs=1e-12)
    assert 0.25 * constant * work * (1 - 1e-9) <= seconds <= 28 * constant * work * (1 + 1e-9)


@given(seed=st.integers(0, 20), start=st.floats(0, 50), later=st.floats(0, 20), more=st.floats(1e-3, 5))
def test_who_starts_later_ends_no_earlier(seed: int, start: float, later: float, more: float) -> None:
    slowdown = Slowdown(profiles=profiles(seed))
    end = start + slowdown.seconds(start, more)
    assert start + later + slowdown.seconds(start + later, more) >= end - 1e-9


def drawn(block: int) -> np.ndarray:
    return np.random.default_rng([7, block]).lognormal(0, 0.5, BLOCK)


@given(st.lists(st.integers(0, 3 * BLOCK - 1), min_size=1, max_size=20))
def test_a_steps_factor_does_not_depend_on_the_order_of_use(asked: list[int]) -> None:
    in_order = np.concatenate([drawn(block) for block in range(3)])
    factors = StepFactors([drawn, lambda block: np.full(BLOCK, 2.0)])
    assert [factors[step] for step in asked] == (2 * in_order[asked]).tolist()


@given(first=st.integers(0, 2 * BLOCK), steps=st.integers(1, BLOCK))
def test_steps_that_fit_are_those_whose_time_has_passed(first: int, steps: int) -> None:
    """Across the edges of blocks: as many as `train` would take the time for, and one less for a bit less."""
    clocked = ClockedWork(
        Machine(NO_DEVICE, step_seconds=0.5), Slowdown(2.0, StepFactors([drawn]), profiles(first))
    )
    seconds = clocked.train(3.0, first, steps)
    assert clocked.steps_until(3.0, 3.0 + seconds, first, 10_000) == steps
    assert clocked.steps_until(3.0, 3.0 + seconds * (1 - 1e-6), first, 10_000) == steps - 1
    assert clocked.steps_until(3.0, 3.0 + seconds, first, steps // 2) == steps // 2


@given(
    first=st.integers(0, 2 * BLOCK),
    steps=st.integers(0, 5),
    sizes=st.lists(st.integers(1, 50), min_size=1, max_size=6),
)
def test_the_last_layer_comes_when_the_work_is_done(first: int, steps: int, sizes: list[int]) -> None:
    slowdown = Slowdown(1.5, StepFactors([drawn]), profiles(3))
    clocked = ClockedWork(Machine(NO_DEVICE, step_seconds=0.5), slowdown)
    moments = clocked.layers(2.0, first, steps, sizes)
    whole = clocked.train(2.0, first, steps) if steps else clocked.gradient(2.0, first)
    assert moments[-1] == pytest.approx(2.0 + whole, rel=1e-9)
    assert moments == sorted(moments)
    # The last step's backward pass takes two thirds of it, in proportion to parameters.
    before = max(0, steps - 1)
    start_of_last = slowdown.of_steps(first, before) * 0.5
    of_last = slowdown.of_step(first + before) * 0.5
    shares = [1 / 3 + 2 / 3 * done / sum(sizes) for done in accumulate(sizes)]
    for moment, share in zip(moments, shares, strict=True):
        assert slowdown.work(2.0, moment) == pytest.approx(start_of_last + share * of_last, rel=1e-9)


def test_one_step_and_its_two_parts_take_the_same_time() -> None:
    slowdown = Slowdown(1.5, StepFactors([drawn]), profiles(3))
    clocked = ClockedWork(Machine(NO_DEVICE, step_seconds=0.5), slowdown)
    whole = clocked.train(1.0, 5, 1)
    gradient = clocked.gradient(1.0, 5)
    assert gradient + clocked.optimizer(1.0 + gradient, 5) == pytest.approx(whole, rel=1e-12)
    assert clocked.optimizer(1.0, -1) == 0.0  # of a node that holds no batches
