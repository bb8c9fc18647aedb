"""How old gradients and updates are when they are applied."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simnet.results import ResultsError, Run
from simnet_analysis.groups import group_runs
from simnet_analysis.style import PAGE_INCHES, method_styles, paper_style

_MOST_NODES = 8


def staleness_figure(runs: Iterable[Run], *, width: float = PAGE_INCHES) -> Figure:
    """How many updates old gradients were, a panel per method and a row of bars per stage of a pipeline.

    Methods without stages have a row per node that recorded `staleness` (a server, or each worker), and a
    single one where these are more than eight. Shares of all that the stage or node applied, over all
    replicas and seeds.

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
        panels = list(figure.subplots(1, len(groups), squeeze=False).flat)
        for panel, group in zip(panels, groups, strict=True):
            ages = _ages(group.runs)
            for row, stage in enumerate(sorted(ages)):
                values, counts = np.unique(ages[stage], return_counts=True)
                shares: Any = counts / counts.sum()
                panel.bar(values, 0.9 * shares, bottom=row, width=0.8, color=styles[group.name].color)
                panel.axhline(row, color="#cccccc", linewidth=0.5, zorder=0)
            names = [name for _, name in sorted(ages)]
            panel.set_yticks([row + 0.4 for row in range(len(ages))], names)
            panel.tick_params(labelleft=True)
            panel.set_xlabel("staleness (updates)")
            panel.set_title(group.name)
    return figure


def _ages(runs: Iterable[Run]) -> dict[tuple[int, str], Any]:
    """Staleness of all that was applied, by (order, name) of the stage or node."""
    found: dict[tuple[int, str], list[Any]] = {}
    for run in runs:
        rows = run.metrics[run.metrics["name"] == "staleness"]
        for node, own in rows.groupby("node"):
            _, stage = _in_order(str(node))
            row = (stage, f"stage {stage + 1}" if stage >= 0 else str(node))
            found.setdefault(row, []).append(own["value"].to_numpy(float))
    if len([row for row in found if row[0] < 0]) > _MOST_NODES:
        found = {(-1, "all nodes"): [values for every in found.values() for values in every]}
    return {row: np.concatenate(values) for row, values in found.items()}


def _in_order(node: str) -> tuple[int, int]:
    """(replica, stage) of a node called replica0.stage3; (0, -1) for any other."""
    replica, _, stage = node.removeprefix("replica").partition(".stage")
    return (int(replica), int(stage)) if replica.isdigit() and stage.isdigit() else (0, -1)
