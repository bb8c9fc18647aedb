"""A stretch of an axis between two values of a scenario's key, and the values in it."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from math import exp, log
from typing import Any

from simnet.scenario import Path, ScenarioError
from simnet.scenario.axes import Scale, read_values
from simnet.scenario.overrides import with_value

DEFAULT_FACTOR = 100
"""A range that is not given goes from what the scenario says divided by this to it times this."""

_EXPECTED = "two different values with .. between, such as 1Mbps..10Gbps, 1ms..300ms or 2..64"


@dataclass(frozen=True)
class Span:
    """Values of ``key`` from ``low`` to ``high``, which are numbers in the unit of ``scale``."""

    key: str
    low: float
    high: float
    scale: Scale

    @property
    def logarithmic(self) -> bool:
        """Whether the middle is the geometric one: for rates, sizes and times, where no end is zero."""
        return bool(self.scale.unit) and self.low > 0

    def value(self, number: float) -> Any:
        """``number`` as it stands in YAML, with its unit."""
        return self.scale.value(Fraction(number))

    def points(self, count: int) -> list[float]:
        """``count`` evenly spaced numbers with both ends; fewer where whole numbers are closer than that."""
        shares = [i / (count - 1) for i in range(count)]
        numbers = [self._between(self.low, self.high, share) for share in shares]
        numbers[0], numbers[-1] = self.low, self.high
        return sorted(dict.fromkeys(map(self._rounded, numbers)))

    def middle(self, low: float, high: float) -> float | None:
        """The number half way; None where nothing lies between."""
        number = self._rounded(self._between(low, high, 0.5))
        return number if low < number < high else None

    @property
    def whole(self) -> bool:
        """Whether only whole numbers are on the axis: brackets then end at neighbours."""
        return self.scale.whole and not self.scale.unit

    def width(self, low: float, high: float) -> float:
        """How wide a bracket is: relative to its lower end, or, on a linear axis, to the whole span."""
        return high / low - 1 if self.logarithmic else (high - low) / (self.high - self.low)

    def _between(self, low: float, high: float, share: float) -> float:
        if self.logarithmic:
            return low * exp(share * log(high / low))
        return low + share * (high - low)

    def _rounded(self, number: float) -> float:
        if self.whole:
            return float(round(number))
        return float(f"{number:.12g}")


def read_span(key: str, text: str | None, mapping: Mapping[str, Any]) -> Span:
    """Read ``LOW..HIGH`` for a key; without it, take a hundredth to a hundredfold of what the scenario says.

    Raises `ScenarioError` where the key leads nowhere, where the range cannot be read, and where there is
    none and the scenario states no quantity with a unit at the key.
    """
    tree = dict(mapping)
    _, path = with_value(tree, key, None)
    if text is None:
        stated = _stated(tree, path)
        try:
            scale, (number,) = read_values([stated], path)
        except ScenarioError:
            scale, number = Scale("", False), Fraction(0)
        if not scale.unit or number <= 0:
            raise ScenarioError.at(
                path,
                "says nothing from which a range could be taken",
                given=stated,
                expected=f"--range with {_EXPECTED}",
            )
        return Span(key, float(number) / DEFAULT_FACTOR, float(number) * DEFAULT_FACTOR, scale)
    low, dots, high = text.partition("..")
    if not dots or not low.strip() or not high.strip():
        raise ScenarioError.at(path, "not a range", given=text, expected=_EXPECTED)
    scale, ends = read_values([_plain(low), _plain(high)], path)
    first, last = sorted(map(float, ends))
    if first == last:
        raise ScenarioError.at(path, "an empty range", given=text, expected=_EXPECTED)
    return Span(key, first, last, scale)


def _plain(text: str) -> Any:
    """A number where there is no unit, so that whole ones stay whole."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text.strip()


def _stated(tree: Any, path: Path) -> Any:
    for part in path:
        try:
            tree = tree[part]
        except (KeyError, IndexError, TypeError):
            return None
    return tree
