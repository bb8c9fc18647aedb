"""`simnet schema`."""

import json
from pathlib import Path
from typing import Annotated

import typer


def schema(
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write to a file instead.")] = None,
) -> None:
    """Print the JSON Schema of scenarios, from which editors complete and check the YAML.

    In VS Code: save it beside the scenario and put [cyan]# yaml-language-server: $schema=schema.json[/] on
    the first line of the YAML.
    """
    from simnet.cli.components import components
    from simnet.scenario import json_schema

    text = json.dumps(json_schema(components()), indent=2) + "\n"
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")
