"""Which runs a command is about: folders, and filters among the same arguments."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from simnet.results import Run

Selection = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[RESULTS | FILTER]...",
        help="Run folders or folders with runs in them ([cyan]results[/] if none is given), and filters such "
        "as [cyan]algorithm=diloco[/] or [cyan]'network.link.bandwidth<100Mbps'[/] (quoted, for the shell).",
    ),
]


def split(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """The folders and the filters among some arguments; what exists is a folder."""
    from simnet.results import is_filter

    filters = [text for text in arguments if not Path(text).exists() and is_filter(text)]
    return [Path(text) for text in arguments if text not in filters], filters


def selected(arguments: Sequence[str] | None) -> "list[Run]":
    """The runs that are meant; raises `ResultsError` where there are none."""
    from simnet.results import read_runs, select

    folders, filters = split(arguments or ())
    return select(read_runs(folders or [Path("results")]), filters)
