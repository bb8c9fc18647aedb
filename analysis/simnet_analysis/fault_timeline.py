"""What went wrong when: a row of bars per node under a curve of what came of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, MaxNLocator

from simnet.results import ResultsError, Run
from simnet.units import seconds
from simnet_analysis.axes import metric_label
from simnet_analysis.quantities import time_unit
from simnet_analysis.style import PAGE_INCHES, paper_style
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

_BEGINS = {"down": "down", "absent": "not there", "split": "cut off from others", "rollback": "all go back"}
_ENDS = {"up": ("down", "not there"), "healed": ("cut off from others",), "restarted": ("all go back",)}
_LINK_FAULTS = {"down": "link down", "degraded": "link degraded", "lossy": "link lossy"}


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
    """What the run's folder knows of its faults: who was down or cut off, when all went back to a checkpoint,
    and what its scenario plans for links and stragglers at fixed times.

    Faults of links and slow times that were drawn at random are in no table, and so not in this list.
    """
    end = run.manifest.virtual_seconds
    nodes = [str(node) for node in run.faults["node"].unique()]
    found: list[Episode] = []
    since: dict[tuple[str, str], float] = {}
    for time, node, event in run.faults[["time", "node", "event"]].itertuples(index=False):
        if event in _BEGINS:
            since[node, _BEGINS[event]] = time
        ended = [what for what in _ENDS.get(event, ()) if (node, what) in since]
        found += [Episode(node, what, since.pop((node, what)), time) for what in ended]
    found += [Episode(node, what, start, end) for (node, what), start in since.items()]
    spread: list[Episode] = []
    for one in found:
        # All go back, not only the one whose loss made them.
        everybody = nodes if one.what == "all go back" else [one.where]
        spread += [Episode(node, one.what, min(one.start, end), min(one.end, end)) for node in everybody]
    return spread + _planned(run, end)


def fault_timeline_figure(run: Run, metric: str = "loss", *, width: float = PAGE_INCHES) -> Figure:
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
    ups = [Episode(node, "up", 0.0, end) for node in rows if node in set(faults["node"])]
    waits = [
        Episode(str(node), "checkpoint stall", start, finish)
        for node, start, finish in stalls[["node", "start", "end"]].itertuples(index=False)
    ]
    with paper_style():
        height = 0.95 + _CURVE_INCHES + _ROW_INCHES * len(rows)
        figure = Figure(figsize=(width, height), layout="constrained")
        ratios = [_CURVE_INCHES, max(_ROW_INCHES * len(rows), 0.3)]
        curve, chart = figure.subplots(2, 1, sharex=True, height_ratios=ratios)
        _draw_curve(curve, run, metric, size)
        _draw_bars(chart, [*ups, *found, *waits], rows, size)
        curve.tick_params(axis="x", length=0)
        chart.set_xlim(0, max(end, 1e-9) / size)
        chart.set_xlabel(f"virtual time ({unit})")
        chart.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
        chart.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
        for one in found:
            if one.what == "all go back":
                curve.axvspan(one.start / size, one.end / size, color="#F3E3BF", linewidth=0, zorder=0)
        figure.legend(handles=_legend([*ups, *found, *waits]), loc="outside upper center", ncols=5)
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


def _planned(run: Run, end: float) -> list[Episode]:
    """Faults of links and slow times that the scenario has at fixed times."""
    faults = run.scenario.get("faults") or {}
    found = []
    for entry in faults.get("links", ()):
        if entry.get("kind") in _LINK_FAULTS:
            where = entry.get("link") or (f"links of {entry['node']}" if "node" in entry else "all links")
            found.append(Episode(where, _LINK_FAULTS[entry["kind"]], *_span(entry, end)))
    for entry in faults.get("stragglers", ()):
        if entry.get("kind") == "scheduled":
            found += [Episode(node, "slow", *_span(entry, end)) for node in entry.get("nodes", ())]
    return [one for one in found if one.start < one.end]


def _span(entry: dict[str, Any], end: float) -> tuple[float, float]:
    start = seconds(entry.get("at", "0 s"))
    lasts = seconds(entry["for"]) if "for" in entry else inf
    return min(start, end), min(start + lasts, end)
