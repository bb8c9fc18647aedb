"""`simnet validate`."""

from typing import Annotated

import typer

from simnet.cli.options import Overrides


def validate(
    scenarios: Annotated[list[str], typer.Argument(help="Scenario files, or names of the library.")],
    overrides: Overrides = None,
) -> None:
    """Check scenarios without running them: keys, units, topology, data, costs.

    Every problem is told with file, line, key, what was given and what would be right; exit code 2 if
    there is one.
    """
    from simnet.experiment import load
    from simnet.plan import plans
    from simnet.scenario import ScenarioError

    wrong = False
    for name in scenarios:
        try:
            document = load(name, overrides or ())
            runs = sum(len(plans(point.scenario)) for point in document.scenarios)
        except ScenarioError as error:
            wrong = True
            typer.echo(str(error), err=True)
        else:
            typer.echo(f"{name}: valid, {runs} run{'s' if runs != 1 else ''}")
    if wrong:
        raise typer.Exit(2)
