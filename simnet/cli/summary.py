"""What a command prints about finished runs."""

import json
from collections.abc import Sequence

import typer

from simnet.results import Run


def print_json(runs: Sequence[Run]) -> None:
    """A list with one object per run."""
    typer.echo(json.dumps([run.summary() for run in runs], indent=2, allow_nan=False))


def print_table(runs: Sequence[Run]) -> None:
    """The comparison table; of timing-only runs, which have no loss, without columns about it."""
    from simnet_analysis import comparison_table, format_table

    metric = "loss" if any(run.manifest.final for run in runs) else None
    typer.echo(format_table(comparison_table(runs, metric=metric)))
