"""`simnet trace`."""

from pathlib import Path
from typing import Annotated

import typer


def trace(
    run: Annotated[Path, typer.Argument(help="A run's folder, or one with a single run in it.")],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="A .json or .json.gz file.")
    ] = Path("trace.json"),
) -> None:
    """Write a run as a timeline for Perfetto (ui.perfetto.dev) or chrome://tracing.

    Nodes are processes; computation, messages and faults are slices with their arguments; arrows lead from
    senders to receivers.
    """
    from simnet.results import read_runs
    from simnet.results.trace import write_trace

    runs = read_runs(run)
    if len(runs) > 1:
        raise typer.BadParameter(f"{run} holds {len(runs)} runs: name one of them")
    events = write_trace(runs[0], output)
    typer.echo(f"{events} events: {output}; open it in https://ui.perfetto.dev")
