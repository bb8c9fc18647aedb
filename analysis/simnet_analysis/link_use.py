"""How full links were over time: a row per link, the fullest on top."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from simnet.results import ResultsError, Run
from simnet_analysis.quantities import time_unit
from simnet_analysis.style import blank, inches, paper_style

MOST_LINKS = 24
"""So many are drawn, unless told otherwise."""


def link_use_figure(
    run: Run, *, links: int = MOST_LINKS, end: float | None = None, width: str | float = "column"
) -> Figure:
    """How much of its capacity each link carried, over virtual time; dark is full.

    Args:
        run: Any run that sent something.
        links: How many: those that carried the largest share of what they could.
        end: Right end of the figure (virtual seconds); that of the run if not given.
        width: "column", "page", or inches.

    Raises:
        ResultsError: The run sent nothing, or its links are not known (runs of the first schema).
    """
    table = run.links
    if table.empty:
        raise ResultsError(f"{run.folder} has no link use: nothing was sent, or it is of an old schema")
    right = float(table["end"].max()) if end is None else end
    known = table[(table["start"] < right) & np.isfinite(table["capacity"])]
    if known.empty:
        raise ResultsError(f"{run.folder}: no link of a finite bandwidth carried anything until {right:g} s")
    totals = known.groupby("resource")[["bytes", "capacity"]].sum()
    seconds = known.assign(length=known["end"] - known["start"]).groupby("resource")["length"].sum()
    load = (totals["bytes"] / (totals["capacity"] / seconds * right)).sort_values(
        ascending=False, kind="stable"
    )
    names = list(load.index[:links])
    edges = np.unique(np.concatenate([[0.0], known["start"], known["end"].clip(upper=right)]))
    grid = np.zeros((len(names), len(edges) - 1))
    for row, name in enumerate(names):
        own = known[known["resource"] == name]
        first = np.searchsorted(edges, own["start"].to_numpy())
        last = np.searchsorted(edges, own["end"].clip(upper=right).to_numpy())
        share = (own["bytes"] / own["capacity"]).to_numpy()
        for at, until, value in zip(first, last, share, strict=True):
            grid[row, at:until] = value
    unit, size = time_unit(right)
    with paper_style():
        figure = blank(width, 0.75 + 0.17 * max(len(names), 4))
        axes = figure.subplots()
        mesh = axes.pcolormesh(
            edges / size,
            np.arange(len(names) + 1),
            100 * grid,
            cmap="Blues",
            vmin=0,
            vmax=100,
            rasterized=True,
        )
        axes.set_ylim(len(names), 0)
        axes.set_yticks(
            np.arange(len(names)) + 0.5, [name.replace("->", "→") for name in names], fontsize=6.5
        )
        axes.set_xlabel(f"virtual time ({unit})")
        axes.grid(visible=False)
        axes.tick_params(axis="y", length=0)
        for line in range(1, len(names)):
            axes.axhline(line, color="white", linewidth=0.6)
        bar = figure.colorbar(mesh, ax=axes, pad=0.02, aspect=30, shrink=1.0)
        bar.set_label("use of the link (%)" if inches(width) < 5 else "use of the link's capacity (%)")
        bar.outline.set_linewidth(0.4)
        left = len(load) - len(names)
        axes.set_title(f"{run.label}" + (f"; {left} more links are less full" if left else ""), loc="left")
    return figure
