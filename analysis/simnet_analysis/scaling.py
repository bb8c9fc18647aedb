"""Scaling curves: how much more work gets done in a second with more workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from simnet.results import ResultsError, Run
from simnet_analysis.axes import dress_log, dress_x
from simnet_analysis.measures import Estimate, Goal, Swept, estimate, goal, key_scale, swept
from simnet_analysis.style import blank, legend_below, look, method_styles, paper_style

_WORKER_KEYS = ("workers.0.count", "network.topology.nodes", "workers.0.nodes")


@dataclass(frozen=True)
class Scaling:
    """A method's throughput at numbers of workers, relative to its own at the least of them."""

    method: str
    workers: tuple[float, ...]
    gain: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @property
    def efficiency(self) -> float:
        """What the last gain is of the ideal one; 1 is perfect."""
        return self.gain[-1] / (self.workers[-1] / self.workers[0])


def scalings(sweep: Swept, asked: Goal | None = None) -> list[Scaling]:
    """The scaling of every method: in steps of all workers per second, or in the time to a goal."""
    found = []
    for method in sweep.methods:
        values = [value for value in sweep.values if (value, method) in sweep.cells]
        estimates: list[Estimate] = []
        for value in values:
            runs = sweep.cells[value, method].runs
            estimates.append(estimate([_rate(run) if asked is None else 1 / asked.of(run) for run in runs]))
        known = [
            (value, one) for value, one in zip(values, estimates, strict=True) if one.known and one.mean > 0
        ]
        if known:
            base = known[0][1].mean
            found.append(
                Scaling(
                    method,
                    tuple(float(value) for value, _ in known),
                    tuple(one.mean / base for _, one in known),
                    tuple(one.low / base for _, one in known),
                    tuple(one.high / base for _, one in known),
                )
            )
    return found


def _rate(run: Run) -> float:
    seconds = run.manifest.virtual_seconds
    return run.manifest.worker_steps / seconds if seconds > 0 else float("nan")


def scaling_figure(
    runs: Iterable[Run],
    metric: str | None = None,
    *,
    x: str = "workers",
    target: float | None = None,
    width: str | float = "column",
) -> Figure:
    """Throughput over the number of workers, relative to the least number, with the ideal as a line.

    Throughput is optimizer steps of all workers per virtual second. With a ``metric`` it is how fast the
    target is reached instead, which also counts whether the steps are worth anything. The number at the right
    end is the efficiency there: the gain over the ideal one.

    Args:
        runs: Runs of a sweep over the number of workers.
        metric: None for steps per second; or any evaluation metric of the whole system.
        x: The key that counts: "workers", whatever key of the scenario says how many.
        target: The metric's value; the one that all runs reach if not given.
        width: "column", "page", or inches.

    Raises:
        ResultsError: All runs have one number of workers, or nothing reached the target.
    """
    runs = list(runs)
    asked = None if metric is None else goal(runs, "time", metric, target)
    sweep = swept(runs, x, but=_WORKER_KEYS)
    if not sweep.numeric:
        raise ResultsError(f"the values of {sweep.key} are no numbers")
    found = [one for one in scalings(sweep, asked) if isfinite(one.gain[-1])]
    if not found:
        raise ResultsError("no method got anything done at two numbers of workers")
    styles = method_styles(one.method for one in found)
    values = np.array([float(value) for value in sweep.values])
    scale = key_scale(sweep.key, values.tolist())
    with paper_style():
        figure = blank(width, 2.5)
        axes = figure.subplots()
        if scale.log:
            axes.set_yscale("log")
        ideal: dict[str, Any] = {"color": "#888888", "linewidth": 0.8, "linestyle": (0, (3, 2)), "zorder": 1}
        axes.plot(values, values / values[0], **ideal)
        for one in found:
            axes.plot(one.workers, one.gain, **look(styles[one.method]))
            if one.low != one.high:
                color = styles[one.method].color
                axes.fill_between(one.workers, one.low, one.high, color=color, alpha=0.2, linewidth=0)
        dress_x(axes, scale)
        axes.set_xlim(values[0] * (0.93 if scale.log else 0), values[-1] * 1.08)
        if len(values) <= 8:
            axes.set_xticks(values, [f"{value:,g}" for value in values])
            axes.minorticks_off()
        if scale.log:
            dress_log(axes.yaxis, axes.get_ylim())
        what = "steps per second" if asked is None else f"speed to {asked.metric} {asked.target:g}"
        axes.set_ylabel(f"{what},\nrelative to {values[0]:g} {scale.label}")
        handles = [Line2D([], [], **look(styles[one.method])) for one in found]
        labels = [f"{one.method}, {one.efficiency:.0%}" for one in found]
        legend_below(
            figure,
            [*handles, Line2D([], [], **ideal)],
            [*labels, "ideal"],
            f"share of the ideal at {values[-1]:g} {scale.label}",
        )
    return figure
