"""`simnet batch`."""

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simnet.cli.options import Overrides, Results

if TYPE_CHECKING:
    from simnet.batch import Batch, Engine
    from simnet.batch.predict import Cost
    from simnet.scenario import Document


class EngineName(enum.StrEnum):
    """What carries out the runs."""

    local = "local"
    ray = "ray"
    slurm = "slurm"


def batch(
    scenarios: Annotated[list[str], typer.Argument(help="Scenario files, or names of the library.")],
    overrides: Overrides = None,
    results: Results = Path("results"),
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", "-j", min=1, help="Runs at a time on this machine; as many as cores by default."
        ),
    ] = None,
    engine: Annotated[EngineName, typer.Option(help="What carries out the runs.")] = EngineName.local,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed before.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would run and what it would cost; write nothing.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a machine-readable list of the runs instead.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option(help="Ray: the cluster, such as auto or ray://head:10001. A local one if not given."),
    ] = None,
    deliver: Annotated[
        str,
        typer.Option(
            help="Ray: where tasks leave their results. [cyan]driver[/]: sent back and written here. "
            "[cyan]shared[/]: written by the task, to a --results folder that all machines see. A URL that "
            "fsspec knows, such as s3://bucket/results: written there."
        ),
    ] = "driver",
    slurm_options: Annotated[
        list[str] | None,
        typer.Option(
            "--slurm",
            metavar="KEY=VALUE",
            help="Slurm: an option of the jobs, such as partition=gpu. Repeatable.",
        ),
    ] = None,
) -> None:
    """Run everything that scenarios and their sweeps stand for, on all cores or on a cluster.

    A run that is finished is skipped; one that failed before is left alone, unless --retry says otherwise. It
    may be interrupted or killed at any moment and started again. Exit code 0 if every run is there at the
    end, 1 if some failed.
    """
    from simnet.batch import Report, carry_out_batch, survey
    from simnet.batch.check import check_documents
    from simnet.batch.local import cores
    from simnet.cli.batch_report import print_dry_run, print_json, print_report
    from simnet.cli.batch_screen import watching
    from simnet.scenario import load_file

    documents = [load_file(name, overrides or ()) for name in scenarios]
    planned = survey(documents, results, retry)
    jobs = jobs or cores()
    if planned.to_do:
        check_documents(_to_do(planned, documents), jobs, build=engine is EngineName.local)
    if dry_run:
        print_dry_run(planned, jobs, as_json)
        return
    report = Report(planned)
    interrupted = False
    try:
        chosen = _engine(engine, planned, results, jobs, address, deliver, slurm_options or ())
        with watching(planned) as watcher:
            carry_out_batch(planned, chosen, report, watcher)
    except KeyboardInterrupt:
        interrupted = True
    if as_json:
        print_json(report)
    else:
        print_report(report)
    if interrupted:
        typer.echo("interrupted: the unfinished runs were not written; start again to go on", err=True)
        raise typer.Exit(130)
    if not report.all_fine:
        raise typer.Exit(1)


def _to_do(planned: "Batch", documents: "list[Document]") -> "list[Document]":
    """The documents with something left to do."""
    wanted = {run.document for run in planned.to_do}
    return [document for number, document in enumerate(documents) if number in wanted]


def _engine(
    name: EngineName,
    planned: "Batch",
    results: Path,
    jobs: int,
    address: str | None,
    deliver: str,
    slurm: "list[str] | tuple[()]",
) -> "Engine":
    from simnet.batch import LocalEngine

    if name is not EngineName.ray and (address is not None or deliver != "driver"):
        raise typer.BadParameter("--address and --deliver are for --engine ray")
    if name is not EngineName.slurm and slurm:
        raise typer.BadParameter("--slurm is for --engine slurm")
    if name is EngineName.local:
        return LocalEngine(jobs)
    try:
        costs = _costs(planned, jobs)
        if name is EngineName.ray:
            from simnet.batch.on_ray import RayEngine

            return RayEngine(address, deliver, costs)
        from simnet.batch.on_slurm import SlurmEngine

        options = dict(_pair(text) for text in slurm)
        return SlurmEngine(results, jobs, options, costs, options.pop("cluster", "slurm"))
    except ModuleNotFoundError as error:
        raise typer.BadParameter(f'not installed: pip install "simnet[{name}]" ({error})') from None
    except (RuntimeError, ConnectionError) as error:  # there is no Slurm, no Ray
        raise typer.BadParameter(str(error)) from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"not KEY=VALUE: {text}", param_hint="--slurm")
    return key, value


def _costs(planned: "Batch", jobs: int) -> "dict[Path, Cost]":
    """What runs need, from one probe of each method on this machine; without those that cannot run here."""
    from simnet.batch.predict import Cost, predict

    found = predict(planned.to_do, jobs, most=1)
    return {run.folder: cost for run, cost in found if isinstance(cost, Cost)}
