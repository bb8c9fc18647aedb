"""How far the workers' models are from each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from matplotlib.figure import Figure

from simnet.results import Run
from simnet_analysis.curves import loss_figure


def consensus_figure(
    runs: Iterable[Run],
    *,
    axes: Sequence[str] = ("time", "steps"),
    width: str | float = "page",
    band: str = "auto",
) -> Figure:
    """Root mean square distance of the workers' models from their mean, as `loss_figure` draws a metric.

    Raises:
        ResultsError: A run recorded no ``consensus_distance`` (its method has one model), or no such axis.
    """
    return loss_figure(runs, "consensus_distance", axes=axes, width=width, band=band)
