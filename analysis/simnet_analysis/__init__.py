"""Figures and tables of simnet's results. Reads run folders only; never runs anything."""

from simnet_analysis.curves import loss_figure
from simnet_analysis.save import save_figure
from simnet_analysis.table import comparison_table, default_target, format_table, table_cells

__all__ = [
    "comparison_table",
    "default_target",
    "format_table",
    "loss_figure",
    "save_figure",
    "table_cells",
]
