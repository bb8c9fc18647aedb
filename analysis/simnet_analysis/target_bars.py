"""How long, how many bytes or dollars each method takes to a target: one bar per method."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from matplotlib.figure import Figure

from simnet.results import Run
from simnet_analysis.axes import dress_x
from simnet_analysis.groups import group_runs
from simnet_analysis.measures import Estimate, estimate, goal, say
from simnet_analysis.style import blank, group_styles, paper_style


def target_figure(
    runs: Iterable[Run],
    metric: str | None = "loss",
    *,
    target: float | None = None,
    of: str = "time",
    width: str | float = "column",
) -> Figure:
    """What every method takes to reach a target, the least on top; a whisker is the band over its seeds.

    The whisker is the 95 % confidence interval of the mean (of two seeds: both of them). A method of which
    not all seeds reach the target has no bar: the figure says how many do.

    Args:
        runs: What ``simnet.results.read_runs`` gives.
        metric: Any evaluation metric of the whole system; None for whole runs.
        target: Its value; the one that all methods reach if not given.
        of: "time", "bytes", "steps", "dollars" or "kwh"; "final" for the last value of the metric.
        width: "column", "page", or inches.

    Raises:
        ResultsError: There is no run, one recorded no such metric, or prices are missing.
        ValueError: ``of`` or ``width`` is none of the above.
    """
    runs = list(runs)
    asked = goal(runs, of, metric, target)
    groups = group_runs(runs)
    styles = group_styles((group.name, group.method) for group in groups)
    found = {group.name: estimate([asked.of(run) for run in group.runs]) for group in groups}
    names = sorted(found, key=lambda name: (found[name].mean, name))
    scale = asked.scale([one.mean for one in found.values()])
    with paper_style():
        figure = blank(width, 0.75 + 0.24 * len(names))
        axes = figure.subplots()
        finite = [one.mean / scale.size for one in found.values() if isfinite(one.mean)]
        left = min(finite, default=1.0) / 2 if scale.log else 0.0
        for row, name in enumerate(names):
            one, style = found[name], styles[name]
            if not one.known:
                axes.text(
                    0.01, row, _missed(one), transform=axes.get_yaxis_transform(), va="center", fontsize=7
                )
                continue
            mean = one.mean / scale.size
            axes.barh(
                row,
                mean - left,
                left=left,
                height=0.68,
                facecolor=style.color,
                edgecolor="white",
                hatch=style.hatch,
                linewidth=0.4,
            )
            if one.runs > 1:
                ends = [[mean - max(one.low / scale.size, left)], [one.high / scale.size - mean]]
                axes.errorbar(mean, row, xerr=ends, color="#444444", linewidth=0.8, capsize=2)
            axes.annotate(
                say(of, one.mean),
                (max(mean, one.high / scale.size), row),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
            )
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        highest = max((one.high / scale.size for one in found.values() if one.known), default=1.0)
        if scale.log:
            axes.set_xlim(left, highest * (highest / left) ** 0.22)
        dress_x(axes, scale)
        if not scale.log:
            axes.set_xlim(0, 1.25 * highest)
    return figure


def _missed(one: Estimate) -> str:
    return "never" if one.reached == 0 else f"{one.reached} of {one.runs} seeds reach it"
