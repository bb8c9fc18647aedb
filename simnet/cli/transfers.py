"""`simnet transfers`."""

from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from simnet.results import Run


def transfers(
    what: Annotated[
        Path,
        typer.Argument(
            help="A run's folder (or one with a single run in it), or a .json file of flow cases."
        ),
    ],
    slowest: Annotated[int, typer.Option("--slowest", min=1, help="Of a run: show so many transfers.")] = 20,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            help="Of cases: how flows are carried: [cyan]ideal[/] (max-min fair, latency last; the default), "
            "[cyan]tcp[/], [cyan]receiver-serialised[/], [cyan]maxmin_latency_last[/], "
            "[cyan]maxmin_latency_first[/], [cyan]cm02_rtt_weighted[/].",
        ),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Of cases: write the times here.")
    ] = None,
    export_simgrid: Annotated[
        Path | None,
        typer.Option(
            "--export-simgrid", metavar="DIR", help="Write platform and flows for SimGrid, and run nothing."
        ),
    ] = None,
) -> None:
    """Say why transfers took so long, or run flow cases.

    Of a run's folder: its slowest transfers, with what bound each for how long. Of a file of cases: runs
    them and writes, per case, when each flow started and finished.
    """
    from simnet.network.cases import is_flow_cases

    if is_flow_cases(what):
        _cases(what, model, out, export_simgrid)
        return
    for option, value in (("--model", model), ("--out", out)):
        if value is not None:
            raise typer.BadParameter("belongs to a file of flow cases", param_hint=option)
    _run(what, slowest, export_simgrid)


def _cases(path: Path, model: str | None, out: Path | None, export: Path | None) -> None:
    from simnet.network.cases import MODELS, read_cases, results_text, run_case
    from simnet.scenario import ScenarioError, choose

    cases = read_cases(path)
    if export is not None:
        from simnet.network.simgrid import folder_name, platform_of_case, write_platform

        for case in cases:
            write_platform(platform_of_case(case), export / folder_name(case.id))
        typer.echo(f"wrote {len(cases)} cases for SimGrid to {export}")
        return
    transport = choose(model or "ideal", MODELS, ("--model",), "model")
    results = []
    for index, case in enumerate(cases):
        try:
            results.append(run_case(case, transport))
        except ValueError as error:
            raise ScenarioError.at(("cases", index), str(error)) from None
    text = results_text(results)
    if out is None:
        typer.echo(text, nl=False)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ScenarioError.at((), f"{out} cannot be written: {error.strerror}") from None


def _run(folder: Path, slowest: int, export: Path | None) -> None:
    from simnet.results import read_runs

    run, *others = read_runs(folder)
    if others:
        names = ", ".join(each.folder.name for each in (run, *others))
        raise typer.BadParameter(f"{folder} holds {len(others) + 1} runs, name one: {names}")
    if export is not None:
        _export_run(run, export)
        return
    from rich.console import Console
    from rich.table import Table

    from simnet.units import format_bandwidth, format_bytes, format_seconds

    frame = run.transfers
    took = frame["delivered"].fillna(run.manifest.virtual_seconds) - frame["start"]
    order = took.sort_values(ascending=False, kind="stable").index[:slowest]
    table = Table(
        title=f"{run.label}: the {len(order)} slowest of {len(frame)} transfers", title_justify="left"
    )
    for name in ("transfer", "kind", "from", "to", "size", "start", "took", "mean rate", "bound by"):
        table.add_column(name, overflow="fold")
    for row in frame.loc[order].assign(took=took).to_dict("records"):
        causes = sorted(row["bound"], key=lambda cause: -cause[1])
        status = "" if row["status"] == "delivered" else f" ({row['status']})"
        table.add_row(
            f"{row['id']}{status}",
            row["kind"],
            row["source"],
            row["target"],
            format_bytes(row["bytes"]),
            format_seconds(row["start"]),
            format_seconds(row["took"]),
            "" if isnan(row["mean_rate"]) else format_bandwidth(row["mean_rate"]),
            ", ".join(f"{cause} {format_seconds(seconds)}" for cause, seconds in causes),
        )
    console = Console()
    console.print(table)
    console.print(f"bottleneck of the run: {run.bottleneck() or 'none'}")


def _export_run(run: "Run", folder: Path) -> None:
    from simnet.experiment import load
    from simnet.network.simgrid import platform_of_run, write_platform
    from simnet.plan import plans

    (point,) = load(run.folder / "scenario.yaml").scenarios
    (plan,) = plans(point.scenario)
    write_platform(platform_of_run(plan.world.topology, run.transfers), folder)
    typer.echo(f"wrote the platform and {len(run.transfers)} transfers for SimGrid to {folder}")
