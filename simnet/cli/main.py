"""`simnet`: the commands, and how errors reach people."""

import sys
import warnings

import typer

from simnet.cli import (
    batch,
    calibrate,
    check,
    clean,
    crossover,
    doctor,
    emulate,
    init,
    listing,
    plot,
    recommend,
    report,
    results,
    run,
    schema,
    topology,
    trace,
    transfers,
    validate,
    validate_network,
)

app = typer.Typer(
    name="simnet",
    help="A wind tunnel for decentralized training: real torch training under a simulated network and "
    "clock.\n\nStart with [bold]simnet init[/] and [bold]simnet run scenario.yaml[/], or run a scenario of "
    "the library: [bold]simnet run quickstart[/].",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("batch")(batch.batch)
app.command("check")(check.check)
app.command("validate")(validate.validate)
app.command("topology")(topology.topology)
app.command("transfers")(transfers.transfers)
app.command("crossover")(crossover.crossover)
app.command("recommend")(recommend.recommend)
app.command("plot")(plot.plot)
app.command("report")(report.report)
app.command("trace")(trace.trace)
app.add_typer(results.app, name="results")
app.command("list")(listing.list_)
app.command("calibrate")(calibrate.calibrate)
app.command("init")(init.init)
app.command("schema")(schema.schema)
app.command("emulate")(emulate.emulate)
app.command("validate-network")(validate_network.validate_network)
app.command("doctor")(doctor.doctor)
app.command("clean")(clean.clean)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"simnet {version('simnet')}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    pass


def main() -> None:
    """Run the command line; users' mistakes end in a message and exit code 2, never in a traceback."""
    warnings.showwarning = _plainly
    try:
        app()
    except BrokenPipeError:
        sys.exit(141)
    except Exception as error:
        code = exit_code(error)
        if code is None:
            raise
        typer.echo(f"error: {error}", err=True)
        sys.exit(code)


def _plainly(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    """simnet's own warnings are for people: what they say, without the line of code that says it."""
    if category.__module__.startswith("simnet."):
        typer.echo(f"warning: {message}", err=True)
    else:
        typer.echo(warnings.formatwarning(message, category, filename, lineno, line), nl=False, err=True)


def exit_code(error: Exception) -> int | None:
    """2 for what the user can mend in the scenario or the file system, 1 for a run that failed, else None."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"ScenarioError", "ResultsError", "UnitError", "EmulationError"}:
        return 2
    if kinds & {"AlgorithmError", "DeadlockError", "InvariantError", "SearchError"}:
        return 1
    return None


if __name__ == "__main__":
    main()
