"""Pipelines: who computes what when, and how old gradients are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from simnet.results import ResultsError, Run
from simnet_analysis.groups import group_runs
from simnet_analysis.style import PAGE_INCHES, method_styles, paper_style

_COLORS = {"forward": "#56B4E9", "backward": "#0072B2", "step": "#E69F00"}
_OTHER = "#999999"


def stage_timeline(
    run: Run, start: float = 0.0, end: float | None = None, *, width: float = PAGE_INCHES
) -> Figure:
    """What every node of ``run`` computed from ``start`` to ``end`` (virtual seconds), a row per node.

    Forward passes are light, backward passes dark, optimizer steps yellow, everything else is grey; where
    there is nothing, the node waited.

    Raises:
        ResultsError: Nobody computed anything then.
    """
    spans = run.spans[run.spans["kind"] == "compute"]
    end = float(spans["end"].max()) if end is None and len(spans) else end
    shown = spans[(spans["end"] > start) & (spans["start"] < (end or 0.0))]
    if shown.empty:
        raise ResultsError(f"{run.label}: nobody computed anything between {start} s and {end} s")
    nodes = sorted(shown["node"].unique(), key=_in_order)
    with paper_style():
        figure = Figure(figsize=(width, 0.5 + 0.2 * len(nodes)), layout="constrained")
        FigureCanvasAgg(figure)
        panel = figure.subplots()
        for row, node in enumerate(nodes):
            own = shown[shown["node"] == node]
            starts = own["start"].clip(lower=start).to_numpy(float)
            lengths = own["end"].clip(upper=end).to_numpy(float) - starts
            colors = [_COLORS.get(name, _OTHER) for name in own["name"]]
            bars = list(zip(starts, lengths, strict=True))
            panel.broken_barh(bars, (row - 0.42, 0.84), facecolors=colors, edgecolor="white", linewidth=0.3)
        panel.set_yticks(range(len(nodes)), nodes)
        panel.invert_yaxis()
        panel.set_xlim(start, end)
        panel.set_xlabel("virtual time (s)")
        present = [name for name in _COLORS if name in set(shown["name"])]
        handles = [Patch(facecolor=_COLORS[name], label=name) for name in present]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def staleness_figure(runs: Iterable[Run], *, width: float = PAGE_INCHES) -> Figure:
    """How many updates old gradients were, a panel per method and a row of bars per stage.

    Shares of all microbatches of the stage, over all replicas and seeds.

    Raises:
        ResultsError: No run recorded any staleness.
    """
    groups = [group for group in group_runs(runs) if _ages(group.runs)]
    if not groups:
        raise ResultsError("no run recorded the metric staleness")
    styles = method_styles(group.name for group in groups)
    with paper_style():
        figure = Figure(figsize=(width, 2.1), layout="constrained")
        FigureCanvasAgg(figure)
        panels = list(figure.subplots(1, len(groups), sharey=True, squeeze=False).flat)
        for panel, group in zip(panels, groups, strict=True):
            ages = _ages(group.runs)
            for row, stage in enumerate(sorted(ages)):
                values, counts = np.unique(ages[stage], return_counts=True)
                shares: Any = counts / counts.sum()
                panel.bar(values, 0.9 * shares, bottom=row, width=0.8, color=styles[group.name].color)
                panel.axhline(row, color="#cccccc", linewidth=0.5, zorder=0)
            panel.set_yticks(
                [row + 0.4 for row in range(len(ages))], [f"stage {s + 1}" for s in sorted(ages)]
            )
            panel.set_xlabel("staleness (updates)")
            panel.set_title(group.name)
    return figure


def _ages(runs: Iterable[Run]) -> dict[int, Any]:
    """Staleness of every microbatch, by stage from 0."""
    found: dict[int, list[Any]] = {}
    for run in runs:
        rows = run.metrics[run.metrics["name"] == "staleness"]
        for node, own in rows.groupby("node"):
            _, stage = _in_order(str(node))
            if stage >= 0:
                found.setdefault(stage, []).append(own["value"].to_numpy(float))
    return {stage: np.concatenate(values) for stage, values in found.items()}


def _in_order(node: str) -> tuple[int, int]:
    """(replica, stage) of a node called replica0.stage3; (0, -1) for any other."""
    replica, _, stage = node.removeprefix("replica").partition(".stage")
    return (int(replica), int(stage)) if replica.isdigit() and stage.isdigit() else (0, -1)
