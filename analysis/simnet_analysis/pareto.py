"""Which methods no other beats in two things at once, such as bytes and time to a target."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from simnet.results import ResultsError, Run
from simnet_analysis.axes import Scale, dress_log, dress_x, plain
from simnet_analysis.groups import group_runs
from simnet_analysis.measures import Estimate, estimate, goal
from simnet_analysis.style import MethodStyle, blank, group_styles, legend_below, paper_style


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """The points that no other one is as good as in both and better than in one; less is better.

    In the order of the first number. Points with an infinity are never among them; equal points are so
    together.
    """
    finite = [i for i, point in enumerate(points) if all(map(isfinite, point))]
    front: list[int] = []
    for i in sorted(finite, key=lambda i: points[i]):
        if not front or points[i][1] < points[front[-1]][1] or points[i] == points[front[-1]]:
            front.append(i)
    return front


def pareto_figure(
    runs: Iterable[Run],
    metric: str | None = "loss",
    *,
    x: str = "bytes",
    y: str = "time",
    target: float | None = None,
    width: str | float = "column",
) -> Figure:
    """Two prices of a target against each other, a point per method; the front joins those that none beats.

    Points are means over seeds, crosses their 95 % confidence intervals. What is not on the front is drawn
    hollow; what does not reach the target with all seeds is named in the legend and has no point.

    Args:
        runs: What ``simnet.results.read_runs`` gives.
        metric: Any evaluation metric of the whole system; None for whole runs.
        x: What lies to the right: "bytes", "time", "steps", "dollars", "kwh", or "final".
        y: What lies upwards.
        target: The metric's value; the one that all methods reach if not given.
        width: "column", "page", or inches.

    Raises:
        ResultsError: There is no run, one recorded no such metric, prices are missing, or nothing reaches the
            target.
        ValueError: ``x`` or ``y`` is none of the above.
    """
    runs = list(runs)
    asked = [goal(runs, name, metric, target) for name in (x, y)]
    groups = group_runs(runs)
    styles = group_styles((group.name, group.method) for group in groups)
    found = [tuple(estimate([one.of(run) for run in group.runs]) for one in asked) for group in groups]
    points = [(one.mean, other.mean) for one, other in found]
    front = pareto_front(points)
    if not front:
        raise ResultsError(f"no method reaches {asked[0].metric} {asked[0].target} with all of its seeds")
    reached = [point for point in points if all(map(isfinite, point))]
    scales = [one.scale([point[i] for point in reached]) for i, one in enumerate(asked)]
    with paper_style():
        figure = blank(width, 2.7)
        axes = figure.subplots()
        for group, pair, point in zip(groups, found, points, strict=True):
            if all(map(isfinite, point)):
                _draw(axes, pair, scales, styles[group.name], points.index(point) in front)
        _draw_front(axes, [points[i] for i in front], scales)
        _dress(axes, scales)
        handles = [
            Line2D([], [], **_marker(styles[group.name], i in front)) for i, group in enumerate(groups)
        ]
        labels = [
            group.name + ("" if all(map(isfinite, point)) else " (never)")
            for group, point in zip(groups, points, strict=True)
        ]
        legend_below(figure, handles, labels, "filled: no other method is better in both")
    return figure


def _draw(
    axes: Axes, pair: Sequence[Estimate], scales: Sequence[Scale], style: MethodStyle, on_front: bool
) -> None:
    (x, y), (across, up) = pair, scales
    errors: dict[str, Any] = {
        "xerr": [[(x.mean - x.low) / across.size], [(x.high - x.mean) / across.size]],
        "yerr": [[(y.mean - y.low) / up.size], [(y.high - y.mean) / up.size]],
    }
    wanted = {key: ends for key, ends in errors.items() if ends != [[0.0], [0.0]]}
    marker = _marker(style, on_front)
    place = (x.mean / across.size, y.mean / up.size)
    if wanted:
        axes.errorbar(*place, **wanted, color=style.color, linewidth=0.8, capsize=1.5)
    axes.plot(*place, **marker, zorder=4)


def _marker(style: MethodStyle, on_front: bool) -> dict[str, Any]:
    return {
        "linestyle": "none",
        "marker": style.marker,
        "markersize": 5.5,
        "markerfacecolor": style.color if on_front else "white",
        "markeredgecolor": style.color,
        "markeredgewidth": 1.1,
    }


def _draw_front(axes: Axes, points: Sequence[tuple[float, float]], scales: Sequence[Scale]) -> None:
    """Steps: what lies above and to the right of them is beaten."""
    x = [point[0] / scales[0].size for point in points]
    y = [point[1] / scales[1].size for point in points]
    axes.step(x, y, where="post", color="#888888", linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)


def _dress(axes: Axes, scales: Sequence[Scale]) -> None:
    across, up = scales
    axes.margins(0.12)
    if up.log:
        axes.set_yscale("log")
        dress_log(axes.yaxis, axes.get_ylim())
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(plain))
        axes.set_ylim(bottom=0)
    axes.set_ylabel(up.label)
    dress_x(axes, across)
