"""`simnet clean`."""

import typer


def clean() -> None:
    """Remove what emulations left behind whose process is gone: processes, devices, state files.

    Only what simnet itself wrote down is touched. Emulations that still run are left alone.
    """
    from simnet.emulation.sweeping import leftovers, running, sweep

    remaining = False
    for state in leftovers():
        swept = sweep(state)
        typer.echo(f"{swept.mark}: removed {swept.processes} processes and {swept.devices} devices")
        for what in swept.remaining:
            remaining = True
            typer.echo(f"{swept.mark}: could not remove {what}", err=True)
    for state in running():
        typer.echo(f"{state.mark}: runs as process {state.owner.pid}, left alone")
    if remaining:
        raise typer.Exit(1)
