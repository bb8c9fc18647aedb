"""`simnet doctor`."""

import json
from dataclasses import asdict
from typing import Annotated

import typer


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print a list for programs instead.")] = False,
) -> None:
    """Say what this machine can do: for emulation, for training, for batches; and how to get what is missing.

    Nothing is changed or left behind.
    """
    from rich.console import Console

    from simnet.emulation.doctor import NEEDED, capabilities, table

    found = capabilities()
    if as_json:
        typer.echo(json.dumps([asdict(capability) for capability in found], indent=2))
        return
    console = Console()
    console.print(table(found))
    absent = {capability.name for capability in found if not capability.available}
    for driver, needed in NEEDED.items():
        missing = [name for name in needed if name in absent]
        console.print(
            f"{driver} driver: {'cannot run without ' + ', '.join(missing) if missing else 'can run'}"
        )
