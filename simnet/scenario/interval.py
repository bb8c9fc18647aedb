"""An interval of virtual time or of steps."""

import re
from dataclasses import dataclass
from typing import Self

from simnet.scenario.errors import ScenarioError
from simnet.units import UnitError, count, format_seconds, seconds

_EXPECTED = "a time such as 30 s or a number of steps such as 10 steps"


@dataclass(frozen=True)
class Interval:
    """Either ``seconds`` of virtual time or a number of ``steps``; the other one is None."""

    seconds: float | None = None
    steps: int | None = None

    @classmethod
    def parse(cls, value: object) -> Self:
        """Read ``"30 s"`` or ``"10 steps"``; raises `ScenarioError` at the empty path."""
        steps = re.fullmatch(r"\s*(\S+)\s*steps?\s*", value) if isinstance(value, str) else None
        try:
            interval = cls(steps=int(count(steps[1]))) if steps else cls(seconds=seconds(value))
        except UnitError as error:
            raise ScenarioError.at(
                (), error.problem, given=value, expected=_EXPECTED, suggestion=error.suggestion
            ) from None
        if not (interval.seconds or interval.steps):
            raise ScenarioError.at((), "must be more than zero", given=value, expected=_EXPECTED)
        return interval

    def __str__(self) -> str:
        if self.seconds is not None:
            return format_seconds(self.seconds, exact=True)
        return f"{self.steps} {'step' if self.steps == 1 else 'steps'}"
