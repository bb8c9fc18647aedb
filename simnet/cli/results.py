"""`simnet results`: runs on disk as a data set."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simnet.cli.selection import Selection, selected

if TYPE_CHECKING:
    pass

app = typer.Typer(
    help="Finished runs as a data set: list, look at, query, export, remove.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
Format = Annotated[str, typer.Option("--format", help="table, csv or json.")]

_SHOWN_KEYS = 6


@app.command("ls")
def ls(
    which: Selection = None,
    columns: Annotated[
        str | None,
        typer.Option(
            help="The columns, with commas: [cyan]label,network.link.bandwidth,final.loss[/]. If not given: "
            "the keys in which the runs differ, and how they ended."
        ),
    ] = None,
    format: Format = "table",
) -> None:
    """List runs, one line each, with the keys in which they differ."""
    from simnet.results.columns import check_keys, columns_of, differing, rows

    given = rows(selected(which))
    if columns is None:
        finals = [key for key in ("final.loss", "final.accuracy") if any(key in one for one in given)]
        told = [*differing(given)[:_SHOWN_KEYS], *finals, "virtual_seconds", "bytes_sent", "status"]
        names = ["run", "label", "seed", *told]
    else:
        names = [name.strip() for name in columns.split(",")]
        check_keys(names, columns_of(given))
    _print(names, [[one.get(name) for name in names] for one in given], format)


@app.command("show")
def show(
    which: Selection = None,
    yaml: Annotated[bool, typer.Option("--yaml", help="Print the resolved scenario instead.")] = False,
) -> None:
    """Show all that is known of a run: its scenario's keys, versions, totals, tables and prices."""
    from simnet.results import parquet
    from simnet.results.columns import row

    runs = selected(which)
    if len(runs) > 1:
        raise typer.BadParameter(f"{len(runs)} runs are meant: name one folder, or add filters")
    (run,) = runs
    if yaml:
        typer.echo(run.scenario_yaml, nl=False)
        return
    lines = {**row(run), **{f"versions.{name}": text for name, text in run.manifest.versions.items()}}
    lines |= {f"invariants.{name}": value for name, value in run.manifest.invariants.items()}
    for table in parquet.TABLES:
        lines[f"{table}.rows"] = len(getattr(run, table))
    width = max(map(len, lines))
    for key, value in lines.items():
        typer.echo(f"{key:{width}}  {_cell(value, key)}")


@app.command("query")
def query(
    sql: Annotated[str, typer.Argument(help="SQL over the views runs, metrics, transfers, spans and links.")],
    which: Selection = None,
    format: Format = "table",
) -> None:
    """Ask SQL questions (DuckDB) of the runs' tables.

    The view [cyan]runs[/] has a row per run, and a column per key of the scenario, as SI numbers. The other
    views are the tables of all runs; their column [cyan]run[/] is that of [cyan]runs[/].
    """
    from simnet.results import query as ask

    answer = ask(selected(which), sql)
    _print(list(answer.columns), answer.to_numpy(dtype=object).tolist(), format, as_is=True)


@app.command("export")
def export(
    which: Selection = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="A .csv or .parquet file, or a folder for --to."),
    ] = None,
    table: Annotated[
        str, typer.Option(help="runs (one row each), or metrics, transfers, spans, links of all runs.")
    ] = "runs",
    to: Annotated[
        str | None,
        typer.Option(help="Write the metrics for another tool instead: tensorboard or mlflow."),
    ] = None,
) -> None:
    """Write the table of runs, or one of their tables, to CSV or Parquet; or metrics for other tools."""
    from simnet.results.export import EXPORTS, write_table

    if output is None:
        raise typer.BadParameter("where to? give --output FILE.csv, FILE.parquet, or a folder with --to")
    runs = selected(which)
    if to is None:
        written = write_table(runs, table, output)
        typer.echo(f"{written} rows: {output}")
        return
    if to not in EXPORTS:
        raise typer.BadParameter(f"{to!r} is none of {', '.join(EXPORTS)}", param_hint="--to")
    EXPORTS[to](runs, output)
    typer.echo(f"{len(runs)} runs: {output}")


@app.command("rm")
def rm(
    which: Annotated[
        list[str],
        typer.Argument(
            metavar="[RESULTS | FILTER]...", help="As of [cyan]simnet results ls[/]; needed here."
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Remove runs. Only run folders go; whatever else is beside them stays."""
    from simnet.results import remove_run

    runs = selected(which)
    for run in runs[:20]:
        typer.echo(str(run.folder))
    if len(runs) > 20:
        typer.echo(f"... and {len(runs) - 20} more")
    if not yes:
        typer.confirm(f"Remove {len(runs)} run{'s' * (len(runs) != 1)}?", abort=True)
    for run in runs:
        remove_run(run.folder)
    typer.echo(f"removed {len(runs)} run{'s' * (len(runs) != 1)}")


def _print(names: Sequence[str], lines: Sequence[Sequence[Any]], format: str, as_is: bool = False) -> None:
    if format == "json":
        records = [dict(zip(names, map(_plain, line), strict=True)) for line in lines]
        typer.echo(json.dumps(records, indent=2, allow_nan=False, default=str))
    elif format == "csv":
        import csv
        import sys

        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([["" if _plain(v) is None else v for v in line] for line in lines])
    elif format == "table":
        typer.echo(_aligned(names, lines, as_is))
    else:
        raise typer.BadParameter(f"{format!r} is none of table, csv, json", param_hint="--format")


def _aligned(names: Sequence[str], lines: Sequence[Sequence[Any]], as_is: bool) -> str:
    columns = [
        [_cell(value, "" if as_is else name) for value in values]
        for name, values in zip(names, zip(*lines, strict=True), strict=True)
    ] or [[] for _ in names]
    numbers = [
        all(isinstance(value, int | float) or value is None for value in values)
        for values in (zip(*lines, strict=True) if lines else [()] * len(names))
    ]
    heads = [name.removeprefix("network.").removeprefix("task.") if not as_is else name for name in names]
    widths = [max(map(len, [head, *cells])) for head, cells in zip(heads, columns, strict=True)]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(cells, widths, numbers, strict=True)
        ]
        return "  ".join(padded).rstrip()

    body = [line(cells) for cells in zip(*columns, strict=True)]
    return "\n".join([line(heads), "  ".join("-" * width for width in widths), *body])


def _cell(value: Any, name: str) -> str:
    from simnet.units import format_bytes, format_seconds

    value = _plain(value)
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        if name.endswith("_seconds"):
            return format_seconds(value)
        if name.endswith("bytes_sent"):
            return format_bytes(value)
        return f"{value:,}" if isinstance(value, int) and name not in ("", "seed") else f"{value:.6g}"
    return str(value)


def _plain(value: Any) -> Any:
    """Numbers of numpy as Python's; what is missing or not finite as None."""
    if hasattr(value, "item"):
        value = value.item()
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return None
    return value
