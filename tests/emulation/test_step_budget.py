"""A host's count of everybody's steps, against the budget's definition."""

from fractions import Fraction
from math import ceil

from hypothesis import given
from hypothesis import strategies as st

from simnet.emulation.step_budget import UNLIMITED, StepBudget
from simnet.scenario import StopConfig

COUNTS = st.lists(st.integers(0, 50), min_size=1, max_size=5)


@given(COUNTS, st.integers(1, 40), st.integers(0, 200))
def test_a_shared_budget_is_a_mean(counts: list[int], limit: int, told: int) -> None:
    names = [f"n{rank}" for rank in range(len(counts))]
    budget = StepBudget(StopConfig(steps=limit), "mean", names)
    budget.take(names[0], counts[0])
    for name, steps in zip(names[1:], counts[1:], strict=True):
        budget.hear(name, steps)
        budget.hear(name, steps // 2)  # an older message comes late
    budget.told(told)
    mean = Fraction(max(told, sum(counts)), len(counts))
    assert budget.own == counts[0]
    assert budget.allows(names[0], counts[0]) == budget.allows("server", 0) == (mean < limit)
    assert budget.left("server", 0) == max(0, ceil(limit - mean))
    assert budget.left(names[0], counts[0]) == max(0, ceil(limit - min(mean, Fraction(counts[0]))))


@given(COUNTS, st.integers(1, 40))
def test_a_budget_of_each_is_its_own(counts: list[int], limit: int) -> None:
    names = [f"n{rank}" for rank in range(len(counts))]
    budget = StepBudget(StopConfig(steps=limit), "each", names)
    for name, steps in zip(names, counts, strict=True):
        budget.take(name, steps)
        assert budget.allows(name, steps) == (steps < limit)
        assert budget.left(name, steps) == max(0, limit - steps)
    assert budget.allows("server", 0) == (sum(counts) < limit * len(counts))


def test_without_a_number_of_steps_nothing_ends() -> None:
    budget = StepBudget(StopConfig(time="1 s"), "each", ["n0"])
    budget.take("n0", 10**9)
    assert budget.allows("n0", 10**9)
    assert budget.left("n0", 10**9) == UNLIMITED
