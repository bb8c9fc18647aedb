"""`simnet list`."""

from enum import StrEnum
from typing import Annotated

import typer


class Kind(StrEnum):
    """What can be listed."""

    algorithms = "algorithms"
    topologies = "topologies"
    networks = "networks"
    devices = "devices"
    datasets = "datasets"
    models = "models"
    optimizers = "optimizers"
    tasks = "tasks"
    partitions = "partitions"


def list_(kind: Annotated[Kind, typer.Argument(help="What to list.")]) -> None:
    """List what a scenario can name, with one line and the options of each."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from simnet.cli.components import listed

    table = Table(show_header=True, box=None, pad_edge=False, padding=(0, 2, 1, 0))
    for column in ("name", "what it is", "options (default)"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for name, summary, options in listed(kind.value):
        table.add_row(Text(name, style="bold"), Text(summary), Text("\n".join(options)))
    Console(soft_wrap=False).print(table)
