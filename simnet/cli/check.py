"""`simnet check`."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from simnet.cli.options import Overrides


def check(
    scenarios: Annotated[list[str], typer.Argument(help="Scenario files, or names of the library.")],
    overrides: Overrides = None,
    results: Annotated[
        Path | None, typer.Option("--results", metavar="DIR", help="Keep the run folders here.")
    ] = None,
) -> None:
    """Run scenarios and verify what they expect.

    Exit code 0 if every line of [cyan]expect:[/] holds at every point of the sweep, 1 if one does not.
    """
    from simnet.cli.progress import watching
    from simnet.experiment import check as check_document
    from simnet.experiment import load

    documents = [load(scenario, overrides or ()) for scenario in scenarios]
    held = True
    with tempfile.TemporaryDirectory(prefix="simnet-check-") as temporary:
        for document in documents:
            with watching(document) as watch:
                verdicts = check_document(document, results or temporary, watch)
            for verdict in verdicts:
                typer.echo(str(verdict))
                held = held and verdict.held
    if not held:
        raise typer.Exit(1)
