"""Arguments and options that several commands share."""

from pathlib import Path
from typing import Annotated

import typer

ScenarioName = Annotated[
    str, typer.Argument(help="A YAML file, or the name of a scenario of the library (such as quickstart).")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key, for instance [cyan]--set network.link.bandwidth=10Mbps[/] or "
        "[cyan]--set algorithms.diloco.local_steps=20[/]. Repeatable.",
    ),
]
Results = Annotated[Path, typer.Option("--results", metavar="DIR", help="Where run folders go.")]
Jobs = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Runs at a time; as many as cores by default.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON instead.")]
