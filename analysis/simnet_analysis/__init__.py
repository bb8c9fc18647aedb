"""Figures and tables of simnet's results. Reads run folders only; never runs anything.

Each kind of figure is a function that returns the figure; `simnet_analysis.kinds` lists them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simnet_analysis.attack_map import attack_figure
    from simnet_analysis.availability import availability_figure
    from simnet_analysis.breakdown import breakdown_figure
    from simnet_analysis.consensus import consensus_figure
    from simnet_analysis.curves import loss_figure
    from simnet_analysis.fault_timeline import fault_timeline_figure
    from simnet_analysis.goodput import goodput_figure
    from simnet_analysis.heatmap import winners_figure
    from simnet_analysis.kinds import KINDS
    from simnet_analysis.link_use import link_use_figure
    from simnet_analysis.pareto import pareto_figure
    from simnet_analysis.run_map import run_map_figure
    from simnet_analysis.save import save_figure
    from simnet_analysis.scaling import scaling_figure
    from simnet_analysis.speedup import speedup_figure
    from simnet_analysis.staleness import staleness_figure
    from simnet_analysis.table import comparison_table, default_target, format_table, table_cells
    from simnet_analysis.target_bars import target_figure
    from simnet_analysis.timeline import timeline_figure
    from simnet_analysis.topology_map import MapLink, MapNode, topology_figure
    from simnet_analysis.validation import validation_figure

_PLACES = {
    "KINDS": "kinds",
    "MapLink": "topology_map",
    "MapNode": "topology_map",
    "attack_figure": "attack_map",
    "availability_figure": "availability",
    "breakdown_figure": "breakdown",
    "comparison_table": "table",
    "consensus_figure": "consensus",
    "default_target": "table",
    "fault_timeline_figure": "fault_timeline",
    "format_table": "table",
    "goodput_figure": "goodput",
    "link_use_figure": "link_use",
    "loss_figure": "curves",
    "pareto_figure": "pareto",
    "report_html": "report",
    "run_map_figure": "run_map",
    "save_figure": "save",
    "scaling_figure": "scaling",
    "speedup_figure": "speedup",
    "staleness_figure": "staleness",
    "table_cells": "table",
    "target_figure": "target_bars",
    "timeline_figure": "timeline",
    "topology_figure": "topology_map",
    "validation_figure": "validation",
    "winners_figure": "heatmap",
}

__all__ = [
    "KINDS",
    "MapLink",
    "MapNode",
    "attack_figure",
    "availability_figure",
    "breakdown_figure",
    "comparison_table",
    "consensus_figure",
    "default_target",
    "fault_timeline_figure",
    "format_table",
    "goodput_figure",
    "link_use_figure",
    "loss_figure",
    "pareto_figure",
    "run_map_figure",
    "save_figure",
    "scaling_figure",
    "speedup_figure",
    "staleness_figure",
    "table_cells",
    "target_figure",
    "timeline_figure",
    "topology_figure",
    "validation_figure",
    "winners_figure",
]


def __getattr__(name: str) -> Any:
    """Imported when asked for: matplotlib takes longer than most commands."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"simnet_analysis.{_PLACES[name]}"), name)
