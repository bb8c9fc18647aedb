"""Who wins where: the best method at every pair of two swept keys, and by how much."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from simnet.results import ResultsError, Run
from simnet.results.columns import check_keys, columns_of, rows, si
from simnet_analysis.measures import Goal, estimate, goal, key_scale
from simnet_analysis.style import MethodStyle, blank, inches, legend_below, method_styles, paper_style


@dataclass(frozen=True)
class Winner:
    """The best method of a cell. ``factor`` is what the second best takes over what it takes."""

    method: str
    amount: float
    factor: float
    """1 is a tie; infinite where nobody else reaches the target; NaN where nobody else was run."""


def winner(amounts: dict[str, float]) -> Winner | None:
    """Who takes least; None where nobody reaches the target."""
    order = sorted(amounts, key=lambda method: (amounts[method], method))
    if not order or not isfinite(amounts[order[0]]):
        return None
    best = amounts[order[0]]
    second = amounts[order[1]] if len(order) > 1 else float("nan")
    return Winner(order[0], best, second / best if best > 0 else (inf if second > 0 else 1.0))


def winners_figure(
    runs: Iterable[Run],
    metric: str | None = "loss",
    *,
    x: str,
    y: str,
    target: float | None = None,
    of: str = "time",
    width: str | float = "column",
) -> Figure:
    """A cell for every pair of values of two keys, in the colour of the method that is best there.

    The number says by how much: 1.8 where the second best takes 1.8 times as much. Amounts are means over
    seeds; a method of which not all seeds reach the target has not reached it.

    Args:
        runs: Runs of a sweep over both keys.
        metric: Any evaluation metric of the whole system; None for whole runs.
        x: The key to the right, such as "network.link.bandwidth".
        y: The key upwards, such as "network.link.latency".
        target: The metric's value; the one that all runs reach if not given.
        of: "time", "bytes", "steps", "dollars" or "kwh" until then.
        width: "column", "page", or inches.

    Raises:
        ResultsError: A key is unknown, or has one value alone.
        ValueError: ``of`` or ``width`` is none of the above.
    """
    runs = list(runs)
    asked = goal(runs, of, metric, target)
    cells, xs, ys = _cells(runs, x, y, asked)
    styles = method_styles({method for amounts in cells.values() for method in amounts})
    with paper_style():
        side = min(0.5, (inches(width) - 0.9) / len(xs))
        figure = blank(width, 1.1 + max(1.5, max(0.3, min(side, 0.42)) * len(ys)))
        axes = figure.subplots()
        for (at_x, at_y), amounts in cells.items():
            best = winner(amounts)
            place = (xs.index(at_x) - 0.5, ys.index(at_y) - 0.5)
            style = None if best is None else styles[best.method]
            axes.add_patch(Rectangle(place, 1, 1, **_face(style)))
            axes.text(
                place[0] + 0.5,
                place[1] + 0.5,
                _said(best),
                ha="center",
                va="center",
                fontsize=6.5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0, "alpha": 0.9},
            )
        axes.set_xlim(-0.5, len(xs) - 0.5)
        axes.set_ylim(-0.5, len(ys) - 0.5)
        axes.grid(visible=False)
        axes.tick_params(length=0)
        label, texts = _ticks(x, xs)
        axes.set_xticks(range(len(xs)), texts)
        axes.set_xlabel(label)
        label, texts = _ticks(y, ys)
        axes.set_yticks(range(len(ys)), texts)
        axes.set_ylabel(label)
        seen = {best.method for amounts in cells.values() if (best := winner(amounts)) is not None}
        shown = [method for method in styles if method in seen]
        what = {"time": "time", "bytes": "bytes", "steps": "steps"}.get(of, of)
        title = f"least {what}" + ("" if asked.target is None else f" to {asked.metric} {asked.target:g}")
        legend_below(
            figure,
            [Patch(**_face(styles[method])) for method in shown],
            shown,
            f"{title}\nnumber: times as much that the second best takes",
        )
    return figure


def _cells(
    runs: Sequence[Run], x: str, y: str, asked: Goal
) -> tuple[dict[tuple[object, object], dict[str, float]], list[object], list[object]]:
    given = rows(runs)
    check_keys([x, y], columns_of(given))
    found: dict[tuple[object, object], dict[str, list[float]]] = {}
    for run, own in zip(runs, given, strict=True):
        at = (si(own.get(x)), si(own.get(y)))
        if None in at:
            raise ResultsError(f"{run.folder} has no key `{x if at[0] is None else y}`: leave it out")
        found.setdefault(at, {}).setdefault(run.label, []).append(asked.of(run))
    axes = []
    for key, number in ((x, 0), (y, 1)):
        values = list(dict.fromkeys(at[number] for at in found))
        if len(values) < 2:
            raise ResultsError(f"all runs have one value of `{key}`: sweep it, or name another key")
        numeric = all(isinstance(value, int | float) for value in values)
        axes.append(sorted(values) if numeric else values)  # type: ignore[type-var]
    means = {
        at: {method: estimate(amounts).mean for method, amounts in by_method.items()}
        for at, by_method in found.items()
    }
    return means, axes[0], axes[1]


def _face(style: MethodStyle | None) -> dict[str, Any]:
    if style is None:
        return {"facecolor": "#f2f2f2", "edgecolor": "white", "linewidth": 0.8}
    return {
        "facecolor": style.color,
        "edgecolor": "white",
        "linewidth": 0.8,
        "hatch": style.hatch,
    }


def _said(best: Winner | None) -> str:
    if best is None:
        return "nobody"
    if best.factor != best.factor:
        return "alone"
    if best.factor == inf:
        return "only"
    return f"{best.factor:.2f}" if best.factor < 9.95 else f"{best.factor:.0f}"


def _ticks(key: str, values: Sequence[object]) -> tuple[str, list[str]]:
    if not all(isinstance(value, int | float) for value in values):
        return key.rpartition(".")[2].replace("_", " "), [str(value) for value in values]
    scale = key_scale(key, [float(value) for value in values])  # type: ignore[arg-type]
    return scale.label, [f"{float(value) / scale.size:,.6g}" for value in values]  # type: ignore[arg-type]
