"""What became of the nodes' time: what counts, what was for nothing, and what was waited for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from simnet.results import ResultsError, Run
from simnet_analysis.fault_timeline import episodes
from simnet_analysis.groups import Group, group_runs
from simnet_analysis.style import blank, legend_columns, paper_style

SERVER = "server"
"""The node that is no worker: its time is left out."""


@dataclass(frozen=True)
class Shares:
    """Of the workers' time from the start of the run to its end; they add up to 1."""

    useful: float
    """Computing what counts."""
    wasted: float
    """Computing what a crash cut off or brought to nothing."""
    undone: float
    """Computing what all went back behind."""
    stalled: float
    """Standing still for checkpoints."""
    restoring: float
    """Being up while all wait for a lost node and read the last checkpoint."""
    down: float
    """Being down."""
    idle: float
    """The rest: waiting for others and for messages."""


LOOKS = {
    "useful": ("useful computation", "#0072B2", ""),
    "wasted": ("cut off by a crash", "#D55E00", "////"),
    "undone": ("undone by going back", "#E69F00", "\\\\\\\\"),
    "stalled": ("checkpoint stalls", "#000000", ""),
    "restoring": ("waiting to go back", "#F0E442", "xxxx"),
    "down": ("down", "#9C9C9C", "...."),
    "idle": ("waiting for others", "#F1F1F1", ""),
}
"""Label, colour and hatch of each share, from left to right."""


def shares(run: Run) -> Shares:
    """What became of the workers' time in a run. Without faults there are but computing and waiting."""
    end = run.manifest.virtual_seconds
    metrics = run.metrics
    accounts = metrics[metrics["name"].isin(["useful_seconds", *_ACCOUNTS]) & (metrics["node"] != SERVER)]
    workers = accounts["node"].nunique()
    if workers == 0 or end <= 0:
        busy = run.manifest.utilization
        return Shares(busy, 0.0, 0.0, 0.0, 0.0, 0.0, 1 - busy)
    sums = accounts.groupby("name")["value"].sum() / (workers * end)
    useful, wasted, undone, stalled = (float(sums[name]) for name in ("useful_seconds", *_ACCOUNTS))
    up = [share for node, share in run.availability().items() if node != SERVER]
    down = 1 - sum(up) / len(up) if up else 0.0
    restoring = _restoring(run) / (workers * end)
    idle = max(0.0, 1 - useful - wasted - undone - stalled - restoring - down)
    return Shares(useful, wasted, undone, stalled, restoring, down, idle)


def _restoring(run: Run) -> float:
    """Seconds of workers that were up while all waited to go back."""
    found = [one for one in episodes(run) if one.where != SERVER]
    waits = [one for one in found if one.what == "all go back"]
    absent = [one for one in found if one.what in ("down", "not there")]
    total = sum(one.end - one.start for one in waits)
    for one in absent:
        for wait in waits:
            if wait.where == one.where:
                total -= max(0.0, min(one.end, wait.end) - max(one.start, wait.start))
    return total


_ACCOUNTS = ("wasted_seconds", "undone_seconds", "stalled_seconds")


def goodput_figure(runs: Iterable[Run], *, width: str | float = "page") -> Figure:
    """A bar per method: the shares of the workers' time, and how many steps per second count beside it.

    Time up and time down together are all of it. Goodput, at the right, is that of all workers. Means over
    the seeds of a method.

    Raises:
        ResultsError: There is no run.
    """
    groups = group_runs(runs)
    if not groups:
        raise ResultsError("no runs to compare")
    with paper_style():
        figure = blank(width, 1.1 + 0.34 * len(groups))
        axes = figure.subplots()
        left = [0.0] * len(groups)
        for name, (label, color, hatch) in LOOKS.items():
            parts = [_mean(group, name) for group in groups]
            if name in ("useful", "idle") or max(parts) > 0:
                edge = "#777777" if name == "idle" else "white"
                axes.barh(
                    range(len(groups)),
                    parts,
                    left=left,
                    height=0.66,
                    color=color,
                    edgecolor=edge,
                    linewidth=0.4,
                    hatch=hatch,
                    label=label,
                )
            left = [start + part for start, part in zip(left, parts, strict=True)]
        for row, group in enumerate(groups):
            rate = sum(run.goodput for run in group.runs) / len(group.runs)
            axes.text(1.015, row, f"{rate:.3g} steps/s", va="center", fontsize=7)
        axes.set_yticks(range(len(groups)), [group.name for group in groups])
        axes.set_ylim(len(groups) - 0.45, -0.55)
        axes.set_xlim(0, 1)
        axes.xaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0, symbol=""))
        axes.set_xlabel("share of the workers' time (%)")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        _, labels = axes.get_legend_handles_labels()
        columns = legend_columns(labels, figure.get_figwidth())
        figure.legend(loc="outside upper center", ncols=columns)
    return figure


def _mean(group: Group, name: str) -> float:
    return sum(float(getattr(shares(run), name)) for run in group.runs) / len(group.runs)
