"""`simnet plot`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from simnet.results import Run


def plot(
    results: Annotated[
        list[Path], typer.Argument(help="Run folders, folders of a scenario, or a results folder.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where figures go.")
    ] = None,
    metric: Annotated[str, typer.Option(help="The metric on the vertical axis.")] = "loss",
    target: Annotated[
        float | None, typer.Option(help="Target of the metric, for the line and the table's time-to-target.")
    ] = None,
    timeline: Annotated[
        bool, typer.Option("--timeline", help="Draw what each node computes and waits for instead.")
    ] = False,
    figure: Annotated[
        str | None,
        typer.Option(
            "--figure",
            metavar="KIND",
            help="Draw this instead: faults (of each run), goodput, availability or staleness.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Where timelines end (such as 30s); the end if not given."),
    ] = None,
) -> None:
    """Draw a metric against virtual time, steps and bytes, one colour per method, and print a table.

    Figures are written as PNG and PDF. With --timeline there is one of each run instead: a row per node, with
    the passes, steps and waits in it. With --figure there is what that names, such as what went wrong when.
    """
    from simnet.results import read_runs
    from simnet_analysis import comparison_table, format_table

    runs = read_runs(results)
    folder = output or _common_folder(runs) / "figures"
    if figure is not None:
        for path in _figures(runs, folder, figure):
            typer.echo(f"figure:  {path}")
        return
    if timeline:
        for path in _timelines(runs, folder, until):
            typer.echo(f"figure:  {path}")
        return
    if until is not None:
        raise typer.BadParameter("--until is for timelines: give --timeline too")
    typer.echo(format_table(comparison_table(runs, target, metric=metric)))
    for path in draw(runs, folder, metric, target):
        typer.echo(f"figure:  {path}")


def draw(
    runs: Sequence["Run"], folder: Path, metric: str = "loss", target: float | None = None
) -> list[Path]:
    """Write the figures of `runs` into `folder`; gives their paths."""
    from simnet_analysis import loss_figure, save_figure

    return save_figure(loss_figure(runs, metric=metric, target=target), folder / metric)


def _figures(runs: Sequence["Run"], folder: Path, kind: str) -> list[Path]:
    from simnet_analysis import OF_ALL, OF_EACH, save_figure

    if kind in OF_ALL:
        return save_figure(OF_ALL[kind](runs), folder / kind)
    if kind not in OF_EACH:
        raise typer.BadParameter(f"no figure {kind!r}: there are {', '.join([*OF_EACH, *OF_ALL])}")
    written: list[Path] = []
    for run in runs:
        written += save_figure(OF_EACH[kind](run), folder / f"{kind}-{run.folder.name}")
    return written


def _timelines(runs: Sequence["Run"], folder: Path, until: str | None) -> list[Path]:
    from simnet.units import seconds
    from simnet_analysis import save_figure, timeline_figure

    end = None if until is None else seconds(until)
    written: list[Path] = []
    for run in runs:
        written += save_figure(timeline_figure(run, end=end), folder / f"timeline-{run.folder.name}")
    return written


def _common_folder(runs: Sequence["Run"]) -> Path:
    parents = {run.folder.parent for run in runs}
    return parents.pop() if len(parents) == 1 else Path.cwd()
