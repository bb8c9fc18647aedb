"""How old gradients and updates are: of stages of pipelines, and at servers and peers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from simnet.results import ResultsError, Run
from simnet_analysis.groups import group_runs
from simnet_analysis.style import blank, group_styles, inches, paper_style

_ALL = -1  # in the place of a stage: nodes that are no stages


def staleness_figure(runs: Iterable[Run], *, width: str | float = "page") -> Figure:
    """How many updates old gradients were, a panel per method; of pipelines with a row of bars per stage.

    Shares of all microbatches of the stage, or of all updates that the method recorded, over all replicas,
    nodes and seeds. A line marks the mean.

    Raises:
        ResultsError: No run recorded any staleness.
        ValueError: ``width`` is no width.
    """
    groups = [group for group in group_runs(runs) if _ages(group.runs)]
    if not groups:
        raise ResultsError("no run recorded the metric staleness")
    styles = group_styles((group.name, group.method) for group in groups)
    across = len(groups) if inches(width) >= 5 else 1
    down = -(-len(groups) // across)
    staged = any(_ALL not in _ages(group.runs) for group in groups)
    with paper_style():
        figure = blank(width, (2.1 if staged or down == 1 else 1.35) * down)
        panels = list(figure.subplots(down, across, sharey=staged, squeeze=False).flat)
        for panel, group in zip(panels, groups, strict=True):
            ages = _ages(group.runs)
            _draw(panel, ages, styles[group.name].color)
            mean = float(np.concatenate(list(ages.values())).mean())
            panel.set_title(group.name if staged else f"{group.name}, mean {mean:.3g}")
    return figure


def _draw(panel: Any, ages: dict[int, Any], color: str) -> None:
    for row, stage in enumerate(sorted(ages)):
        values, counts = np.unique(ages[stage], return_counts=True)
        shares: Any = counts / counts.sum()
        if stage == _ALL:
            panel.bar(values, 100 * shares, width=0.8, color=color)
            panel.set_ylabel("share of updates (%)")
            panel.axvline(ages[stage].mean(), color="#444444", linewidth=0.9, linestyle=(0, (3, 2)))
            continue
        panel.bar(values, 0.9 * shares, bottom=row, width=0.8, color=color)
        panel.axhline(row, color="#cccccc", linewidth=0.5, zorder=0)
    if _ALL not in ages:
        panel.set_yticks([row + 0.4 for row in range(len(ages))], [f"stage {s + 1}" for s in sorted(ages)])
    panel.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panel.set_xlabel("staleness (updates)")


def _ages(runs: Iterable[Run]) -> dict[int, Any]:
    """Staleness of every microbatch, by stage from 0; of nodes that are no stages, together."""
    found: dict[int, list[Any]] = {}
    for run in runs:
        rows = run.metrics[run.metrics["name"] == "staleness"]
        for node, own in rows.groupby("node"):
            _, stage = _in_order(str(node))
            found.setdefault(stage, []).append(own["value"].to_numpy(float))
    if len(found) > 1:
        found.pop(_ALL, None)
    return {stage: np.concatenate(values) for stage, values in found.items()}


def _in_order(node: str) -> tuple[int, int]:
    """(replica, stage) of a node called replica0.stage3; (0, -1) for any other."""
    replica, _, stage = node.removeprefix("replica").partition(".stage")
    return (int(replica), int(stage)) if replica.isdigit() and stage.isdigit() else (0, -1)
