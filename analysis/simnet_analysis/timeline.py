"""Who computes what, and when, and what it waits for: one row of bars per node."""

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
from simnet_analysis.style import blank, inches, legend_columns, paper_style

_ROW_INCHES = 0.21
_LABEL_POINTS = 5.0  # of height, of the numbers in bars
_DIGIT_INCHES = 0.6 * _LABEL_POINTS / 72
_MOST_BARS = 50_000


@dataclass(frozen=True)
class Look:
    """How one kind of bar is drawn; dark, light and hatched ones read in grey."""

    color: str
    ink: str = "black"
    edge: str = "white"
    hatch: str = ""
    height: float = 0.86


LOOKS = {
    "forward": Look("#56B4E9"),
    "backward": Look("#004D80", ink="white"),
    "train": Look("#0072B2", ink="white"),
    "step": Look("#E69F00"),
    "other work": Look("#009E73", ink="white"),
    "checkpoint": Look("#000000", ink="white", edge="#000000"),
    "collective": Look("#F0E442", edge="#8A8420", hatch="////", height=0.5),
    "waits for an activation": Look("#F4F4F4", edge="#B0B0B0", height=0.5),
    "waits for a gradient": Look("#DCC6D3", edge="#8A6F80", hatch="\\\\\\\\", height=0.5),
    "waits": Look("#F4F4F4", edge="#B0B0B0", height=0.5),
}
"""What a bar can stand for, in the order of the legend."""

_SENDS: dict[str, Any] = {"color": "#D55E00", "linewidth": 1.6, "solid_capstyle": "butt"}

_WORK = {"forward": "forward", "backward": "backward", "step": "step"}
_AWAITED = {"forward": "waits for an activation", "backward": "waits for a gradient"}


@dataclass(frozen=True)
class Bar:
    """One span of one node, in seconds."""

    node: str
    what: str
    """A name of `LOOKS`."""
    start: float
    end: float
    microbatch: int | None = None
    """Of a pass of a pipeline, counted from 0; None where there is none, or where it is not known."""


def bars(run: Run) -> list[Bar]:
    """Every span of a run as a bar, in the order in which they were recorded.

    A node that waits for a message in a pipeline waits for what it does next: an activation before a forward
    pass, a gradient before a backward pass. Forward passes of a stage are in the order of the microbatches,
    and so are backward passes; not so where a stage holds several pieces (the schedule `interleaved`), whose
    bars have no number.
    """
    numbered = not _interleaved(run)
    counts: dict[tuple[str, str], int] = {}
    found: list[Bar] = []
    waiting: dict[str, int] = {}  # where a node's last wait is, until it is known what it was for
    spans = run.spans
    columns = (spans[name].tolist() for name in ("node", "kind", "name", "start", "end"))
    for node, kind, name, start, end in zip(*columns, strict=True):
        if kind == "wait":
            waiting[node] = len(found)
            found.append(Bar(node, "waits", start, end))
            continue
        what = _what(kind, name)
        number = None
        if what in _AWAITED:
            number = counts.get((node, what), 0)
            counts[node, what] = number + 1
            before = waiting.get(node)
            if before is not None and found[before].end <= start:
                wait = found[before]
                found[before] = Bar(node, _AWAITED[what], wait.start, wait.end)
        if kind == "compute":
            waiting.pop(node, None)
        found.append(Bar(node, what, start, end, number if numbered else None))
    return found


def timeline_figure(
    run: Run,
    start: float = 0.0,
    end: float | None = None,
    nodes: Sequence[str] | None = None,
    *,
    width: str | float = "page",
) -> Figure:
    """Bars of what each node does from ``start`` to ``end`` (virtual seconds), a row per node.

    A line below a node's bars says when it sends. Microbatch numbers stand in the bars of passes where there
    is room.

    Args:
        run: Any run; all methods record spans.
        start: Left end of the figure.
        end: Right end; that of the last span if not given.
        nodes: Which nodes, from top to bottom; all in the order of their names if not given.
        width: "page", "column", or inches.

    Raises:
        ResultsError: The run has no such node, nothing happens between ``start`` and ``end``, or too much for
            a figure (50,000 bars).
    """
    every = bars(run)
    present = sorted({bar.node for bar in every}, key=natural)
    rows = list(present if nodes is None else nodes)
    missing = [node for node in rows if node not in present]
    if missing:
        raise ResultsError(f"{run.folder} has no spans of {missing[0]!r} (it has: {', '.join(present)})")
    right = max((bar.end for bar in every), default=0.0) if end is None else end
    shown = [bar for bar in every if bar.node in rows and bar.end > start and bar.start < right]
    if not shown:
        raise ResultsError(f"{run.folder}: no node does anything from {start:g} s to {right:g} s")
    if len(shown) > _MOST_BARS:
        raise ResultsError(
            f"{run.folder}: {len(shown)} bars from {start:g} s to {right:g} s, too many to be seen; "
            "choose a shorter time"
        )
    with paper_style():
        height = 0.85 + _ROW_INCHES * len(rows)
        kinds = [what for what in LOOKS if any(bar.what == what for bar in shown)]
        patches: list[Any] = [Patch(**_face(LOOKS[what]), label=what) for what in kinds]
        sends = sendings(run, rows, (start, right))
        if any(sends.values()):
            patches.append(Line2D([], [], **_SENDS, label="sends"))
            kinds.append("sends")
        columns = min(legend_columns(kinds, inches(width)), 6)
        figure = blank(width, height + 0.17 * (-(-len(kinds) // columns) - 1))
        axes = figure.subplots()
        _draw(axes, shown, rows, (start, right))
        for row, node in enumerate(rows):
            size = _unit(right)[1]
            for left, until in sends[node]:
                axes.plot([left / size, until / size], [row + 0.47] * 2, **_SENDS)
        figure.legend(handles=patches, loc="outside upper center", ncols=columns)
    return figure


def sendings(
    run: Run, nodes: Sequence[str], limits: tuple[float, float]
) -> dict[str, list[tuple[float, float]]]:
    """For each node the times at which it sends anything, as far as they lie between the limits."""
    found: dict[str, list[tuple[float, float]]] = {node: [] for node in nodes}
    table = run.transfers
    until = table["left"].fillna(table["delivered"]).fillna(run.manifest.virtual_seconds)
    order = table["start"].argsort(kind="stable")
    columns = (series.iloc[order].tolist() for series in (table["source"], table["start"], until))
    for source, start, end in zip(*columns, strict=True):
        start, end = max(start, limits[0]), min(end, limits[1])
        if source not in found or end <= start:
            continue
        before = found[source][-1:]
        if before and start <= before[0][1]:
            found[source][-1] = (before[0][0], max(end, before[0][1]))
        else:
            found[source].append((start, end))
    return found


def _draw(axes: Axes, shown: Sequence[Bar], rows: Sequence[str], limits: tuple[float, float]) -> None:
    unit, size = _unit(limits[1])
    place = {node: row for row, node in enumerate(rows)}
    inches_per_second = 0.86 * axes.figure.get_figwidth() / (limits[1] - limits[0])  # type: ignore[union-attr]
    # Waits lie below work: what is computed meanwhile stays to be seen.
    for what, look in reversed(LOOKS.items()):
        of_kind = [bar for bar in shown if bar.what == what]
        if not of_kind:
            continue
        axes.barh(
            [place[bar.node] for bar in of_kind],
            [(bar.end - bar.start) / size for bar in of_kind],
            left=[bar.start / size for bar in of_kind],
            height=look.height,
            label=what,
            **_face(look),
        )
        for bar in of_kind:
            if bar.microbatch is None:
                continue
            left, right = max(bar.start, limits[0]), min(bar.end, limits[1])
            label = str(bar.microbatch)
            if (right - left) * inches_per_second > (len(label) + 0.4) * _DIGIT_INCHES:
                middle = (left + right) / 2 / size
                axes.text(
                    middle,
                    place[bar.node],
                    label,
                    ha="center",
                    va="center_baseline",
                    fontsize=_LABEL_POINTS,
                    color=look.ink,
                )
    axes.set_yticks(range(len(rows)), _short(rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(limits[0] / size, limits[1] / size)
    axes.set_xlabel(f"virtual time ({unit})")
    axes.xaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda number, _: f"{number:,g}"))
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)


def _face(look: Look) -> dict[str, Any]:
    return {
        "facecolor": look.color,
        "edgecolor": look.edge,
        "linewidth": 0.3,
        "hatch": look.hatch,
    }


def _what(kind: str, name: str) -> str:
    if kind in ("collective", "checkpoint"):
        return kind
    if name in _WORK:
        return _WORK[name]
    return "train" if name == "train" else "other work"


def _interleaved(run: Run) -> bool:
    entries = run.scenario.get("algorithms", ())
    return any(isinstance(entry, dict) and entry.get("schedule") == "interleaved" for entry in entries)


def _unit(longest: float) -> tuple[str, float]:
    units = (("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    return next((unit for unit in units if longest >= 2 * unit[1]), units[-1])


def natural(name: str) -> tuple[tuple[float, str], ...]:
    """Names in the order of the numbers in them: stage2 before stage10."""
    parts: list[tuple[float, str]] = []
    digits = ""
    for sign in name + " ":
        if sign.isdigit():
            digits += sign
            continue
        if digits:
            parts.append((float(digits), ""))
            digits = ""
        parts.append((inf, sign))
    return tuple(parts)


def _short(nodes: Sequence[str]) -> list[str]:
    """Names of stages without the replica, where there is one replica."""
    if len({node.split(".")[0] for node in nodes}) == 1 and all("." in node for node in nodes):
        return [node.split(".", 1)[1] for node in nodes]
    return list(nodes)
