"""What went wrong when: a row of bars per node under a curve of what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from simnet.results import ResultsError, Run
from simnet_analysis.axes import metric_label
from simnet_analysis.quantities import time_unit
from simnet_analysis.style import blank, legend_columns, paper_style
from simnet_analysis.timeline import Look, natural

_ROW_INCHES = 0.17
_CURVE_INCHES = 1.25
_MOST_ROWS = 60
_NAMED_ROWS = 40

LOOKS = {
    "up": Look("#C9E3F2", edge="#8FB8CF", height=0.62),
    "all go back": Look("#F5D38A", edge="#9C7A2B", hatch="////", height=0.62),
    "cut off from others": Look("#CC79A7", edge="#6F3F59", hatch="\\\\\\\\", height=0.62),
    "slow": Look("#F0E442", edge="#8A8420", hatch="----", height=0.62),
    "checkpoint stall": Look("#000000", edge="#000000", height=0.62),
    "down": Look("#D55E00", edge="#7A3600", height=0.86),
    "not there": Look("#FFFFFF", edge="#555555", hatch="....", height=0.62),
    "link down": Look("#D55E00", edge="#7A3600", height=0.62),
    "link degraded": Look("#E69F00", edge="#7F5800", hatch="xxxx", height=0.62),
    "link lossy": Look("#CC79A7", edge="#6F3F59", hatch="oo", height=0.62),
}
"""What a bar can stand for, in the order of the legend; later ones lie above earlier ones."""

_BEGINS = {
    "down": "down",
    "absent": "not there",
    "split": "cut off from others",
    "rollback": "all go back",
    "slow": "slow",
    "link-down": "link down",
    "link-degraded": "link degraded",
    "link-lossy": "link lossy",
}
_ENDS = {
    "up": ("down", "not there"),
    "healed": ("cut off from others",),
    "restarted": ("all go back",),
    "full-speed": ("slow",),
    "link-up": ("link down",),
    "link-restored": ("link degraded",),
    "link-lossless": ("link lossy",),
    "unlisted": ("slow", "link down", "link degraded", "link lossy"),
}


@dataclass(frozen=True)
class Episode:
    """One thing that was so for a while, in seconds."""

    where: str
    """A node, or a link."""
    what: str
    """A name of `LOOKS`."""
    start: float
    end: float


def episodes(run: Run) -> list[Episode]:
    """What the run's table of faults says: who was down, cut off or slow, when all went back to a checkpoint,
    and what was wrong with links.

    Two faults of one kind that overlap on one link are two episodes, and look like one.
    """
    end = run.manifest.virtual_seconds
    table = run.faults[["time", "node", "event", "cause"]]
    nodes = [str(node) for node in table["node"][~table["event"].str.startswith("link-")].unique()]
    found: list[Episode] = []
    since: dict[tuple[str, str], list[float]] = {}
    for time, node, event, _ in table.itertuples(index=False):
        if event in _BEGINS:
            began = since.setdefault((node, _BEGINS[event]), [])
            if not began or event.startswith("link-"):
                began.append(time)
        over = [what for what in _ENDS.get(event, ()) if since.get((node, what))]
        found += [Episode(node, what, since[node, what].pop(0), time) for what in over]
    found += [Episode(node, what, start, end) for (node, what), began in since.items() for start in began]
    spread: list[Episode] = []
    for one in found:
        # All go back, not only the one whose loss made them.
        everybody = nodes if one.what == "all go back" else [one.where]
        spread += [Episode(node, one.what, min(one.start, end), min(one.end, end)) for node in everybody]
    return spread


def fault_timeline_figure(run: Run, metric: str = "loss", *, width: str | float = "page") -> Figure:
    """Who was up, down, cut off or slow when, below ``metric`` of the whole system over the same time.

    Where the run recorded no such metric (a timing-only run has no loss), the curve is that of its steps.

    Raises:
        ResultsError: Nothing went wrong in the run, or at more nodes than a figure has room for (60).
    """
    found = episodes(run)
    faults = run.faults
    stalls = run.spans[run.spans["kind"] == "checkpoint"]
    rows = sorted({*faults["node"], *stalls["node"]}, key=natural)
    rows += sorted({one.where for one in found} - set(rows), key=natural)
    if not rows:
        raise ResultsError(f"{run.folder}: nothing went wrong in this run")
    if len(rows) > _MOST_ROWS:
        raise ResultsError(
            f"{run.folder}: {len(rows)} nodes and links are too many for a timeline (at most {_MOST_ROWS}); "
            "the figure of availability has room for them"
        )
    end = run.manifest.virtual_seconds
    unit, size = time_unit(end)
    lives = set(faults["node"][faults["event"].isin(["present", "absent"])])
    ups = [Episode(node, "up", 0.0, end) for node in rows if node in lives]
    waits = [
        Episode(str(node), "checkpoint stall", start, finish)
        for node, start, finish in stalls[["node", "start", "end"]].itertuples(index=False)
    ]
    with paper_style():
        height = 0.95 + _CURVE_INCHES + _ROW_INCHES * len(rows)
        figure = blank(width, height)
        ratios = [_CURVE_INCHES, max(_ROW_INCHES * len(rows), 0.3)]
        curve, chart = figure.subplots(2, 1, sharex=True, height_ratios=ratios)
        _draw_curve(curve, run, metric, size)
        _draw_bars(chart, [*ups, *found, *waits], rows, size)
        curve.tick_params(axis="x", length=0)
        chart.set_xlim(0, max(end, 1e-9) / size)
        chart.set_xlabel(f"virtual time ({unit})")
        most = 8 if figure.get_figwidth() > 5 else 5
        chart.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
        chart.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
        for one in found:
            if one.what == "all go back":
                curve.axvspan(one.start / size, one.end / size, color="#F3E3BF", linewidth=0, zorder=0)
        handles = _legend([*ups, *found, *waits])
        columns = legend_columns([str(handle.get_label()) for handle in handles], figure.get_figwidth())
        figure.legend(handles=handles, loc="outside upper center", ncols=columns)
    return figure


def _draw_curve(axes: Axes, run: Run, metric: str, size: float) -> None:
    try:
        rows, label = run.series(metric), metric_label(metric)
    except ResultsError:
        rows, label = run.series("steps"), "steps that count"
    time, values = rows["time"].to_numpy() / size, rows["value"].to_numpy()
    axes.plot(time, values, color="black", marker="o", markersize=2.2, linewidth=1.0)
    axes.set_ylabel(label)
    axes.yaxis.set_major_locator(MaxNLocator(5))


def _draw_bars(axes: Axes, shown: Sequence[Episode], rows: Sequence[str], size: float) -> None:
    place = {name: row for row, name in enumerate(rows)}
    for what, look in LOOKS.items():
        of_kind = [one for one in shown if one.what == what]
        if of_kind:
            axes.barh(
                [place[one.where] for one in of_kind],
                [(one.end - one.start) / size for one in of_kind],
                left=[one.start / size for one in of_kind],
                height=look.height,
                **_face(look),
            )
    step = 1 + len(rows) // _NAMED_ROWS
    axes.set_yticks(range(0, len(rows), step), list(rows[::step]))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)


def _legend(shown: Sequence[Episode]) -> list[Patch | Line2D]:
    present = {one.what for one in shown}
    return [Patch(**_face(look), label=what) for what, look in LOOKS.items() if what in present]


def _face(look: Look) -> dict[str, Any]:
    return {"facecolor": look.color, "edgecolor": look.edge, "linewidth": 0.3, "hatch": look.hatch}
