import contextlib
import math
import operator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.scenario import Comparison, ScenarioError, parse_expectation

LABELS = ["allreduce", "diloco", "d-psgd", "2-level", "diloco-0.5"]


@dataclass(frozen=True)
class Known:
    """Measurements that are told."""

    times: dict[tuple[str, str, float], float]
    number: float = 0.0

    def time_to(self, label: str, metric: str, value: float) -> float:
        return self.times.get((label, metric, value), math.inf)

    def final(self, label: str, metric: str) -> float:
        return {"loss": 2.5, "accuracy": 0.75}.get(metric, math.nan)

    def bytes(self, label: str) -> float:
        return {"allreduce": 3e9, "diloco": 1e8}.get(label, self.number)

    def utilization(self, label: str) -> float:
        return 0.5

    def time(self, label: str) -> float:
        return 1800.0


MEASURED = Known(
    {("diloco", "loss", 2.6): 100.0, ("allreduce", "loss", 2.6): 500.0, ("d-psgd", "accuracy", 0.5): 7.0}
)


@pytest.mark.parametrize(
    ("line", "held"),
    [
        ("time_to_loss(diloco, 2.6) < 0.5 * time_to_loss(allreduce, 2.6)", True),
        ("time_to_loss(diloco, 2.6) < 0.2 * time_to_loss(allreduce, 2.6)", False),
        ("time_to_loss(diloco,2.6)*5==time_to_loss(allreduce,2.6)", True),
        ("time_to(d-psgd, accuracy, 1 / 2) <= 7 s", True),
        ("final_loss(diloco) == final(diloco, loss)", True),
        ("final(diloco, accuracy) >= .75", True),
        ("time(diloco) == 30 min", True),
        ("bytes(allreduce) == 3 GB", True),
        ("bytes(allreduce) / time(allreduce) < 100 Mbit/s", True),
        ("bytes(diloco) / 8 > 100 Mb / time(diloco)", True),
        ("0 < utilization(diloco) <= 1", True),
        ("0 < utilization(diloco) < 0.5 < 1", False),
        ("utilization('2-level') != 1", True),
        ('utilization("diloco-0.5") != 1', True),
        ("utilization(diloco-0.5) == 0.5", True),
        ("-(-3) - -2 == +5", True),
        ("2 - 3 - 4 == -5", True),
        ("12 / 2 / 3 == 2", True),
        ("2 + 3 * 4 == 14", True),
        ("1e3 ms == 1 s", True),
        ("time_to_loss(diloco, 1) > 1 h", True),  # never reached takes forever
        ("time_to_loss(diloco, 2.6) < time_to_loss(d-psgd, 2.6)", True),
        ("time_to_loss(d-psgd, 2.6) < time_to_loss(diloco, 2.6)", False),
        ("time_to_loss(diloco, 1) <= time_to_loss(allreduce, 1)", False),  # neither: nothing to compare
        ("time_to_loss(diloco, 1) == time_to_loss(allreduce, 1)", False),
        ("time_to_loss(diloco, 1) / time_to_loss(allreduce, 1) != 3", False),  # nan
        ("final(diloco, nonsense) < 1", False),
        ("final(diloco, nonsense) != 1", False),
        ("1 / 0 > 5", True),
        ("-1 / 0 < 5", True),
        ("0 / 0 == 0 / 0", False),
    ],
)
def test_lines_hold_or_not(line: str, held: bool) -> None:
    assert parse_expectation(line, LABELS).check(MEASURED).held is held


def test_an_outcome_tells_both_sides() -> None:
    outcome = parse_expectation("50 < time_to_loss(diloco, 2.6) < 0.1 * time(diloco)", LABELS).check(MEASURED)
    assert outcome.comparisons == (
        Comparison("50", "<", "time_to_loss(diloco, 2.6)", 50, 100),
        Comparison("time_to_loss(diloco, 2.6)", "<", "0.1 * time(diloco)", 100, 180),
    )
    assert str(outcome.comparisons[0]) == "50  <  time_to_loss(diloco, 2.6) = 100: holds"
    assert "DOES NOT HOLD" in str(Comparison("a", "<", "b", 2, 1))


@pytest.mark.parametrize(
    ("line", "message", "column", "suggestion"),
    [
        ("final_los(diloco) < 1", "unknown function `final_los`", 1, "final_loss"),
        ("1 < final_loss(dilco)", "unknown algorithm `dilco`", 16, "diloco"),
        ("1 < final_loss('dilco')", "unknown algorithm `dilco`", 16, "diloco"),
        ("final_loss(diloco)", "nothing is compared", 19, ""),
        ("final_loss(diloco) < ", "the line ends", 22, ""),
        ("", "the line ends", 1, ""),
        ("final_loss(diloco < 1", "unexpected `<`", 19, ""),
        ("time_to_loss(diloco) < 1", "unexpected `)`", 20, ""),
        ("final_loss(diloco, 3) < 1", "unexpected `,`", 18, ""),
        ("final_loss diloco < 1", "unexpected `diloco`", 12, ""),
        ("1 < 2 3", "unexpected `3`", 7, ""),
        ("1 = 2", "unexpected '='", 3, ""),
        ("1 < 2; import os", "unexpected ';'", 6, ""),
        ("1 < diloco", "unknown function `diloco`", 5, ""),
        ("time(diloco) < 3 parsecs", "unknown unit 'parsecs'", 16, ""),
        ("bytes(diloco) < 3 gb", "ambiguous unit 'gb'", 17, "`3 Gb` (gigabits) or `3 GB` (gigabytes)"),
        ("time(3) < 3", "unexpected `3`", 6, ""),
        ("(" * 400 + "1" + ")" * 400 + " < 2", "nested more than 50 deep", 51, ""),
    ],
)
def test_syntax_errors_name_the_column(line: str, message: str, column: int, suggestion: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_expectation(line, LABELS, ("expect", 3))
    [problem] = caught.value.problems
    assert problem.message == f"{message} at column {column}"
    assert problem.path == ("expect", 3)
    assert problem.given == line
    assert problem.suggestion == suggestion


def test_without_labels_any_algorithm_may_be_named() -> None:
    assert parse_expectation("time(anything-at.all) > 0", None).check(MEASURED).held


# Random arithmetic, against Python's own

numbers = st.floats(0, 1e6).map(repr)
expressions = st.recursive(
    numbers,
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*"), inner).map(" ".join)
        | inner.map("({})".format)
        | inner.map("-{}".format)
        | st.tuples(inner, numbers.filter(lambda text: float(text) != 0)).map(" / ".join)
    ),
    max_leaves=12,
)
OPERATORS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@given(expressions, st.sampled_from(sorted(OPERATORS)), expressions)
def test_arithmetic_agrees_with_python(left: str, symbol: str, right: str) -> None:
    values = float(eval(left)), float(eval(right))  # the test may; the parser does not
    [comparison] = parse_expectation(f"{left} {symbol} {right}", LABELS).check(MEASURED).comparisons
    assert (comparison.left_value, comparison.right_value) == pytest.approx(values, rel=0, abs=0, nan_ok=True)
    if all(map(math.isfinite, values)):
        assert comparison.held == OPERATORS[symbol](*values)


@given(st.text(max_size=30) | st.text(st.sampled_from("ab(),.-+*/<>=!123 \"'"), max_size=30))
def test_any_text_is_parsed_or_refused_and_nothing_else(line: str) -> None:
    with contextlib.suppress(ScenarioError):
        parse_expectation(line, LABELS).check(MEASURED)
