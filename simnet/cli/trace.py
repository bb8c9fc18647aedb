"""`simnet trace`."""

from pathlib import Path
from typing import Annotated

import typer

from simnet.cli.selection import Selection, selected


def trace(
    which: Selection = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A .json or .json.gz file.")
    ] = Path("trace.json"),
) -> None:
    """Write a run as a timeline for Perfetto (ui.perfetto.dev) or chrome://tracing.

    Nodes are processes; computation, messages and faults are slices with their arguments; arrows lead from
    senders to receivers.
    """
    from simnet.results.trace import write_trace

    runs = selected(which)
    if len(runs) > 1:
        raise typer.BadParameter(f"{len(runs)} runs are meant: name one folder, or add filters")
    events = write_trace(runs[0], output)
    typer.echo(f"{events} events: {output}; open it in https://ui.perfetto.dev")
