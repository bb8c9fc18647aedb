"""A metric against virtual time, steps and bytes: the same runs, three questions, one figure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from simnet.results import Run, higher_is_better
from simnet_analysis.axes import Scale, dress_x, dress_y, x_scale
from simnet_analysis.groups import Group, group_runs
from simnet_analysis.style import COLUMN_INCHES, PAGE_INCHES, MethodStyle, method_styles, paper_style

AXES = ("time", "steps", "bytes")

_CAP = 3.0  # losses beyond this many times the largest first loss leave the figure at the top
_TARGET: dict[str, Any] = {"color": "#666666", "linewidth": 0.8, "linestyle": (0, (3, 2)), "zorder": 1}
_LOG_RANGE = 100.0  # a loss that falls by more than this is drawn on a logarithmic axis


@dataclass(frozen=True)
class Curve:
    """A group's metric over one axis: the mean over its runs, and the least and the largest of them.

    Several runs are put on one grid (every x at which any of them was evaluated, as far as all of them go) by
    linear interpolation. The curve ends where the first of its runs has its last finite value; ``diverged``
    counts runs that were not finite at the end.
    """

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    runs: int
    diverged: int


def curve(group: Group, metric: str = "loss", axis: str = "time") -> Curve:
    """``metric`` of ``group`` over ``axis``; evaluations that were not finite are left out.

    Raises:
        ResultsError: A run recorded no such metric or axis.
    """
    points = []
    for run in group.runs:
        frame = run.against(metric, axis)
        frame = frame[np.isfinite(frame["x"]) & np.isfinite(frame["y"])].drop_duplicates("x", keep="last")
        points.append((frame["x"].to_numpy(float), frame["y"].to_numpy(float)))
    counts = len(group.runs), group.diverged(metric)
    if any(not len(x) for x, _ in points):
        nothing = np.empty(0)
        return Curve(nothing, nothing, nothing, nothing, *counts)
    start, end = max(x[0] for x, _ in points), min(x[-1] for x, _ in points)
    grid = np.unique(np.concatenate([x for x, _ in points]))
    grid = grid[(grid >= start) & (grid <= end)]
    values = np.array([np.interp(grid, x, y) for x, y in points])
    return Curve(grid, values.mean(0), values.min(0), values.max(0), *counts)


def loss_figure(
    runs: Iterable[Run],
    metric: str = "loss",
    *,
    target: float | None = None,
    width: str | float = "page",
    axes: Sequence[str] = AXES,
) -> Figure:
    """``metric`` of all ``runs`` against virtual time, local steps and bytes sent, methods in colour.

    Runs that differ in the seed alone become one line, their mean, in a band from the least to the largest of
    them; the legend says so. A method that diverged is drawn as far as it was finite, up to a cross, and the
    legend says "diverged". An axis is logarithmic where the methods' ends lie more than tenfold apart; it
    then cannot show the evaluation at zero.

    Args:
        runs: What ``simnet.results.read_runs`` gives.
        metric: Any evaluation metric of the whole system.
        target: A value to reach, as a dashed line.
        width: "page" (panels side by side, 7.16 in), "column" (panels one above the other, 3.5 in), or inches
            (side by side from 5 in).
        axes: What the panels show, of "time", "steps", "bytes".

    Raises:
        ResultsError: There is no run, or one recorded no such metric.
        ValueError: ``width`` or ``axes`` is none of the above.
    """
    inches = {"page": PAGE_INCHES, "column": COLUMN_INCHES}.get(width, width)  # type: ignore[arg-type]
    if isinstance(inches, str) or inches <= 0:
        raise ValueError(f"width must be 'page', 'column' or a number of inches, not {width!r}")
    if not axes or not set(axes) <= set(AXES):
        raise ValueError(f"axes must be of {', '.join(AXES)}, not {axes!r}")
    groups = group_runs(runs)
    styles = method_styles(group.name for group in groups)
    with paper_style():
        side_by_side = inches >= 5
        rows, columns = (1, len(axes)) if side_by_side else (len(axes), 1)
        labels = _labels(groups, metric, target)
        legend_columns = _legend_columns(labels, inches)
        legend_rows = -(-len(labels) // legend_columns)
        height = (2.15 if side_by_side else 1.75 * rows) + 0.17 * legend_rows + 0.2
        figure = Figure(figsize=(inches, height), layout="constrained")
        FigureCanvasAgg(figure)
        panels = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
        top = _limit_y(panels, groups, metric)
        for panel, axis in zip(panels, axes, strict=True):
            curves = [curve(group, metric, axis) for group in groups]
            scale = x_scale(axis, [float(one.x[-1]) for one in curves if len(one.x)])
            for group, one in zip(groups, curves, strict=True):
                _draw(panel, one, styles[group.name], scale, top)
            if target is not None:
                panel.axhline(target, **_TARGET)
            dress_x(panel, scale)
            if not side_by_side or panel is panels[0]:
                dress_y(panel, metric)
        handles = [Line2D([], [], **_look(styles[group.name])) for group in groups]
        handles += [Line2D([], [], **_TARGET)] * (target is not None)
        figure.legend(
            handles,
            labels,
            loc="outside lower center",
            ncols=legend_columns,
            columnspacing=1.4,
            title=_what_bands_are(groups),
            title_fontsize=7,
        )
    return figure


def _look(style: MethodStyle) -> dict[str, Any]:
    return {
        "color": style.color,
        "linestyle": style.dashes,
        "marker": style.marker,
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
    }


def _draw(panel: Axes, one: Curve, style: MethodStyle, scale: Scale, top: float | None) -> None:
    shown = one.x > 0 if scale.log else np.ones(len(one.x), bool)
    x, mean = one.x[shown] / scale.size, one.mean[shown]
    if not len(x):
        return
    panel.plot(x, mean, markevery=_marked(x, scale.log), **_look(style))
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
    """Make the vertical axes logarithmic if values shrink a hundredfold; the top, if values go beyond it.

    One exploding loss must not flatten all others.
    """
    if higher_is_better(metric):
        return None
    values = [run.series(metric)["value"].to_numpy(float) for group in groups for run in group.runs]
    finite = np.concatenate([value[np.isfinite(value)] for value in values])
    first = max((float(value[0]) for value in values if np.isfinite(value[0])), default=0.0)
    if not len(finite) or first <= 0:
        return None
    lowest, highest = float(finite.min()), float(finite.max())
    log = 0 < lowest < first / _LOG_RANGE
    if log:
        for panel in panels:
            panel.set_yscale("log")
    if highest <= _CAP * first:
        return None
    top = first * (_CAP if log else 1.25)
    panels[0].set_ylim(lowest / 1.5 if log else lowest - 0.05 * (first - lowest), top)
    return top


def _labels(groups: Sequence[Group], metric: str, target: float | None) -> list[str]:
    labels = []
    for group in groups:
        diverged, runs = group.diverged(metric), len(group.runs)
        note = (
            "" if not diverged else " (diverged)" if diverged == runs else f" ({diverged} of {runs} diverged)"
        )
        labels.append(group.name + note)
    return labels + ([] if target is None else [f"target {target:g}"])


def _legend_columns(labels: Sequence[str], inches: float) -> int:
    """As many columns as fit, by the mean width of a letter at 7.5 pt. A legend fills column by column."""
    for columns in range(len(labels), 1, -1):
        longest = [max(map(len, part)) for part in np.array_split(np.array(labels), columns)]
        if sum(0.066 * letters + 0.52 for letters in longest) <= inches:
            return columns
    return 1


def _what_bands_are(groups: Sequence[Group]) -> str | None:
    counts = {len(group.runs) for group in groups}
    if max(counts) == 1:
        return None
    seeds = f"{max(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
    return f"line: mean of {seeds} seeds; band: least to largest"
