"""How much faster methods are than a baseline, over a swept key, and where they swap places."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, inf, isfinite, log, nan

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from simnet.results import ResultsError, Run
from simnet_analysis.axes import Scale, dress_log, dress_x
from simnet_analysis.groups import Group
from simnet_analysis.measures import Goal, Swept, goal, key_scale, swept
from simnet_analysis.style import MethodStyle, blank, legend_below, look, method_styles, paper_style


@dataclass(frozen=True)
class SpeedUp:
    """A method's speed-up over the baseline at the values of the swept key: 2 is twice as fast."""

    method: str
    x: tuple[float, ...]
    ratio: tuple[float, ...]
    """Geometric mean over the seeds that both have; infinite where the baseline alone never arrives, 0 where
    the method alone does not, NaN where neither does.
    """
    low: tuple[float, ...]
    high: tuple[float, ...]
    """The least and the largest of the seeds."""


def crossovers(x: Sequence[float], ratio: Sequence[float]) -> list[float]:
    """Where a ratio passes 1, by linear interpolation of log(ratio) over log(x), or over x if some x <= 0.

    Exact for power laws. A ratio that only touches 1 at a point does not pass it; one that stays at 1 over
    several points passes in their middle.
    """
    places = [log(value) if min(x) > 0 else value for value in x]
    known = [(a, log(r)) for a, r in zip(places, ratio, strict=True) if r > 0 and isfinite(r)]
    found = []
    before: tuple[float, float] | None = None  # the last point that was not at 1, and where 1 began after it
    since: float | None = None
    for place, height in known:
        if height == 0:
            since = place if since is None else since
            last = place
            continue
        if before is not None and before[1] * height < 0:
            if since is not None:
                at = (since + last) / 2
            else:
                at = before[0] + (place - before[0]) * before[1] / (before[1] - height)
            found.append(exp(at) if min(x) > 0 else at)
        before, since = (place, height), None
    return found


def speed_ups(sweep: Swept, asked: Goal, baseline: str) -> list[SpeedUp]:
    """The speed-up of every method but the baseline, at the values where both were run."""
    found = []
    for method in sweep.methods:
        if method == baseline:
            continue
        points = []
        for value in sweep.values:
            mine, theirs = sweep.cells.get((value, method)), sweep.cells.get((value, baseline))
            if mine is not None and theirs is not None:
                points.append((float(value), *_ratio(mine, theirs, asked)))
        if points:
            x, ratio, low, high = zip(*points, strict=True)
            found.append(SpeedUp(method, x, ratio, low, high))
    return found


def _ratio(mine: Group, theirs: Group, asked: Goal) -> tuple[float, float, float]:
    """Speed-up and its range: over pairs of one seed, else of the means."""
    ours = {run.manifest.seed: asked.of(run) for run in mine.runs}
    base = {run.manifest.seed: asked.of(run) for run in theirs.runs}
    both = sorted(set(ours) & set(base))
    if not both:
        mean = _divided(sum(base.values()) / len(base), sum(ours.values()) / len(ours))
        return mean, mean, mean
    ratios = [_divided(base[seed], ours[seed]) for seed in both]
    if not all(0 < ratio < inf for ratio in ratios):
        whole = _divided(max(base[seed] for seed in both), max(ours[seed] for seed in both))
        return whole, whole, whole
    return exp(sum(map(log, ratios)) / len(ratios)), min(ratios), max(ratios)


def _divided(base: float, own: float) -> float:
    if isfinite(base) and isfinite(own):
        return base / own if own > 0 else nan
    return nan if not isfinite(own) and not isfinite(base) else inf if isfinite(own) else 0.0


def speedup_figure(
    runs: Iterable[Run],
    metric: str | None = "loss",
    *,
    x: str | None = None,
    baseline: str | None = None,
    target: float | None = None,
    of: str = "time",
    width: str | float = "column",
) -> Figure:
    """Speed-up over a baseline against a swept key, with the values at which a method overtakes it.

    Args:
        runs: Runs of a sweep, over several seeds if there are.
        metric: Any evaluation metric of the whole system; None for whole runs.
        x: The key, such as "network.link.bandwidth", "network.link.latency" or "workers"; the only one in
            which the runs differ if not given.
        baseline: A method's label; allreduce, or else the first, if not given.
        target: The metric's value; the one that all runs reach if not given.
        of: What is compared until then: "time", "bytes", "steps", "dollars", "kwh".
        width: "column", "page", or inches.

    Raises:
        ResultsError: There is no such baseline or key, its values are not numbers, or no other method.
        ValueError: ``of`` or ``width`` is none of the above.
    """
    runs = list(runs)
    asked = goal(runs, of, metric, target)
    sweep = swept(runs, x)
    if not sweep.numeric:
        raise ResultsError(f"the values of {sweep.key} are no numbers; expected a key such as a bandwidth")
    methods = sweep.methods
    if baseline is None:
        baseline = "allreduce" if "allreduce" in methods else methods[0]
    if baseline not in methods:
        raise ResultsError(f"no run is of {baseline!r}; expected one of {', '.join(methods)}")
    found = speed_ups(sweep, asked, baseline)
    if not found:
        raise ResultsError(f"there is no other method than {baseline} to compare")
    styles = method_styles(methods)
    scale = key_scale(sweep.key, [float(value) for value in sweep.values])
    with paper_style():
        figure = blank(width, 2.35)
        axes = figure.subplots()
        axes.set_yscale("log")
        for one in found:
            _draw(axes, one, styles[one.method], scale)
        axes.axhline(1.0, **look(styles[baseline]) | {"marker": ""}, zorder=1)
        dress_x(axes, scale)
        if not scale.log:
            axes.set_xlim(left=None)
        _mark(axes, found, scale)
        what = {"time": "faster", "bytes": "fewer bytes", "steps": "fewer steps"}.get(of, f"less {of}")
        axes.set_ylabel(f"times {what}\nthan {baseline}")
        dress_log(axes.yaxis, axes.get_ylim())
        handles = [Line2D([], [], **look(styles[one.method])) for one in found]
        handles.append(Line2D([], [], **look(styles[baseline]) | {"marker": ""}))
        title = "" if asked.target is None else f"to {asked.metric} {asked.target:g}"
        legend_below(figure, handles, [*(one.method for one in found), f"{baseline} = 1"], title)
    return figure


def _draw(axes: Axes, one: SpeedUp, style: MethodStyle, scale: Scale) -> None:
    shown = [i for i, ratio in enumerate(one.ratio) if 0 < ratio < inf]
    x = [one.x[i] / scale.size for i in shown]
    axes.plot(x, [one.ratio[i] for i in shown], **look(style))
    low, high = [one.low[i] for i in shown], [one.high[i] for i in shown]
    if low != high:
        axes.fill_between(x, low, high, color=style.color, alpha=0.2, linewidth=0)


def _mark(axes: Axes, found: Sequence[SpeedUp], scale: Scale) -> None:
    """A ring and the value at each crossover."""
    crossed = sorted(at for one in found for at in crossovers(one.x, one.ratio))
    for number, at in enumerate(crossed):
        place, below = at / scale.size, number % 2 == 1  # neighbours would write over each other
        axes.plot(place, 1.0, marker="o", markersize=7, color="#333333", fillstyle="none", zorder=5)
        axes.annotate(
            _said(at, scale),
            (place, 1.0),
            (0, -6 if below else 6),
            textcoords="offset points",
            ha="center",
            va="top" if below else "bottom",
            fontsize=7,
            path_effects=[withStroke(linewidth=1.6, foreground="white")],
            zorder=6,
        )


def _said(value: float, scale: Scale) -> str:
    unit = scale.label.rpartition("(")[2].rstrip(")") if "(" in scale.label else ""
    return f"{value / scale.size:.3g} {unit}".strip()
