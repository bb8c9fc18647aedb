"""The look of the figures: sizes for print, and one colour, line and marker per method wherever it appears.

Colours are those of Okabe and Ito (2008, "Color Universal Design") and, for methods that this page does not
name, those of Tol (2021, "Colour schemes", muted). Line styles and markers differ too:
figures must read in grey.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from simnet.results import ResultsError

COLUMN_INCHES = 3.3
"""Width of one column of a two-column paper."""
PAGE_INCHES = 7.16
"""Width of both columns."""

_DASHES: dict[str, Any] = {
    "solid": "-",
    "dashed": (0, (5, 1.6)),
    "dotted": (0, (1.2, 1.2)),
    "dash-dot": (0, (5, 1.4, 1.2, 1.4)),
    "long": (0, (9, 2)),
}
_HATCHES = {
    "s": "////",
    "D": "\\\\\\\\",
    "v": "....",
    "P": "xxxx",
    "X": "----",
    "<": "||||",
    ">": "++++",
    "*": "oo",
}


@dataclass(frozen=True)
class MethodStyle:
    """How one method is drawn."""

    color: str
    line: str
    marker: str

    @property
    def hatch(self) -> str:
        """How its areas are filled, so that they can be told apart in grey."""
        return _HATCHES.get(self.marker, "")

    @property
    def dashes(self) -> Any:
        """The line in matplotlib's terms."""
        return _DASHES[self.line]


SHIPPED = {
    "allreduce": MethodStyle("#000000", "solid", "o"),
    "local-sgd": MethodStyle("#E69F00", "dashed", "s"),
    "diloco": MethodStyle("#0072B2", "solid", "^"),
    "d-psgd": MethodStyle("#009E73", "dash-dot", "D"),
    "ad-psgd": MethodStyle("#56B4E9", "dashed", "v"),
    "fedavg": MethodStyle("#D55E00", "dash-dot", "P"),
    "fedbuff": MethodStyle("#CC79A7", "solid", "X"),
}
"""The methods that simnet ships: the same in every figure, whatever else is in it."""
ALSO_SHIPPED = {
    "pipeline": MethodStyle("#332288", "solid", "<"),
    "pipedream": MethodStyle("#882255", "dashed", ">"),
    "pipedream-2bw": MethodStyle("#999933", "dash-dot", "*"),
    "pipemare": MethodStyle("#44AA99", "dotted", "d"),
    "nesterov-async": MethodStyle("#7F7F7F", "long", "p"),
    "robust-allreduce": MethodStyle("#8C510A", "dotted", "h"),
    "robust-gossip": MethodStyle("#CC6677", "long", "H"),
    "bristle": MethodStyle("#661100", "dash-dot", "8"),
}
"""The same for those with stages and those that resist attacks."""

_OTHER_COLORS = ("#332288", "#882255", "#999933", "#44AA99", "#7F7F7F", "#8C510A", "#CC6677", "#661100")
_OTHER_LINES = ("long", "dotted", "dashed", "solid", "dash-dot")
_OTHER_MARKERS = ("<", ">", "*", "d", "p")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", *_OTHER_MARKERS)


def method_styles(names: Iterable[str]) -> dict[str, MethodStyle]:
    """A style for each name, no two the same, and no two of one colour while there are colours left (15).

    Shipped methods have the style of ``SHIPPED`` or ``ALSO_SHIPPED``. Any other name starts at a place that
    its own letters determine and moves on only if another name of this figure has that colour, so it mostly
    looks the same in every figure; the order of ``names`` does not matter.

    Raises:
        ResultsError: There are more names than styles (some 200).
    """
    wanted = set(names)
    fixed = {**SHIPPED, **ALSO_SHIPPED}
    styles = {name: fixed[name] for name in sorted(wanted) if name in fixed}
    free = [style.color for name, style in SHIPPED.items() if name not in wanted]
    colors = [*_OTHER_COLORS, *free]
    for name in sorted(wanted - set(styles)):
        code = crc32(name.encode())
        line = _OTHER_LINES[code // 8 % len(_OTHER_LINES)]
        marker = _OTHER_MARKERS[code // 64 % len(_OTHER_MARKERS)]
        start = code % len(_OTHER_COLORS)
        own = [*_OTHER_COLORS[start:], *_OTHER_COLORS[:start], *free]
        used = {style.color for style in styles.values()}
        if len(used & set(colors)) < len(colors):
            color = next(color for color in own if color not in used)
            styles[name] = MethodStyle(color, line, marker)
        else:  # all colours are taken: lines and markers tell apart
            looks = (
                MethodStyle(color, line, marker)
                for marker in _OTHER_MARKERS
                for line in _OTHER_LINES
                for color in own
            )
            look = next((look for look in looks if look not in styles.values()), None)
            if look is None:
                raise ResultsError(
                    f"{len(wanted)} methods cannot be told apart in one figure: name fewer runs"
                )
            styles[name] = look
    return styles


def group_styles(groups: Iterable[tuple[str, str]]) -> dict[str, MethodStyle]:
    """A style for each group of runs, given as (name, method).

    A method alone has its style of every figure. Where one method comes under several settings, all of them
    have its colour, and lines and markers tell them apart.
    """
    pairs = list(groups)
    methods = method_styles(method for _, method in pairs)
    styles: dict[str, MethodStyle] = {}
    for method, style in methods.items():
        names = [name for name, own in pairs if own == method]
        lines = [style.line, *(line for line in _DASHES if line != style.line)]
        markers = [style.marker, *(marker for marker in _MARKERS if marker != style.marker)]
        for number, name in enumerate(names):
            line, marker = lines[number % len(lines)], markers[number % len(markers)]
            styles[name] = MethodStyle(style.color, line, marker)
    return styles


def inches(width: str | float) -> float:
    """A figure's width: "column" (3.3 in), "page" (7.16 in), or a number of inches.

    Raises:
        ValueError: It is none of them.
    """
    named = {"page": PAGE_INCHES, "column": COLUMN_INCHES}
    try:
        found = named[width] if isinstance(width, str) and width in named else float(width)
    except ValueError:
        found = 0.0
    if not found > 0:
        raise ValueError(f"width must be 'page', 'column' or a number of inches, not {width!r}")
    return found


def blank(width: str | float, height: float) -> Figure:
    """An empty figure of a width (see `inches`) and a height in inches, which needs no screen."""
    figure = Figure(figsize=(inches(width), height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def legend_columns(labels: Sequence[str], width: float) -> int:
    """As many columns as fit, by the mean width of a letter at 7.5 pt. A legend fills column by column."""
    for columns in range(len(labels), 1, -1):
        longest = [max(map(len, part)) for part in np.array_split(np.array(labels), columns)]
        if sum(0.066 * letters + 0.52 for letters in longest) <= width:
            return columns
    return 1


def legend_below(figure: Figure, handles: Sequence[Any], labels: Sequence[str], title: str = "") -> None:
    """A legend under the panels, in as many columns as fit."""
    columns = legend_columns(labels, figure.get_figwidth())
    place: Any = "outside lower center"
    figure.legend(
        handles, labels, loc=place, ncols=columns, columnspacing=1.4, title=title or None, title_fontsize=7
    )


def look(style: MethodStyle) -> dict[str, Any]:
    """A method's line, in matplotlib's terms."""
    return {
        "color": style.color,
        "linestyle": style.dashes,
        "marker": style.marker,
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
    }


@contextmanager
def paper_style() -> Iterator[None]:
    """matplotlib's settings for figures of a paper, 8 pt; the settings before come back at the end.

    Fonts come with matplotlib and are embedded, so a figure is the same on every machine.
    """
    with mpl.rc_context(
        {
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans"],
            "font.size": 8,
            "axes.titlesize": 8,
            "axes.labelsize": 8,
            "xtick.labelsize": 7.5,
            "ytick.labelsize": 7.5,
            "legend.fontsize": 7.5,
            "axes.linewidth": 0.6,
            "axes.edgecolor": "#444444",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "grid.color": "#e4e4e4",
            "grid.linewidth": 0.5,
            "xtick.major.width": 0.6,
            "ytick.major.width": 0.6,
            "xtick.minor.width": 0.4,
            "ytick.minor.width": 0.4,
            "xtick.color": "#444444",
            "ytick.color": "#444444",
            "xtick.labelcolor": "black",
            "ytick.labelcolor": "black",
            "lines.linewidth": 1.3,
            "lines.markersize": 3.8,
            "legend.frameon": False,
            "legend.handlelength": 2.6,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "figure.dpi": 150,
            "savefig.dpi": 300,
            "pdf.fonttype": 42,
            "svg.hashsalt": "simnet",
        }
    ):
        yield
