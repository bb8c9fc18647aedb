"""`simnet init`."""

from pathlib import Path
from typing import Annotated

import typer


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = Path("scenario.yaml"),
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Write a commented starter scenario."""
    from simnet.scenario import starter_text

    if path.exists() and not force:
        typer.echo(f"error: {path} exists; use --force to overwrite it, or name another file", err=True)
        raise typer.Exit(2)
    try:
        path.write_text(starter_text(), encoding="utf-8")
    except OSError as error:
        typer.echo(f"error: cannot write {path}: {error.strerror}", err=True)
        raise typer.Exit(2) from None
    typer.echo(f"wrote {path}; now: simnet run {path}")
