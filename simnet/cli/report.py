"""`simnet report`."""

from pathlib import Path
from typing import Annotated

import typer

from simnet.cli.selection import Selection, selected


def report(
    what: Selection = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="Where the page goes; report.html beside the runs."
        ),
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="By which methods are compared; loss if not given.")
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(help="Target of the metric; what all methods reach if not given."),
    ] = None,
) -> None:
    """Write one page with everything: answer, statistics, curves, timelines, network, provenance.

    The page holds all that it needs and opens from the disk, also without a network. It reads finished runs
    and runs nothing.
    """
    from simnet.cli.plot import common_folder
    from simnet_analysis.report import write_report

    runs = selected(what)
    path = output or common_folder(runs) / "report.html"
    if path.suffix not in (".html", ".htm"):
        raise typer.BadParameter(f"{path} is not a .html file", param_hint="--output")
    typer.echo(f"report:  {write_report(runs, path, metric, target)}")
