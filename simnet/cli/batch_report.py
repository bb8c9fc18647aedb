"""What `simnet batch` prints: before, with --dry-run, and at the end."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from simnet.cli.batch_screen import say_duration
from simnet.cli.columns import aligned
from simnet.units import format_bytes

if TYPE_CHECKING:
    from simnet.batch import Batch, BatchRun, Report
    from simnet.batch.predict import Cost


def print_report(report: "Report") -> None:
    """A row for each method of each scenario, and why runs failed."""

    batch = report.batch
    done, finished = _folders(report.done), _folders(batch.finished)
    header = ["scenario", "method", "runs", "done now", "done before", "failed", "not run", "time"]
    rows = []
    for (name, label), runs in _by_method(batch.runs).items():
        folders = [run.folder for run in runs]
        now, before = sum(folder in done for folder in folders), sum(folder in finished for folder in folders)
        failed = sum(folder in report.failed for folder in folders)
        seconds = sum(report.seconds.get(folder, 0.0) for folder in folders)
        counts = [len(runs), now, before, failed, len(runs) - now - before - failed]
        rows.append([name, label, *map(str, counts), say_duration(seconds) if seconds else ""])
    typer.echo(aligned([header, *rows]))
    for text in report.warnings:
        typer.echo(f"warning: {text}", err=True)
    titles = {run.folder: run.title for run in batch.runs}
    for folder, message in report.failed.items():
        when = "" if folder not in batch.failed else " (before; --retry tries again)"
        typer.echo(f"\nfailed{when}: {titles[folder]}\n    {message.replace(chr(10), chr(10) + '    ')}")
    places = dict.fromkeys(run.folder.parent for run in batch.runs)
    typer.echo("")
    for place in places:
        typer.echo(f"results: {place}")


def print_json(report: "Report") -> None:
    """A list with one object per run."""
    done, finished = _folders(report.done), _folders(report.batch.finished)

    def describe(run: "BatchRun") -> dict[str, Any]:
        status = (
            "done"
            if run.folder in done
            else "finished before"
            if run.folder in finished
            else "failed"
            if run.folder in report.failed
            else "not run"
        )
        return {"status": status, "error": report.failed.get(run.folder)}

    typer.echo(_json(report.batch.runs, describe))


def print_dry_run(batch: "Batch", jobs: int, as_json: bool) -> None:
    """A row for each run, with its predicted cost if it would run, and the whole of it."""
    from simnet.batch.predict import Cost, predict, total

    told = {run.folder: cost for run, cost in predict(batch.to_do, jobs)}
    costs = {run.folder: cost for run in batch.to_do if isinstance(cost := told[run.folder], Cost)}
    finished = _folders(batch.finished)

    def state(run: "BatchRun") -> str:
        return (
            "finished"
            if run.folder in finished
            else "failed before"
            if run.folder in batch.failed
            else "would run"
            if run.folder in costs
            else "would fail"
        )

    seconds, disk_bytes = total(costs, jobs)
    if as_json:

        def describe(run: "BatchRun") -> dict[str, Any]:
            cost = costs.get(run.folder)
            stated = {} if cost is None else {"predicted": _predicted(cost)}
            return {"status": state(run), **stated}

        typer.echo(_json(batch.runs, describe))
        return
    header = ["", "run", "time", "memory", "disk", "predicted from"]
    rows = [[state(run), run.title, *_cells(costs.get(run.folder))] for run in batch.runs]
    typer.echo(aligned([header, *rows]))
    for run in batch.to_do:
        if run.folder not in costs:
            typer.echo(f"\nwould fail: {run.title}\n    {told[run.folder]}")
    typer.echo(
        f"\n{len(batch.to_do)} of {len(batch.runs)} runs to do: about {say_duration(seconds)} on "
        f"{jobs} {'process' if jobs == 1 else 'processes'}, {format_bytes(disk_bytes)} on the disk"
    )


def _predicted(cost: "Cost") -> dict[str, Any]:
    return {
        "seconds": cost.seconds,
        "memory_bytes": cost.memory_bytes,
        "disk_bytes": cost.disk_bytes,
        "how": cost.how,
    }


def _cells(cost: "Cost | None") -> list[str]:
    if cost is None:
        return ["", "", "", ""]
    return [
        say_duration(cost.seconds),
        format_bytes(cost.memory_bytes),
        format_bytes(cost.disk_bytes),
        cost.how,
    ]


def _json(runs: "Sequence[BatchRun]", describe: "Callable[[BatchRun], Mapping[str, Any]]") -> str:
    stated = [
        {
            "scenario": run.scenario.name,
            "algorithm": run.label,
            "point": dict(run.point),
            "run": str(run.folder),
            **describe(run),
        }
        for run in runs
    ]
    return json.dumps(stated, indent=2, default=str)


def _folders(runs: "Sequence[BatchRun]") -> set[Path]:
    return {run.folder for run in runs}


def _by_method(runs: "Sequence[BatchRun]") -> "dict[tuple[str, str], list[BatchRun]]":
    groups: dict[tuple[str, str], list[BatchRun]] = {}
    for run in runs:
        groups.setdefault((run.scenario.name, run.label), []).append(run)
    return groups
