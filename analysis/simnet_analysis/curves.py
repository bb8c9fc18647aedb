"""A metric against virtual time, steps and bytes: the same runs, three questions, one figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from simnet.results import Run, higher_is_better, preload
from simnet_analysis.axes import Scale, dress_x, dress_y, x_scale
from simnet_analysis.groups import Group, group_runs
from simnet_analysis.style import (
    MethodStyle,
    blank,
    group_styles,
    inches,
    legend_below,
    legend_columns,
    look,
    paper_style,
)

Floats = NDArray[np.float64]

AXES = ("time", "steps", "bytes")
"""The panels of a figure, unless others are asked for: ``dollars``, ``kwh`` or a metric that was recorded."""
BANDS = ("auto", "confidence", "range", "none")
"""What a band around a mean can be."""

_CAP = 3.0  # losses beyond this many times the largest first loss leave the figure at the top
_TARGET: dict[str, Any] = {"color": "#666666", "linewidth": 0.8, "linestyle": (0, (3, 2)), "zorder": 1}
_LOG_RANGE = 100.0  # a loss that falls by more than this is drawn on a logarithmic axis


@dataclass(frozen=True)
class Curve:
    """A group's metric over one axis: the mean over its runs, and a band around it.

    The band is as `band_of` says. Several runs are put on one grid (every x at which any of them was
    evaluated, as far as all of them go) by linear interpolation. The curve ends where the first of its runs
    has its last finite value; ``diverged`` counts runs that were not finite at the end.
    """

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    runs: int
    diverged: int


def curve(group: Group, metric: str = "loss", axis: str = "time", band: str = "range") -> Curve:
    """``metric`` of ``group`` over ``axis``; evaluations that were not finite are left out.

    Raises:
        ResultsError: A run recorded no such metric or axis.
    """
    points = []
    for run in group.runs:
        x, y = np.asarray(run.along(metric, axis), float), np.asarray(run.arrays(metric)[2], float)
        finite = np.isfinite(x) & np.isfinite(y)
        x, y = x[finite], y[finite]
        last = np.append(x[1:] != x[:-1], True) if len(x) else np.zeros(0, bool)
        points.append((x[last], y[last]))
    counts = len(group.runs), group.diverged(metric)
    if any(not len(x) for x, _ in points):
        nothing = np.empty(0)
        return Curve(nothing, nothing, nothing, nothing, *counts)
    start, end = max(x[0] for x, _ in points), min(x[-1] for x, _ in points)
    grid = np.unique(np.concatenate([x for x, _ in points]))
    grid = grid[(grid >= start) & (grid <= end)]
    values = np.array([np.interp(grid, x, y) for x, y in points])
    return Curve(grid, values.mean(0), *band_of(values, band), *counts)


def band_of(values: Floats, band: str) -> tuple[Floats, Floats]:
    """Lower and upper end of the band around the mean of ``values`` ``[runs, ...]``.

    "range": from the least to the largest; "confidence": the 95 % confidence interval of the mean,
    mean -+ t(0.975, runs - 1) s / sqrt(runs); "none": the mean itself.
    """
    mean = values.mean(0)
    if band == "none" or len(values) == 1:
        return mean, mean
    if band == "range":
        return values.min(0), values.max(0)
    from scipy.special import stdtrit

    half = stdtrit(len(values) - 1, 0.975) * values.std(0, ddof=1) / sqrt(len(values))
    return mean - half, mean + half


def loss_figure(
    runs: Iterable[Run],
    metric: str = "loss",
    *,
    target: float | None = None,
    width: str | float = "page",
    axes: Sequence[str] = AXES,
    band: str = "auto",
) -> Figure:
    """``metric`` of all ``runs`` against virtual time, local steps and bytes sent, methods in colour.

    Runs that differ in the seed alone become one line, their mean, in a band; the legend says which. A method
    that diverged is drawn as far as it was finite, up to a cross, and the legend says "diverged". An axis is
    logarithmic where the methods' ends lie more than tenfold apart; it then cannot show the evaluation at
    zero.

    Args:
        runs: What ``simnet.results.read_runs`` gives.
        metric: Any evaluation metric of the whole system.
        target: A value to reach, as a dashed line.
        width: "page" (panels side by side, 7.16 in), "column" (panels one above the other, 3.3 in), or inches
            (side by side from 5 in).
        axes: What the panels show: "time", "steps", "bytes", "dollars", "kwh", or a recorded metric.
        band: "range" (from the least to the largest run), "confidence" (95 % interval of the mean, by
            Student's t), "none"; "auto" is confidence where every line has at least three runs, else range.

    Raises:
        ResultsError: There is no run, one recorded no such metric or axis, or prices are missing.
        ValueError: ``width``, ``axes`` or ``band`` is none of the above.
    """
    size = inches(width)
    if not axes:
        raise ValueError("axes must name at least one panel")
    if band not in BANDS:
        raise ValueError(f"band must be one of {', '.join(BANDS)}, not {band!r}")
    runs = list(runs)
    preload(runs, {metric, *axes})
    groups = group_runs(runs)
    if band == "auto":
        band = "confidence" if min(len(group.runs) for group in groups) >= 3 else "range"
    styles = group_styles((group.name, group.method) for group in groups)
    with paper_style():
        side_by_side = size >= 5
        rows, columns = (1, len(axes)) if side_by_side else (len(axes), 1)
        labels = _labels(groups, metric, target)
        legend_rows = -(-len(labels) // legend_columns(labels, size))
        height = (2.15 if side_by_side else 1.75 * rows) + 0.17 * legend_rows + 0.2
        figure = blank(size, height)
        panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
        top = _limit_y(panels, groups, metric)
        for panel, axis in zip(panels, axes, strict=True):
            curves = [curve(group, metric, axis, band) for group in groups]
            scale = x_scale(axis, [float(one.x[-1]) for one in curves if len(one.x)])
            for group, one in zip(groups, curves, strict=True):
                _draw(panel, one, styles[group.name], scale, top)
            if target is not None:
                panel.axhline(target, **_TARGET)
            dress_x(panel, scale)
            if not side_by_side or panel is panels[0]:
                dress_y(panel, metric)
        handles = [Line2D([], [], **look(styles[group.name])) for group in groups]
        handles += [Line2D([], [], **_TARGET)] * (target is not None)
        legend_below(figure, handles, labels, what_bands_are(groups, band))
    return figure


def _draw(panel: Axes, one: Curve, style: MethodStyle, scale: Scale, top: float | None) -> None:
    shown = one.x > 0 if scale.log else np.ones(len(one.x), bool)
    x, mean = one.x[shown] / scale.size, one.mean[shown]
    if not len(x):
        return
    panel.plot(x, mean, markevery=_marked(x, scale.log), **look(style))
    if one.runs > 1:
        panel.fill_between(x, one.low[shown], one.high[shown], color=style.color, alpha=0.2, linewidth=0)
    if one.diverged:
        end = len(x) - 1
        if top is not None and mean[end] > top:  # the cross goes where the line leaves the panel
            end = int(np.argmax(mean > top))
        height = mean[end] if top is None else min(mean[end], top)
        cross: dict[str, Any] = {
            "marker": "x",
            "markersize": 6,
            "markeredgewidth": 1.6,
            "zorder": 5,
            "clip_on": False,
        }
        panel.plot(x[end], height, color=style.color, **cross)


def _marked(x: NDArray[np.float64], log: bool) -> list[int]:
    """Where to put about six markers, evenly as the eye sees it."""
    if len(x) <= 6:
        return list(range(len(x)))
    places = np.log(x) if log else x
    wanted = places[0] + (places[-1] - places[0]) * (np.arange(6) + 0.5) / 6
    return sorted({int(place) for place in np.searchsorted(places, wanted)})


def _limit_y(panels: Sequence[Axes], groups: Sequence[Group], metric: str) -> float | None:
    """Set the vertical axes as `y_limit` says; gives the top where values go beyond it."""
    log, limits = y_limit(groups, metric)
    if log:
        for panel in panels:
            panel.set_yscale("log")
    if limits is None:
        return None
    panels[0].set_ylim(*limits)
    return limits[1]


def y_limit(groups: Sequence[Group], metric: str) -> tuple[bool, tuple[float, float] | None]:
    """Whether an axis of ``metric`` is logarithmic (values shrink a hundredfold), and its ends where values
    go beyond them: one exploding loss must not flatten all others.
    """
    if higher_is_better(metric):
        return False, None
    values = [np.asarray(run.arrays(metric)[2], float) for group in groups for run in group.runs]
    finite = np.concatenate([value[np.isfinite(value)] for value in values])
    first = max((float(value[0]) for value in values if np.isfinite(value[0])), default=0.0)
    if not len(finite) or first <= 0:
        return False, None
    lowest, highest = float(finite.min()), float(finite.max())
    log = 0 < lowest < first / _LOG_RANGE
    if highest <= _CAP * first:
        return log, None
    top = first * (_CAP if log else 1.25)
    return log, (lowest / 1.5 if log else lowest - 0.05 * (first - lowest), top)


def _labels(groups: Sequence[Group], metric: str, target: float | None) -> list[str]:
    labels = []
    for group in groups:
        diverged, runs = group.diverged(metric), len(group.runs)
        note = (
            "" if not diverged else " (diverged)" if diverged == runs else f" ({diverged} of {runs} diverged)"
        )
        labels.append(group.name + note)
    return labels + ([] if target is None else [f"target {target:g}"])


def what_bands_are(groups: Sequence[Group], band: str) -> str:
    """What a line and its band stand for, over how many seeds; "" where every line is a single run."""
    counts = {len(group.runs) for group in groups}
    if max(counts) == 1:
        return ""
    seeds = f"{max(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    what = {"range": "band: least to largest", "confidence": "band: 95 % confidence"}
    return "; ".join([f"line: mean of {seeds} seeds", *([what[band]] if band in what else [])])
