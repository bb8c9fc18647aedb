"""`simnet run`."""

from pathlib import Path
from typing import Annotated

import typer

from simnet.cli.options import Overrides, Results, ScenarioName


def run(
    scenario: ScenarioName,
    overrides: Overrides = None,
    results: Results = Path("results"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a machine-readable summary instead.")
    ] = False,
    figures: Annotated[bool, typer.Option("--plot", help="Also draw figures of the runs.")] = False,
    page: Annotated[
        bool, typer.Option("--report", help="Also write a report of the runs: one page, as HTML.")
    ] = False,
) -> None:
    """Run every algorithm of a scenario, and compare them.

    Each run lands in [cyan]results/<scenario>/<algorithm>-<hash>/[/]; the same scenario and seed give the
    same bytes each time.
    """
    from simnet.cli.progress import watching
    from simnet.cli.summary import print_json, print_table
    from simnet.experiment import load
    from simnet.experiment import run as run_scenario
    from simnet.scenario.task import SYNTHETIC

    document = load(scenario, overrides or ())
    if figures and any(point.scenario.task.name == SYNTHETIC for point in document.scenarios):
        raise typer.BadParameter("figures are of losses, and a synthetic task has none", param_hint="--plot")
    with watching(document) as watch:
        runs = run_scenario(document, results, watch)
    if as_json:
        print_json(runs)
    else:
        print_table(runs)
        for one in runs:
            if one.manifest.status == "aborted":
                typer.echo(f"\naborted: {one.label} gave up: {one.manifest.reason}")
        typer.echo(f"\nresults: {runs[0].folder.parent}")
    if figures:
        from simnet.cli.plot import draw

        for path in draw(runs, runs[0].folder.parent / "figures"):
            typer.echo(f"figure:  {path}", err=as_json)
    if page:
        from simnet_analysis.report import write_report

        path = write_report(runs, runs[0].folder.parent / "report.html")
        typer.echo(f"report:  {path}", err=as_json)
