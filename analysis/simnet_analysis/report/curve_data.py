"""What the page's curves are drawn from: for each condition every metric over every axis, thinned."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from simnet.results import ResultsError, Run, preload
from simnet.results.costs import QUANTITIES
from simnet_analysis.axes import metric_label, x_scale
from simnet_analysis.curves import Curve, Floats, curve, y_limit
from simnet_analysis.groups import Group
from simnet_analysis.report.conditions import Condition
from simnet_analysis.style import MethodStyle

Json = dict[str, Any]

AXES = ("time", "steps", "bytes", "dollars", "kwh")
_NOT_METRICS = ("steps", "bytes", "rollback")  # what is counted, not measured: axes, or events
_MOST_POINTS = 60_000  # of all curves of a page together
_LEAST, _MOST = 40, 300  # of one curve

_DASHES = {
    "solid": "solid",
    "dashed": "7px,3px",
    "dotted": "2px,2px",
    "dash-dot": "7px,2px,2px,2px",
    "long": "13px,4px",
}
_SYMBOLS = {
    "o": "circle", "s": "square", "^": "triangle-up", "v": "triangle-down", "D": "diamond", "P": "cross",
    "X": "x", "<": "triangle-left", ">": "triangle-right", "*": "star", "d": "diamond-tall",
    "p": "pentagon", "h": "hexagon", "H": "hexagon2", "8": "octagon",
}  # fmt: skip
"""matplotlib's markers in plotly's words."""


def curve_data(conditions: Sequence[Condition], first: str | None) -> list[Json]:
    """For each condition: its axes, its metrics (``first`` first) and its curves.

    A curve is the mean over a method's seeds with a band, as in the figures (see `simnet_analysis.curves`).

    Raises:
        ResultsError: A metrics file cannot be read.
    """
    names = {id(one): _metrics(one.runs, first) for one in conditions}
    preload([run for one in conditions for run in one.runs], {name for own in names.values() for name in own})
    drawn = sum(len(one.groups) * len(names[id(one)]) * len(AXES) for one in conditions)
    points = max(_LEAST, min(_MOST, _MOST_POINTS // max(drawn, 1)))
    return [_of_condition(one, names[id(one)], points) for one in conditions]


def style_data(style: MethodStyle) -> Json:
    """A method's look, in plotly's words."""
    return {"color": style.color, "dash": _DASHES[style.line], "symbol": _SYMBOLS[style.marker]}


def band_of_condition(groups: Sequence[Group]) -> tuple[str, str]:
    """Which band is drawn (see `simnet_analysis.curves.BANDS`), and what that is in words."""
    counts = [len(group.runs) for group in groups]
    if max(counts) == 1:
        return "none", ""
    seeds = f"{counts[0]}" if len(set(counts)) == 1 else f"{min(counts)} to {max(counts)}"
    if min(counts) >= 3:
        return "confidence", f"line: mean of {seeds} seeds; band: its 95 % confidence interval"
    return "range", f"line: mean of {seeds} seeds; band: from the least to the largest of them"


def _metrics(runs: Sequence[Run], first: str | None) -> list[str]:
    """What any method was evaluated for, of the whole system."""
    found = dict.fromkeys([] if first is None else [first])
    seen = set()
    for run in runs:
        if run.label in seen:  # methods differ in what they record, seeds do not
            continue
        seen.add(run.label)
        whole = run.metrics["name"][run.metrics["node"] == ""]
        found |= dict.fromkeys(name for name in whole.unique() if name not in _NOT_METRICS)
    return list(found)


def _of_condition(condition: Condition, metrics: Sequence[str], points: int) -> Json:
    band, words = band_of_condition(condition.groups)
    axes: Json = {}
    curves: Json = {}
    for metric in metrics:
        recorded = [group for group in condition.groups if _has(group, metric)]
        if not recorded:
            continue
        log, limits = y_limit(recorded, metric)
        lines: Json = {}
        for axis in AXES:
            drawn = _curves(recorded, metric, axis, band)
            if not drawn:
                continue
            ends = [float(one.x[-1]) for one in drawn.values() if len(one.x)]
            scale = x_scale(axis, ends)
            if axis not in axes:
                axes[axis] = {"label": scale.label, "size": scale.size, "log": scale.log}
            size = axes[axis]["size"]
            lines[axis] = {name: _thinned(one, size, points) for name, one in drawn.items() if len(one.x)}
        percent = metric.endswith("accuracy")
        curves[metric] = {
            "label": metric_label(metric),
            "percent": percent,
            "log": log,
            "limits": None if limits is None else [_short(limit) for limit in limits],
            "lines": lines,
        }
    return {
        "title": condition.title,
        "groups": [group.name for group in condition.groups],
        "band": words,
        "axes": axes,
        "metrics": curves,
    }


def _has(group: Group, metric: str) -> bool:
    try:
        for run in group.runs:
            run.arrays(metric)
    except ResultsError:
        return False
    return True


def _curves(groups: Sequence[Group], metric: str, axis: str, band: str) -> dict[str, Curve]:
    """The curves of all methods over an axis; none where prices are not known, or it was not recorded."""
    found = {}
    for group in groups:
        try:
            found[group.name] = curve(group, metric, axis, band)
        except ResultsError:
            if axis in QUANTITIES:
                return {}
    return found


def _thinned(one: Curve, size: float, points: int) -> Json:
    """At most ``points`` of a curve, both ends among them."""
    at = np.unique(np.linspace(0, len(one.x) - 1, min(points, len(one.x))).round().astype(int))
    found: Json = {"x": _list(one.x[at] / size), "y": _list(one.mean[at])}
    if one.runs > 1:
        found |= {"low": _list(one.low[at]), "high": _list(one.high[at])}
    if one.diverged:
        found["diverged"] = f"{one.diverged} of {one.runs} diverged" if one.runs > 1 else "diverged"
    return found


def _list(values: Floats) -> list[float]:
    return [_short(value) for value in values.tolist()]


def _short(value: float) -> float:
    """Five digits: more than a screen shows."""
    return float(f"{value:.5g}")
