"""`simnet emulate`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from simnet.cli.options import Overrides, Results, ScenarioName


def emulate(
    scenario: ScenarioName,
    overrides: Overrides = None,
    results: Results = Path("results"),
    driver: Annotated[
        Literal["fabric", "mininet", "loopback"],
        typer.Option(
            help="What carries packets: one process over the scenario's own graph (fabric), the kernel's "
            "queues (mininet), or this machine's loopback, unshaped."
        ),
    ] = "fabric",
    pace: Annotated[
        Literal["real", "paced"],
        typer.Option(
            help="Whether computing takes its real time, or at least that of the scenario's devices."
        ),
    ] = "real",
    cli: Annotated[
        bool, typer.Option("--cli", help="Open Mininet's command line before each run, its network up.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a machine-readable summary instead.")
    ] = False,
) -> None:
    """Run a scenario for real: processes with torch in Mininet hosts, and TCP over links as it says.

    The same algorithms, the same data and the same faults as [bold]simnet run[/]; only time is real. Each run
    lands in a folder of its own, labelled [cyan]<algorithm>-emulated[/]. Needs root for the fabric and
    Mininet: [bold]simnet doctor[/] tells what this machine can do.
    """
    from simnet.cli.progress import watching
    from simnet.cli.summary import print_json, print_table
    from simnet.emulation.driver import Driver
    from simnet.emulation.experiment import emulate_document
    from simnet.experiment import load

    if cli and driver == "loopback":
        raise typer.BadParameter("there is no network to look at on the loopback", param_hint="--cli")
    document = load(scenario, overrides or ())
    with watching(document) as watch:
        runs = emulate_document(document, results, driver, pace, watch, before=Driver.cli if cli else None)
    if as_json:
        print_json(runs)
        return
    print_table(runs)
    for run in runs:
        fidelity = run.manifest.emulation.get("fidelity")
        if fidelity is not None:
            verdict = "valid" if fidelity["valid"] else "NOT VALID: " + "; ".join(fidelity["reasons"])
            typer.echo(f"{run.label}: {verdict}")
    typer.echo(f"\nresults: {runs[0].folder.parent}")
