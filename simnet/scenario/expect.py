"""The `expect:` lines of a scenario: comparisons of measured results, parsed and evaluated without `eval`.

::

    line       = sum (("<" | "<=" | ">" | ">=" | "==" | "!=") sum)+
    sum        = product (("+" | "-") product)*
    product    = factor (("*" | "/") factor)*
    factor     = ("-" | "+") factor | "(" sum ")" | number [unit] | call
    call       = function "(" algorithm {"," argument} ")"

An algorithm is its label, in quotes where it does not start with a letter. Numbers with units are in SI
base units (``30 min`` is 1800, ``3 GB`` is 3e9). What was never reached takes forever (`inf`); a comparison
that has nan on a side or the same infinity on both does not hold, whatever its operator, since nothing was
measured that could carry it. Dividing by zero follows IEEE 754.
"""

import math
import operator
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import NoReturn, Protocol

from simnet.scenario.errors import Path, ScenarioError, nearest
from simnet.units import UnitError, quantity


class Measurements(Protocol):
    """What was measured, by the algorithm's label: nan what was not measured, inf what was not reached."""

    def time_to(self, label: str, metric: str, value: float) -> float:
        """Virtual seconds until ``metric`` first was at least as good as ``value``."""

    def final(self, label: str, metric: str) -> float:
        """The last value of ``metric``."""

    def bytes(self, label: str) -> float:
        """Bytes sent in total."""

    def utilization(self, label: str) -> float:
        """Fraction of the workers' time that was spent computing."""

    def time(self, label: str) -> float:
        """Virtual seconds that the run took."""

    def goodput(self, label: str) -> float:
        """Optimizer steps per second that count, of all workers together."""

    def wasted(self, label: str) -> float:
        """Seconds of computing for nothing, summed over all nodes."""

    def availability(self, label: str) -> float:
        """Share of the time for which nodes were up, mean over them."""

    def spent(self, label: str, quantity: str) -> float:
        """What the run took of ``dollars`` or ``kwh``."""


Value = Callable[[Measurements], float]

# Per function: what its arguments are after the algorithm, and how it is measured.
_FUNCTIONS: dict[str, tuple[tuple[str, ...], Callable[..., float]]] = {
    "time_to_loss": (("loss",), lambda measured, label, value: measured.time_to(label, "loss", value)),
    "final_loss": ((), lambda measured, label: measured.final(label, "loss")),
    "bytes": ((), lambda measured, label: measured.bytes(label)),
    "utilization": ((), lambda measured, label: measured.utilization(label)),
    "time": ((), lambda measured, label: measured.time(label)),
    "goodput": ((), lambda measured, label: measured.goodput(label)),
    "wasted": ((), lambda measured, label: measured.wasted(label)),
    "availability": ((), lambda measured, label: measured.availability(label)),
    "dollars": ((), lambda measured, label: measured.spent(label, "dollars")),
    "kwh": ((), lambda measured, label: measured.spent(label, "kwh")),
    "final": (("metric",), lambda measured, label, metric: measured.final(label, metric)),
    "time_to": (
        ("metric", "value"),
        lambda measured, label, metric, value: measured.time_to(label, metric, value),
    ),
}


def _divide(left: float, right: float) -> float:
    if right == 0:
        return (
            math.nan
            if left == 0 or math.isnan(left)
            else math.copysign(math.inf, left) * math.copysign(1, right)
        )
    return left / right


_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divide,
}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Comparison:
    """One comparison of a line, with what both sides came to."""

    left: str
    operator: str
    right: str
    left_value: float
    right_value: float

    @property
    def held(self) -> bool:
        """Whether it is true of what was measured; nan, or the same infinity twice, carries no comparison."""
        sides = self.left_value, self.right_value
        if any(map(math.isnan, sides)) or (math.isinf(sides[0]) and sides[0] == sides[1]):
            return False
        return COMPARISONS[self.operator](*sides)

    def __str__(self) -> str:
        sides = [
            text if _is_number(text) else f"{text} = {value:.6g}"
            for text, value in ((self.left, self.left_value), (self.right, self.right_value))
        ]
        return f"{sides[0]}  {self.operator}  {sides[1]}: {'holds' if self.held else 'DOES NOT HOLD'}"


def _is_number(text: str) -> bool:
    return re.fullmatch(r"[\d.eE+-]+", text) is not None


@dataclass(frozen=True)
class Outcome:
    """What became of one line."""

    text: str
    comparisons: tuple[Comparison, ...]

    @property
    def held(self) -> bool:
        """Whether every comparison of the line held."""
        return all(comparison.held for comparison in self.comparisons)


@dataclass(frozen=True)
class Operand:
    """One side of a comparison: its text and how to work it out."""

    text: str
    value: Value


@dataclass(frozen=True)
class Expectation:
    """A parsed line: ``operands[0] operators[0] operands[1] operators[1] ...``."""

    text: str
    operands: tuple[Operand, ...]
    operators: tuple[str, ...]
    metrics: frozenset[str] = frozenset()
    """The recorded metrics that it asks for: `loss`, and those that it names."""
    functions: frozenset[tuple[str, str]] = frozenset()
    """The functions that it asks with, each with the algorithm's label."""

    def check(self, measured: Measurements) -> Outcome:
        """Compare what was measured; never raises but for what ``measured`` raises."""
        values = [operand.value(measured) for operand in self.operands]
        comparisons = tuple(
            Comparison(self.operands[i].text, symbol, self.operands[i + 1].text, values[i], values[i + 1])
            for i, symbol in enumerate(self.operators)
        )
        return Outcome(self.text, comparisons)


def parse_expectation(text: str, labels: Collection[str] | None, path: Path = ("expect",)) -> Expectation:
    """Parse one line; ``labels`` are the algorithms that it may name (None: any).

    Raises `ScenarioError` at ``path`` with the column of what is wrong.
    """
    return LineParser(text, labels, path).line()


@dataclass(frozen=True)
class _Token:
    kind: str  # number, name, string, symbol, end
    text: str
    start: int
    end: int


_TOKENS = re.compile(
    r"""\s*(?:
        (?P<number>(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?:\s*[A-Za-zµμ]+(?:\s?/\s?s\b(?!\s*\())?)?)
      | (?P<name>[A-Za-z_](?:[\w.-]*\w)?)
      | (?P<string>"[^"]*"|'[^']*')
      | (?P<symbol><=|>=|==|!=|[<>+\-*/(),])
      | (?P<end>$)
    )""",
    re.X,
)
_DEEPEST = 50


class LineParser:
    """Recursive descent over one line."""

    example = "a comparison such as time(a) < 2 * time(b)"
    operands = "a number or a function such as time_to_loss(algorithm, 2.6)"

    def __init__(self, text: str, labels: Collection[str] | None, path: Path) -> None:
        self.text, self.labels, self.path = text, labels, path
        self.depth = 0
        self.metrics: set[str] = set()
        self.functions: set[tuple[str, str]] = set()
        self.tokens = self._tokens()
        self.next = 0

    def _tokens(self) -> list[_Token]:
        tokens: list[_Token] = []
        position = 0
        while not tokens or tokens[-1].kind != "end":
            match = _TOKENS.match(self.text, position)
            if match is None or match.lastgroup is None:
                start = position + len(self.text[position:]) - len(self.text[position:].lstrip())
                self._fail(start, f"unexpected {self.text[start]!r}", self.example)
            tokens.append(_Token(match.lastgroup, match[match.lastgroup], *match.span(match.lastgroup)))
            position = match.end()
        return tokens

    def _fail(self, start: int, message: str, expected: str = "", suggestion: str = "") -> NoReturn:
        raise ScenarioError.at(
            self.path,
            f"{message} at column {start + 1}",
            given=self.text,
            expected=expected,
            suggestion=suggestion,
        )

    @property
    def token(self) -> _Token:
        """The next token."""
        return self.tokens[self.next]

    def take(self, *symbols: str) -> str:
        """The next token if it is one of ``symbols``, else ""."""
        if self.token.kind == "symbol" and self.token.text in symbols:
            self.next += 1
            return self.tokens[self.next - 1].text
        return ""

    def need(self, symbol: str) -> None:
        """Take ``symbol``, which must be next."""
        if not self.take(symbol):
            self.unexpected(f"`{symbol}`")

    def unexpected(self, expected: str) -> NoReturn:
        """Raise `ScenarioError` at the next token."""
        what = "the line ends" if self.token.kind == "end" else f"unexpected `{self.token.text}`"
        self._fail(self.token.start, what, expected)

    def line(self) -> Expectation:
        """A whole line."""
        operands, operators = [self.operand()], []
        while symbol := self.take(*COMPARISONS):
            operators.append(symbol)
            operands.append(self.operand())
        if self.token.kind != "end":
            self.unexpected("an operator or the end of the line")
        if not operators:
            self._fail(self.token.start, "nothing is compared", f"{one_of_symbols()} and a second side")
        return Expectation(
            self.text.strip(),
            tuple(operands),
            tuple(operators),
            frozenset(self.metrics),
            frozenset(self.functions),
        )

    def operand(self) -> Operand:
        """One side of a comparison."""
        start = self.token.start
        value = self.sum()
        return Operand(self.text[start : self.tokens[self.next - 1].end], value)

    def sum(self) -> Value:
        """Products, added and subtracted."""
        value = self.product()
        while symbol := self.take("+", "-"):
            value = _combined(_ARITHMETIC[symbol], value, self.product())
        return value

    def product(self) -> Value:
        """Factors, multiplied and divided."""
        value = self.factor()
        while symbol := self.take("*", "/"):
            value = _combined(_ARITHMETIC[symbol], value, self.factor())
        return value

    def factor(self) -> Value:
        """A number, a call, or a sum in parentheses."""
        self.depth += 1
        if self.depth > _DEEPEST:
            self._fail(self.token.start, f"nested more than {_DEEPEST} deep")
        value = self._factor()
        self.depth -= 1
        return value

    def _factor(self) -> Value:
        if symbol := self.take("-", "+"):
            inner = self.factor()
            return (lambda measured: -inner(measured)) if symbol == "-" else inner
        if self.take("("):
            value = self.sum()
            self.need(")")
            return value
        if self.token.kind == "number":
            return self.number()
        if self.token.kind == "name":
            return self.call()
        return self.unexpected(self.operands)

    def number(self) -> Value:
        """A number or a quantity."""
        token = self.token
        self.next += 1
        try:
            value = (
                quantity(token.text)
                if re.search(r"[A-Za-zµμ]", _MANTISSA.sub("", token.text))
                else float(token.text)
            )
        except UnitError as error:
            self._fail(token.start, error.problem, error.expected, error.suggestion)
        return lambda measured: value

    def call(self) -> Value:
        """A function of an algorithm."""
        name = self.token
        if name.text not in _FUNCTIONS:
            expected = f"one of {', '.join(_FUNCTIONS)}"
            self._fail(
                name.start, f"unknown function `{name.text}`", expected, nearest(name.text, _FUNCTIONS)
            )
        self.next += 1
        parameters, measure = _FUNCTIONS[name.text]
        self.need("(")
        label = self.name("an algorithm")
        self.functions.add((name.text, label))
        arguments: list[str | Value] = []
        for parameter in parameters:
            self.need(",")
            arguments.append(self.name("a metric") if parameter == "metric" else self.sum())
        self.need(")")
        if name.text.endswith("_loss"):
            self.metrics.add("loss")
        named = zip(parameters, arguments, strict=True)
        self.metrics.update(str(argument) for parameter, argument in named if parameter == "metric")

        def value(measured: Measurements) -> float:
            given = [argument if isinstance(argument, str) else argument(measured) for argument in arguments]
            return float(measure(measured, label, *given))

        return value

    def name(self, what: str) -> str:
        """A bare or quoted name of ``what``."""
        token = self.token
        if token.kind not in ("name", "string"):
            self.unexpected(f"{what}, in quotes if it does not start with a letter")
        name = token.text if token.kind == "name" else token.text[1:-1]
        if what == "an algorithm" and self.labels is not None and name not in self.labels:
            expected = f"one of {', '.join(self.labels)}"
            self._fail(token.start, f"unknown algorithm `{name}`", expected, nearest(name, self.labels))
        self.next += 1
        return name


_MANTISSA = re.compile(r"^(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


def one_of_symbols() -> str:
    """The comparison operators, for errors."""
    return f"one of {' '.join(COMPARISONS)}"


def _combined(operation: Callable[[float, float], float], left: Value, right: Value) -> Value:
    return lambda measured: operation(left(measured), right(measured))
