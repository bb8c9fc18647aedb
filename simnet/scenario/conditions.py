"""The `when:` lines of a sweep: comparisons over the swept keys that a point must meet.

The grammar is that of `expect:` lines, with dotted keys where those have functions::

    line   = sum (("<" | "<=" | ">" | ">=" | "==" | "!=") sum)+
    factor = ("-" | "+") factor | "(" sum ")" | number [unit] | key | text in quotes

A value with a unit is compared in SI base units. Text can be compared with ``==`` and ``!=`` only.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, cast

from simnet.scenario.errors import Path, ScenarioError, nearest, shown
from simnet.scenario.expect import COMPARISONS, LineParser, Measurements, Operand, Value
from simnet.units import UnitError, quantity

Point = Mapping[str, Any]


@dataclass(frozen=True)
class Condition:
    """A parsed line: ``operands[0] operators[0] operands[1] ...``."""

    text: str
    operands: tuple[Operand, ...]
    operators: tuple[str, ...]
    path: Path

    def holds(self, point: Point) -> bool:
        """Whether every comparison is true of ``point`` (values by swept key).

        Raises `ScenarioError` where a value cannot be calculated with, or text is ordered.
        """
        try:
            values = [_worked_out(operand, point) for operand in self.operands]
            return all(_compared(symbol, values[i], values[i + 1]) for i, symbol in enumerate(self.operators))
        except TypeError:
            stated = ", ".join(f"{key}={shown(value)}" for key, value in point.items())
            raise ScenarioError.at(
                self.path,
                f"cannot be worked out for {stated}",
                given=self.text,
                expected="numbers or quantities; text only with == and !=",
            ) from None


def parse_condition(text: object, keys: Collection[str], path: Path) -> Condition:
    """Parse one line, which may name ``keys``; raises `ScenarioError` with the column of what is wrong."""
    if not isinstance(text, str):
        expected = "a comparison of swept keys, such as seed < 3"
        raise ScenarioError.at(path, "not a comparison", given=text, expected=expected)
    line = _Parser(text, keys, path).line()
    return Condition(line.text, line.operands, line.operators, path)


class _Parser(LineParser):
    """A line whose names are swept keys."""

    example = "a comparison of swept keys such as workers.count * algorithms.diloco.local_steps <= 400"
    operands = "a number, a swept key, or text in quotes"

    def _factor(self) -> Value:
        token = self.token
        if token.kind == "string":
            self.next += 1
            return _for_parser(lambda point: token.text[1:-1])
        return super()._factor()

    def call(self) -> Value:
        token, keys = self.token, self.labels or ()
        if token.text not in keys:
            self._fail(
                token.start,
                f"`{token.text}` is not swept",
                f"one of {', '.join(keys)}; a minus between two keys needs spaces",
                nearest(token.text, keys),
            )
        self.next += 1
        return _for_parser(lambda point: _number(point[token.text]))


def _for_parser(value: Callable[[Point], float | str]) -> Value:
    """The parser combines functions of measurements; here they are functions of a point."""
    return cast(Value, value)


def _worked_out(operand: Operand, point: Point) -> float | str:
    return operand.value(cast(Measurements, point))


def _number(value: Any) -> float | str:
    """A swept value as a number, or as text where it is neither a number nor a quantity."""
    if isinstance(value, int | float):
        return float(value)
    if not isinstance(value, str):
        raise TypeError
    try:
        return quantity(value)
    except UnitError:
        return value


def _compared(symbol: str, left: float | str, right: float | str) -> bool:
    if isinstance(left, str) != isinstance(right, str) or (
        isinstance(left, str) and symbol not in ("==", "!=")
    ):
        raise TypeError
    return COMPARISONS[symbol](left, right)  # type: ignore[arg-type]  # == and != take text
