"""What a run came to, as one number: the price of a target, a total, a final value; and over which key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from simnet.results import ResultsError, Run, preload
from simnet.results.columns import Row, check_keys, columns_of, differing, rows, si
from simnet_analysis.axes import Scale, metric_label, x_scale
from simnet_analysis.curves import Floats, band_of
from simnet_analysis.groups import Group
from simnet_analysis.quantities import byte_unit, say_bytes, say_seconds, time_unit
from simnet_analysis.table import default_target

SPENT = ("time", "steps", "bytes", "dollars", "kwh")
"""What reaching a target takes, or a whole run."""


@dataclass(frozen=True)
class Goal:
    """What is asked of every run: how much of ``spent`` until ``metric`` reached ``target``.

    Without a target (None) it is the whole run. ``spent`` may also be ``final``: the metric's last value.
    """

    spent: str = "time"
    metric: str = "loss"
    target: float | None = None

    def of(self, run: Run) -> float:
        """The number; infinite where the target was never reached.

        Raises:
            ResultsError: The run recorded no such metric, or prices are missing.
        """
        if self.spent == "final":
            return run.final(self.metric)
        if self.target is None:
            if self.spent == "time":
                return run.manifest.virtual_seconds
            return run.manifest.bytes_sent if self.spent == "bytes" else run.final(self.spent)
        reached, row = run.reached(self.metric, self.target)
        if self.spent == "time" or not isfinite(reached):
            return reached
        return float(run.along(self.metric, self.spent)[row])

    def scale(self, values: Sequence[float]) -> Scale:
        """The axis of such numbers."""
        finite = [value for value in values if isfinite(value)]
        if self.spent == "final":
            return Scale(f"final {metric_label(self.metric)}", 1.0, False)
        plain = x_scale(self.spent, finite)
        if self.target is None:
            return plain
        metric = metric_label(self.metric).removeprefix("held-out ").removesuffix(" (%)")
        return Scale(f"{plain.label}\nto {metric} {self.target:g}", plain.size, plain.log)


def goal(runs: Sequence[Run], spent: str, metric: str | None, target: float | None) -> Goal:
    """What to ask of ``runs``: with ``target``, or the one that all methods reach (see `default_target`).

    Timing-only runs have no losses: they are asked for the whole run.

    Raises:
        ResultsError: There is no run, or one has no such metric.
        ValueError: ``spent`` is none of ``SPENT``, nor ``final``.
    """
    if not runs:
        raise ResultsError("no runs to compare")
    if spent not in (*SPENT, "final"):
        raise ValueError(f"{spent!r} is none of {', '.join(SPENT)}, final")
    if metric is None or all(not run.manifest.final for run in runs):
        return Goal(spent, metric or "loss", target)
    preload(runs, {metric, *({spent} if spent in SPENT else ())})
    return Goal(spent, metric, default_target(runs, metric) if target is None else target)


@dataclass(frozen=True)
class Estimate:
    """The mean of a number over the seeds of a group, with a band; infinite where not all runs reached it."""

    mean: float
    low: float
    high: float
    runs: int
    reached: int

    @property
    def known(self) -> bool:
        """Whether all runs reached it."""
        return self.reached == self.runs


def estimate(values: Sequence[float]) -> Estimate:
    """Mean of ``values`` with its 95 % confidence interval; for fewer than three, from least to largest."""
    finite = sum(isfinite(value) for value in values)
    if finite < len(values):
        return Estimate(inf, inf, inf, len(values), finite)
    all_of_them: Floats = np.array(values, dtype=float)
    low, high = band_of(all_of_them, "confidence" if len(values) >= 3 else "range")
    return Estimate(float(all_of_them.mean()), float(low), float(high), len(values), finite)


def say(spent: str, value: float) -> str:
    """A number as people say it, with its unit."""
    if not isfinite(value):
        return "never"
    if spent == "time":
        return say_seconds(value)
    if spent == "bytes":
        return say_bytes(value)
    if spent == "dollars":
        return f"${value:,.3g}" if value < 1000 else f"${value:,.0f}"
    return f"{value:,.3g}" + (" kWh" if spent == "kwh" else "")


@dataclass(frozen=True)
class Swept:
    """Runs over the values of a key: for each value and method, its runs."""

    key: str
    values: tuple[float | str, ...]
    """In order: numbers (SI) ascending, texts as they came."""
    cells: dict[tuple[float | str, str], Group]

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, as they came."""
        return tuple(dict.fromkeys(method for _, method in self.cells))

    @property
    def numeric(self) -> bool:
        """Whether the values are numbers."""
        return all(not isinstance(value, str) for value in self.values)


def swept(runs: Sequence[Run], key: str | None, *, but: Iterable[str] = ()) -> Swept:
    """Sort runs by the value of ``key`` (as of ``simnet results``) and by method.

    Without a key it is the one in which the runs differ.

    Raises:
        ResultsError: There is no run with the key, it has one value alone, runs differ in other keys as well
            (but for the seed and those of ``but``), or there is none in which they differ.
    """
    if not runs:
        raise ResultsError("no runs to compare")
    given = rows(runs)
    name = only_difference(runs, given) if key is None else key
    check_keys([name], columns_of(given))
    cells: dict[tuple[float | str, str], list[int]] = {}
    for index, (run, own) in enumerate(zip(runs, given, strict=True)):
        value = si(own.get(name))
        if value is None:
            raise ResultsError(f"{run.folder} has no key `{name}`: leave it out by a filter")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        cells.setdefault((float(value) if number else str(value), run.label), []).append(index)
    values = list(dict.fromkeys(value for value, _ in cells))
    if len(values) < 2:
        said = str(given[0].get(name)).replace(" ", "")
        raise ResultsError(f"all runs have {name}={said}: sweep it, or name another key")
    if not any(isinstance(value, str) for value in values):
        values.sort()
    others = {name, *but}
    for (_, method), indices in cells.items():
        same = [given[index] for index in indices]
        keys = [key for key in differing(same) if key not in others] if len(same) > 1 else []
        if keys:
            said = str(same[0].get(keys[0])).replace(" ", "")
            raise ResultsError(
                f"runs of {method} with one value of {name} differ in {', '.join(keys[:3])} too: "
                f"choose by a filter, such as {keys[0]}={said}"
            )
    groups = {at: Group(at[1], tuple(runs[index] for index in own)) for at, own in cells.items()}
    return Swept(name, tuple(values), groups)


def only_difference(runs: Sequence[Run], given: Sequence[Row] | None = None) -> str:
    """The key of the scenario in which runs of one method differ.

    Raises:
        ResultsError: There is none, or several.
    """
    by_method: dict[str, list[Row]] = {}
    for run, own in zip(runs, given or rows(runs), strict=True):
        by_method.setdefault(run.label, []).append(own)
    keys = list(dict.fromkeys(key for same in by_method.values() for key in differing(same)))
    if len(keys) != 1:
        what = "in no key of the scenario" if not keys else f"in several: {', '.join(keys[:6])}"
        raise ResultsError(f"which key is swept? the runs of a method differ {what}; name one by --x")
    return keys[0]


def key_scale(key: str, values: Sequence[float]) -> Scale:
    """How a swept key's values (SI) lie on an axis: in units, logarithmic from a tenfold on."""
    log = min(values) > 0 and max(values) >= 8 * min(values)
    name = key.rpartition(".")[2]
    words = _KEY_LABELS.get(name, name.replace("_", " "))
    if name in ("bandwidth", "uplink", "downlink"):
        unit, size = ("Gbit/s", 1.25e8) if min(values) >= 1.25e8 else ("Mbit/s", 1.25e5)
        return Scale(f"{words} ({unit})", size, log)
    if name in ("latency", "detection_timeout"):
        unit, size = ("ms", 1e-3) if max(values) < 2 else time_unit(max(values))
        return Scale(f"{words} ({unit})", size, log)
    if name in ("memory",):
        unit, size = byte_unit(max(values))
        return Scale(f"{words} ({unit})", size, log)
    return Scale(words, 1.0, log)


_KEY_LABELS = {
    "bandwidth": "bandwidth of a link",
    "latency": "latency of a link",
    "count": "workers",
    "nodes": "nodes",
    "workers": "workers",
    "local_steps": "local steps",
    "loss": "packet loss",
}
