"""Figures and tables of simnet's results. Reads run folders only; never runs anything."""

from simnet_analysis.availability import availability_figure
from simnet_analysis.curves import loss_figure
from simnet_analysis.fault_timeline import fault_timeline_figure
from simnet_analysis.goodput import goodput_figure
from simnet_analysis.kinds import OF_ALL, OF_EACH
from simnet_analysis.save import save_figure
from simnet_analysis.staleness import staleness_figure
from simnet_analysis.table import comparison_table, default_target, format_table, table_cells
from simnet_analysis.timeline import timeline_figure
from simnet_analysis.topology_map import MapLink, MapNode, topology_figure

__all__ = [
    "OF_ALL",
    "OF_EACH",
    "MapLink",
    "MapNode",
    "availability_figure",
    "comparison_table",
    "default_target",
    "fault_timeline_figure",
    "format_table",
    "goodput_figure",
    "loss_figure",
    "save_figure",
    "staleness_figure",
    "table_cells",
    "timeline_figure",
    "topology_figure",
]
