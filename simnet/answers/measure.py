"""What methods are compared in: time, bytes, dollars, kWh or steps, to a target or of a whole run."""

import re
from dataclasses import dataclass
from math import inf, isfinite

from simnet.results import Run, higher_is_better
from simnet.scenario import ScenarioError, nearest
from simnet.units import format_bytes, format_seconds

QUANTITIES = ("time", "bytes", "steps", "dollars", "kwh")
"""What a run spends, and what less of is better."""
_EXAMPLES = "time_to_loss, bytes_to_loss, dollars_to_loss, time, bytes, dollars, kwh or final_loss"


@dataclass(frozen=True)
class Measure:
    """A number of a run by which methods are compared."""

    quantity: str
    """One of `QUANTITIES`; "" for the last value of ``metric``."""
    metric: str
    """The metric to reach, or whose last value counts; "" for the whole run."""
    target: float | None = None
    """What ``metric`` is to reach."""

    @property
    def needs_target(self) -> bool:
        """Whether there is something to reach."""
        return bool(self.quantity and self.metric)

    @property
    def lower_wins(self) -> bool:
        """Whether the smaller number is the better one."""
        return bool(self.quantity) or not higher_is_better(self.metric)

    def of(self, run: Run) -> float:
        """The number of one run; infinite for a target that it never reached.

        Raises `ResultsError` where a metric was not recorded, or a price is missing.
        """
        if not self.quantity:
            return run.final(self.metric)
        if not self.metric:
            return _whole(run, self.quantity)
        assert self.target is not None, "the search has set one"
        seconds, row = run.reached(self.metric, self.target)
        return float(run.along(self.metric, self.quantity)[row]) if isfinite(seconds) else inf

    def shown(self, value: float) -> str:
        """``value`` for people."""
        if not isfinite(value):
            return "never" if self.needs_target else str(value)
        if self.quantity == "time":
            return format_seconds(value)
        if self.quantity == "bytes":
            return format_bytes(value)
        unit = {"dollars": " $", "kwh": " kWh"}.get(self.quantity, "")
        return f"{value:.4g}{unit}"

    def __str__(self) -> str:
        if not self.quantity:
            return f"final {self.metric}"
        if not self.metric:
            return f"{self.quantity} of the whole run"
        target = "" if self.target is None else f" {self.target:.4g}"
        return f"{self.quantity} to {self.metric}{target}"


def _whole(run: Run, quantity: str) -> float:
    if quantity == "time":
        return run.manifest.virtual_seconds
    if quantity == "bytes":
        return run.manifest.bytes_sent
    if quantity == "steps":
        return run.manifest.steps
    return run.spent(quantity)


def read_measure(text: str, target: float | None = None) -> Measure:
    """Read ``QUANTITY_to_METRIC``, ``QUANTITY`` or ``final_METRIC``; raises `ScenarioError`."""
    final = re.fullmatch(r"final_(\w+)", text)
    reach = re.fullmatch(r"([a-z]+)_to_(\w+)", text)
    if final:
        measure = Measure("", final[1], target)
    elif reach and reach[1] in QUANTITIES:
        measure = Measure(reach[1], reach[2], target)
    elif text in QUANTITIES:
        measure = Measure(text, "", target)
    else:
        names = ["time_to_loss", "bytes_to_loss", "dollars_to_loss", "kwh_to_loss", "final_loss", *QUANTITIES]
        raise ScenarioError.at(
            (), "not a metric of a crossover", given=text, expected=_EXAMPLES, suggestion=nearest(text, names)
        )
    if target is not None and not measure.needs_target:
        raise ScenarioError.at(
            (), f"{measure} has no target", given=target, expected="a target with time_to_loss and its like"
        )
    return measure
