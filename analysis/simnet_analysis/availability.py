"""How much of the time each node was up."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from simnet.results import ResultsError, Run
from simnet_analysis.groups import group_runs
from simnet_analysis.style import blank, paper_style
from simnet_analysis.timeline import natural

_NAMED_NODES = 24


def availability_figure(runs: Iterable[Run], *, width: str | float = "page") -> Figure:
    """A panel per method: a bar per node, the share of the run's time for which it was up, and their mean.

    Means over the seeds of a method. Nodes are in the order of their names where there are few of them, else
    from the one that was up least to the one that was up most.

    Raises:
        ResultsError: Nobody goes or comes in any of the runs.
    """
    groups = [group for group in group_runs(runs) if any(run.availability() for run in group.runs)]
    if not groups:
        raise ResultsError("nobody goes or comes in these runs")
    with paper_style():
        figure = blank(width, 1.75 * len(groups) + 0.3)
        panels = figure.subplots(len(groups), 1, sharex=False, sharey=True, squeeze=False)[:, 0]
        for panel, group in zip(panels, groups, strict=True):
            found = [run.availability() for run in group.runs]
            nodes = sorted({node for one in found for node in one}, key=natural)
            up = np.array([np.mean([one[node] for one in found if node in one]) for node in nodes])
            few = len(nodes) <= _NAMED_NODES
            if not few:
                up = np.sort(up)
            panel.bar(range(len(up)), up, width=0.8 if few else 1.0, color="#56B4E9", linewidth=0)
            panel.axhline(up.mean(), color="black", linewidth=1.0, linestyle=(0, (4, 2)))
            panel.set_title(f"{group.name} (mean {100 * up.mean():.3g}%, dashed)")
            panel.set_ylabel("time up")
            panel.set_ylim(0, 1)
            panel.set_xlim(-0.6, len(up) - 0.4)
            panel.yaxis.set_major_formatter(PercentFormatter(xmax=1, decimals=0))
            panel.grid(axis="x", visible=False)
            panel.tick_params(axis="x", length=0)
            if few:
                upright = 90 if max(map(len, nodes)) * len(nodes) > 90 else 0
                panel.set_xticks(range(len(nodes)), nodes, rotation=upright)
            else:
                panel.set_xticks([])
                panel.set_xlabel(f"{len(nodes)} nodes, from the one that was up least to the one up most")
    return figure
