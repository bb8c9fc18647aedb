"""The figures that `simnet plot` offers beside curves and timelines, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.figure import Figure

from simnet.results import Run
from simnet_analysis.availability import availability_figure
from simnet_analysis.fault_timeline import fault_timeline_figure
from simnet_analysis.goodput import goodput_figure
from simnet_analysis.staleness import staleness_figure

OF_ALL: dict[str, Callable[[Sequence[Run]], Figure]] = {
    "availability": availability_figure,
    "goodput": goodput_figure,
    "staleness": staleness_figure,
}
"""One figure of all runs."""
OF_EACH: dict[str, Callable[[Run], Figure]] = {"faults": fault_timeline_figure}
"""One figure of each run."""
