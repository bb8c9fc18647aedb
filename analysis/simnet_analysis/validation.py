"""How far simulated seconds were from measured ones: a row per operation, a dot per repeat."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from simnet.results.validation import read_validation
from simnet_analysis.style import blank, paper_style

_MEDIAN = "#0072B2"
_BAND = "#d9d9d9"


def validation_figure(path: Path | str, *, width: str | float = "column") -> Figure:
    """Measured over predicted seconds of each operation of a validation, first on top.

    Small circles are repeats, diamonds their medians (hollow where beyond the promise), grey bars what is
    promised on a quiet machine. Right of 1 the real run took longer.

    Args:
        path: `validation.json`, or the folder that it is in.
        width: "column", "page", or inches.

    Raises:
        ValueError: There is no validation in it, or ``width`` is none of the above.
    """
    validation = read_validation(Path(path))
    rows = validation.summaries()
    with paper_style():
        figure = blank(width, 0.6 + 0.17 * len(rows))
        axes = figure.subplots()
        for row, one in enumerate(rows):
            if one.limit is not None:
                axes.barh(row, 2 * one.limit, left=1 - one.limit, height=0.8, color=_BAND, linewidth=0)
            ratios = [
                each.ratio
                for each in validation.comparisons
                if (each.operation, each.size) == (one.operation, one.size)
            ]
            axes.plot(ratios, [row] * len(ratios), "o", color="#444444", markersize=2.4, mfc="none", mew=0.6)
            fill = _MEDIAN if one.held in (True, None) else "white"
            axes.plot([one.ratio], [row], "D", color=_MEDIAN, mfc=fill, markersize=3.8, mew=0.9)
        axes.axvline(1.0, color="#444444", linewidth=0.8)
        axes.set_yticks(range(len(rows)), [f"{one.operation}, {one.size}" for one in rows], fontsize=6.5)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("measured / predicted seconds")
        axes.set_xmargin(0.06)
    return figure
