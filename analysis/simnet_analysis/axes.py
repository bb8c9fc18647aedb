"""Axes with units that fit what is drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter, PercentFormatter

from simnet_analysis.quantities import byte_unit, time_unit

LOG_SPREAD = 10.0
"""An axis is logarithmic when the largest end of a curve is more than this many times the smallest."""

_METRIC_LABELS = {
    "loss": "held-out loss",
    "accuracy": "held-out accuracy (%)",
    "local_loss": "loss of the local models (mean)",
    "local_accuracy": "accuracy of the local models (%, mean)",
    "consensus_distance": "consensus distance",
}


@dataclass(frozen=True)
class Scale:
    """How quantities (seconds, bytes, steps) lie on an axis: divided by ``size``, perhaps logarithmic."""

    label: str
    size: float
    log: bool


def x_scale(axis: str, ends: Sequence[float]) -> Scale:
    """The scale of "time" (seconds), "bytes", "steps" or another metric for curves that end at ``ends``."""
    positive = [end for end in ends if end > 0]
    longest = max(positive, default=0.0)
    log = bool(positive) and longest > LOG_SPREAD * min(positive)
    if axis == "time":
        unit, size = time_unit(longest)
        return Scale(f"virtual time ({unit})", size, log)
    if axis == "bytes":
        unit, size = byte_unit(longest)
        return Scale(f"data sent, all workers ({unit})", size, log)
    if axis == "dollars":
        return Scale("cost of the run (dollars)", 1.0, log)
    if axis == "kwh":
        return Scale("energy of the machines (kWh)", 1.0, log)
    if axis == "steps":
        return Scale("local steps (mean per worker)", 1.0, log)
    return Scale(axis.replace("_", " "), 1.0, log)


def dress_x(axes: Axes, scale: Scale) -> None:
    """Label and ticks of the horizontal axis."""
    axes.set_xlabel(scale.label)
    if not scale.log:
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
        axes.xaxis.set_major_formatter(FuncFormatter(plain))
        axes.set_xlim(left=0)
        return
    axes.set_xscale("log")
    dress_log(axes.xaxis, axes.get_xlim())


def dress_y(axes: Axes, metric: str) -> None:
    """Label and ticks of the vertical axis for ``metric``."""
    axes.set_ylabel(metric_label(metric))
    if axes.get_yscale() == "log":
        dress_log(axes.yaxis, axes.get_ylim())
        return
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    if metric.endswith("accuracy"):
        axes.yaxis.set_major_formatter(PercentFormatter(xmax=1, symbol="", decimals=None))


def metric_label(metric: str) -> str:
    """What the axis of ``metric`` is called."""
    return _METRIC_LABELS.get(metric, metric.replace("_", " "))


def dress_log(axis: Axis, limits: tuple[float, float]) -> None:
    """Labels at powers of ten; over fewer than two of them also at 2 and 5."""
    few = limits[0] > 0 and limits[1] < 100 * limits[0]
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if few else (1.0,), numticks=6))
    axis.set_major_formatter(FuncFormatter(plain))
    axis.set_minor_formatter(NullFormatter())


def plain(number: float, _: object) -> str:
    """No exponents between a thousandth and a million: 0.01, 10, 2,500."""
    if number and not 1e-3 <= abs(number) < 1e6:
        return f"{number:.0e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:g}"
