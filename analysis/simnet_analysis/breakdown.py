"""What the time of the workers goes to: computing, sending, waiting, or nothing at all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from simnet.results import ResultsError, Run
from simnet_analysis.curves import Floats
from simnet_analysis.groups import group_runs
from simnet_analysis.style import blank, legend_below, paper_style

PARTS = {
    "computing": {"facecolor": "#0072B2", "edgecolor": "white"},
    "sending, not computing": {"facecolor": "#E69F00", "edgecolor": "white", "hatch": "////"},
    "waiting": {"facecolor": "#D9D9D9", "edgecolor": "#777777", "hatch": "...."},
    "idle": {"facecolor": "white", "edgecolor": "#777777"},
}
"""What a worker's time can go to, in the order of the bars."""


@dataclass(frozen=True)
class Shares:
    """Shares of a run's time, mean over its workers; they add up to 1."""

    computing: float
    sending: float
    """While it did not compute."""
    waiting: float
    """In a collective or for a message, while it neither computed nor sent."""
    idle: float


def covered(start: Floats, end: Floats) -> float:
    """The length of the union of intervals."""
    if not len(start):
        return 0.0
    order = np.argsort(start, kind="stable")
    start, end = start[order], end[order]
    reach = np.maximum.accumulate(end)
    gaps = np.maximum(start[1:] - reach[:-1], 0.0)
    return float(reach[-1] - start[0] - gaps.sum())


def shares(run: Run) -> Shares:
    """What the time of a run's workers (all its nodes but a server) went to.

    Spans may overlap, since methods compute while they send: every moment counts once, for the first of
    computing, sending, waiting that it is in.

    Raises:
        ResultsError: The run took no time, or no worker did anything.
    """
    total = run.manifest.virtual_seconds
    spans, transfers = run.spans, run.transfers
    nodes = [node for node in spans["node"].unique() if node != "server"]
    if not total > 0 or not nodes:
        raise ResultsError(f"{run.folder}: no worker did anything, so there is nothing to share out")
    sent_end = transfers["left"].fillna(transfers["delivered"]).fillna(total).to_numpy(float)
    parts = np.zeros((len(nodes), 3))
    compute = (spans["kind"] == "compute").to_numpy()
    node, start, end = (spans[name].to_numpy() for name in ("node", "start", "end"))
    source, sent_start = transfers["source"].to_numpy(), transfers["start"].to_numpy(float)
    for row, name in enumerate(nodes):
        mine, sends = node == name, source == name
        computing = _until(start[mine & compute], end[mine & compute], total)
        sending = _until(sent_start[sends], sent_end[sends], total)
        waiting = _until(start[mine & ~compute], end[mine & ~compute], total)
        with_sends = _joined(computing, sending)
        parts[row] = [covered(*computing), covered(*with_sends), covered(*_joined(with_sends, waiting))]
    computing_, sending_, waiting_ = (parts.mean(0) / total).tolist()
    return Shares(computing_, sending_ - computing_, waiting_ - sending_, 1 - waiting_)


def breakdown_figure(runs: Iterable[Run], *, width: str | float = "column") -> Figure:
    """A bar per method, of what its workers' time goes to; the method that computes most on top.

    Means over workers and seeds. The number is the share that goes to computing.

    Raises:
        ResultsError: There is no run, or one in which nothing happened.
    """
    found = {}
    for group in group_runs(runs):
        each = np.array([[s.computing, s.sending, s.waiting, s.idle] for s in map(shares, group.runs)])
        found[group.name] = each.mean(0)
    names = sorted(found, key=lambda name: (-found[name][0], name))
    with paper_style():
        figure = blank(width, 1.05 + 0.24 * len(names))
        axes = figure.subplots()
        for row, name in enumerate(names):
            left = 0.0
            for share, face in zip(100 * found[name], PARTS.values(), strict=True):
                axes.barh(row, share, left=left, height=0.7, linewidth=0.4, **face)  # type: ignore[arg-type]
                left += share
            axes.annotate(
                _percent(found[name][0]),
                (100, row),
                (3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
            )
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0, 100)
        axes.set_xlabel("share of the workers' time (%)")
        axes.grid(axis="y", visible=False)
        axes.tick_params(axis="y", length=0)
        handles = [Patch(linewidth=0.4, **face) for face in PARTS.values()]  # type: ignore[arg-type]
        legend_below(figure, handles, list(PARTS), "number: computing")
    return figure


def _until(start: Floats, end: Floats, total: float) -> tuple[Floats, Floats]:
    start, end = np.minimum(start.astype(float), total), np.minimum(end.astype(float), total)
    return start, end


def _joined(*parts: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.2g} %"
