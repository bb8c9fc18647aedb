"""`simnet validate-network`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from simnet.cli.options import Overrides, Results, ScenarioName

if TYPE_CHECKING:
    from simnet.emulation.validation import Validation


def validate_network(
    scenario: ScenarioName,
    overrides: Overrides = None,
    results: Results = Path("results"),
    driver: Annotated[
        Literal["fabric", "mininet"], typer.Option(help="What carries packets; see [bold]simnet emulate[/].")
    ] = "fabric",
    size: Annotated[
        list[str] | None,
        typer.Option(help="Bytes of transfers and reduced tensors, such as 4 MB; several times for several."),
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 3,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps of each method; the scenario's if not given.")
    ] = None,
    gloo: Annotated[bool, typer.Option(help="Whether torch.distributed with gloo reduces too.")] = True,
    training: Annotated[bool, typer.Option(help="Whether the first two methods train.")] = True,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print what was measured for machines instead.")
    ] = False,
) -> None:
    """Measure how far simulated seconds are from real ones on a scenario's network.

    Transfers, all-reduces, a gossip round, incast, flows that share a link, gloo, and the scenario's first
    two methods run on real processes and TCP, and in the simulator. Needs what [bold]simnet emulate[/] needs,
    and a machine with nothing else to do.
    """
    from rich.console import Console

    from simnet.emulation.validation import validate_network as validate
    from simnet.emulation.validation.validate import SIZES
    from simnet.experiment import load
    from simnet.scenario import ScenarioError
    from simnet.units import bytes_

    sizes = sorted({bytes_(text) for text in size}) if size else SIZES
    if not all(each > 0 for each in sizes):
        raise typer.BadParameter("a transfer has more than 0 bytes: --size '1 MB'", param_hint="--size")
    document = load(scenario, overrides or ())
    if len(document.scenarios) > 1:
        expected = "no sweep, or --set for its keys"
        raise ScenarioError.at(("sweep",), "one network at a time", expected=expected)
    wanted = document.scenarios[0].scenario
    say = Console(stderr=True).print
    found = validate(
        wanted,
        driver=driver,
        sizes=sizes,
        repeats=repeats,
        steps=steps,
        gloo=gloo,
        training=training,
        say=lambda what: say(what, style="dim"),
    )
    folder = results / wanted.name / "validation"
    file = found.write(folder)
    if as_json:
        typer.echo(file.read_text(), nl=False)
        return
    _print(found)
    from simnet_analysis import save_figure, validation_figure

    typer.echo(f"\nresults: {file}")
    for path in save_figure(validation_figure(folder), folder / "validation", ("png",)):
        typer.echo(f"figure:  {path}")


def _print(found: "Validation") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title in ("operation", "size", "predicted", "measured", "measured / predicted", "range", "within"):
        table.add_column(title, justify="left" if title in ("operation", "size") else "right", no_wrap=True)
    for one in found.summaries():
        verdict = "" if one.limit is None else f"{one.limit:.0%}" if one.held else f"NOT {one.limit:.0%}"
        table.add_row(
            one.operation,
            one.size,
            f"{one.predicted:.4g} s",
            f"{one.measured:.4g} s",
            f"{one.ratio:.3f}",
            f"{one.least:.3f} to {one.most:.3f}",
            verdict,
        )
    Console(width=110, soft_wrap=True).print(table)
    overheads = f"{1e3 * found.host_overhead:.2f} ms per message"
    if found.gloo_overhead:
        overheads += f", {1e3 * found.gloo_overhead:.2f} ms of gloo's"
    typer.echo(f"\nhost overhead: {overheads}; load before: {found.load:.2f}")
    for note in found.notes:
        typer.echo(f"left out: {note}")
    for reason in found.invalid:
        typer.echo(f"NOT VALID: {reason}")
