"""Choosing runs: ``algorithm=diloco``, ``network.link.bandwidth<100Mbps``, ``final.loss<=2.5``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from simnet.results.columns import Row, check_keys, columns_of, rows, si
from simnet.results.errors import ResultsError

if TYPE_CHECKING:
    from simnet.results.run import Run

_FORM = re.compile(r"(?P<key>[A-Za-z_][\w.-]*)\s*(?P<operator>!=|<=|>=|==|=|<|>)\s*(?P<value>.*)", re.S)
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Filter:
    """One condition on a column of runs."""

    key: str
    operator: str
    """One of = != < <= > >=."""
    value: str

    def holds(self, one: Row) -> bool:
        """Whether a row meets it. A row without the key meets ``!=`` alone.

        Raises:
            ResultsError: The value and the row's cannot be put in an order.
        """
        own = one.get(self.key)
        if self.operator in _ORDERS:
            if own is None:
                return False
            left, right = _number(si(own)), _number(si(self.value))
            if left is None or right is None:
                unit = f" ({own})" if left is None else " (a number, or a quantity such as 100 Mbps)"
                raise ResultsError(
                    f"{self.key}{self.operator}{self.value}: cannot be compared{unit}; use = or !="
                )
            return _ORDERS[self.operator](left, right)
        return _equal(own, self.value) is (self.operator == "=")


def parse_filter(text: str) -> Filter:
    """``key=value``, with = == != < <= > >=.

    Text is compared as it stands, with ``*`` and ``?`` as in file names; numbers and quantities by what they
    are worth, so ``network.link.latency=0.01s`` finds ``10 ms``.

    Raises:
        ResultsError: It has no such form.
    """
    match = _FORM.fullmatch(text.strip())
    if match is None or not match["value"].strip():
        raise ResultsError(
            f"{text!r} is not a filter; expected key=value, such as algorithm=diloco or "
            "'network.link.bandwidth<100Mbps'"
        )
    symbol = "=" if match["operator"] == "==" else match["operator"]
    return Filter(match["key"], symbol, match["value"].strip())


def is_filter(text: str) -> bool:
    """Whether ``text`` has the form of a filter."""
    return _FORM.fullmatch(text.strip()) is not None


def select(runs: Sequence[Run], filters: Iterable[str | Filter]) -> list[Run]:
    """The runs that meet all ``filters``, in their order.

    Raises:
        ResultsError: A filter is none, its key is one that no run has, its value cannot be compared, or no
            run is left.
    """
    wanted = [parse_filter(one) if isinstance(one, str) else one for one in filters]
    if not wanted:
        return list(runs)
    given = rows(runs)
    check_keys([one.key for one in wanted], columns_of(given))
    chosen = [run for run, own in zip(runs, given, strict=True) if all(one.holds(own) for one in wanted)]
    if not chosen:
        said = " ".join(f"{one.key}{one.operator}{one.value}" for one in wanted)
        values = sorted({str(own[wanted[0].key]) for own in given if wanted[0].key in own})
        few = ", ".join(values[:6]) + (", ..." if len(values) > 6 else "")
        raise ResultsError(f"none of {len(runs)} runs has {said} ({wanted[0].key} is one of {few})")
    return chosen


def _equal(own: Any, wanted: str) -> bool:
    if own is None:
        return False
    left, right = _number(si(own)), _number(si(wanted))
    if left is not None and right is not None:
        return left == right
    text = str(own).lower() if isinstance(own, bool) else str(own)
    return fnmatchcase(text, wanted)


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    try:
        return float(str(value))
    except ValueError:
        return None
