"""`simnet plot`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simnet.cli.selection import selected
from simnet_analysis.kinds import KINDS, OPTIONS, Kind

if TYPE_CHECKING:
    from simnet.results import Run

_KINDS = "\n\n".join(f"[cyan]{name:12}[/] {kind.help}" for name, kind in KINDS.items())
HELP = f"""Draw figures of finished runs; the kind comes first, then results and filters.

[bold]Kinds[/]

{_KINDS}

Without a kind it is [cyan]curves[/]: the metric against virtual time, steps and bytes, one colour per method,
and a table. Figures are written as PNG and PDF. [cyan]simnet plot KIND --options[/] says what a kind takes.
"""


def plot(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[KIND] [RESULTS | FILTER]...",
            help="A kind of figure; run folders or folders with runs in them; filters such as "
            "[cyan]algorithm=diloco[/] or [cyan]'network.link.bandwidth<1Gbps'[/].",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="DIR", help="Where figures go.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="The metric; loss if not given.")] = None,
    target: Annotated[
        float | None,
        typer.Option(help="Target of the metric; what all methods reach if not given."),
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(metavar="QUANTITY", help="What counts: time, bytes, steps, dollars, kwh."),
    ] = None,
    x: Annotated[
        str | None,
        typer.Option(help="What lies to the right: a quantity, or a key such as network.link.bandwidth."),
    ] = None,
    y: Annotated[str | None, typer.Option(help="What lies upwards: the same.")] = None,
    baseline: Annotated[str | None, typer.Option(help="The method that others are compared with.")] = None,
    band: Annotated[
        str | None, typer.Option(help="Band over seeds: confidence (95 %), range, none, auto.")
    ] = None,
    links: Annotated[int | None, typer.Option(min=1, help="How many links are shown.")] = None,
    nodes: Annotated[str | None, typer.Option(help="Which nodes, with commas.")] = None,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Where time ends (such as 30s); the end of the run if not given."),
    ] = None,
    width: Annotated[
        str | None, typer.Option(help="column (3.3 in), page (7.16 in), or a number of inches.")
    ] = None,
    format: Annotated[str, typer.Option(help="png, pdf, svg, or several with commas.")] = "png,pdf",
    timeline: Annotated[bool, typer.Option("--timeline", help="The same as the kind timeline.")] = False,
    options: Annotated[bool, typer.Option("--options", help="Say what the kind takes, and end.")] = False,
) -> None:
    """Draw figures of finished runs (the text that people see is HELP)."""
    name, rest = _kind(what or [], timeline)
    kind = KINDS[name]
    if options:
        typer.echo(_explained(name, kind))
        return
    given = {
        "metric": metric,
        "target": target,
        "of": of,
        "x": x,
        "y": y,
        "baseline": baseline,
        "band": band,
        "links": links,
        "nodes": None if nodes is None else nodes.split(","),
        "end": until,
        "width": width,
    }
    keywords = _keywords(name, kind, given)
    runs = selected(rest)
    folder = output or common_folder(runs) / "figures"
    if name == "curves":
        from simnet.results import preload
        from simnet_analysis import comparison_table, format_table
        from simnet_analysis.curves import AXES

        wanted = metric or ("loss" if any(run.manifest.final for run in runs) else None)
        if wanted is not None:
            preload(runs, [wanted, "bytes", *keywords.get("axes", AXES)])
        typer.echo(format_table(comparison_table(runs, target, metric=wanted)))
    for path in draw_kind(name, runs, folder, keywords, format.split(",")):
        typer.echo(f"figure:  {path}")


plot.__doc__ = HELP


def draw(
    runs: Sequence["Run"], folder: Path, metric: str = "loss", target: float | None = None
) -> list[Path]:
    """Write the curves of `runs` into `folder`; gives their paths."""
    return draw_kind("curves", runs, folder, {"metric": metric, "target": target})


def draw_kind(
    name: str,
    runs: Sequence["Run"],
    folder: Path,
    keywords: dict[str, Any],
    formats: Sequence[str] = ("png", "pdf"),
) -> list[Path]:
    """Write the figures of a kind into `folder`; gives their paths."""
    from simnet_analysis import save_figure

    kind = KINDS[name]
    try:
        if kind.each:
            written: list[Path] = []
            for run in runs:
                stem = folder / f"{name}-{run.folder.name}"
                written += save_figure(kind.function(run, **keywords), stem, formats)
            return written
        stem = folder / (keywords.get("metric") or "loss" if name == "curves" else name)
        return save_figure(kind.function(runs, **keywords), stem, formats)
    except (ValueError, TypeError) as error:  # what an option says, or that one is missing
        raise typer.BadParameter(str(error)) from None


def _kind(words: Sequence[str], timeline: bool) -> tuple[str, list[str]]:
    """The kind that is meant, and the other words."""
    from simnet.results import is_filter
    from simnet.scenario import nearest

    first = words[0] if words else ""
    if first in KINDS:
        if timeline and first != "timeline":
            raise typer.BadParameter(f"--timeline is a kind of its own, and so is {first}: choose one")
        return first, list(words[1:])
    if first and not Path(first).exists() and not is_filter(first) and "/" not in first:
        near = nearest(first, KINDS)
        hint = f"; did you mean {near}?" if near else ""
        raise typer.BadParameter(
            f"{first!r} is neither a kind of figure nor a folder{hint} (kinds: {', '.join(KINDS)})"
        )
    return "timeline" if timeline else "curves", list(words)


def _keywords(name: str, kind: Kind, given: dict[str, Any]) -> dict[str, Any]:
    """The options as the kind's function takes them."""
    from simnet.units import seconds

    found: dict[str, Any] = {}
    for key, value in given.items():
        if value is None:
            continue
        option = f"--{'until' if key == 'end' else key}"
        if key == "x" and "axes" in kind.options:
            key, value = "axes", value.split(",")
        if key not in kind.options:
            takes = ", ".join(f"--{'until' if one == 'end' else one}" for one in _flags(kind))
            raise typer.BadParameter(f"{name} has no {option}; it takes {takes}")
        found[key] = seconds(value) if key == "end" else value
    return found


def _flags(kind: Kind) -> list[str]:
    return [{"axes": "x"}.get(name, name) for name in OPTIONS if name in kind.options]


def _explained(name: str, kind: Kind) -> str:
    text = (kind.function.__doc__ or "").strip()
    takes = ", ".join(f"--{'until' if one == 'end' else one}" for one in _flags(kind))
    return f"{name}: {kind.help}\noptions: {takes}\n\n{text}"


def common_folder(runs: Sequence["Run"]) -> Path:
    """The folder that holds all runs, if it is one; else where we are."""
    parents = {run.folder.parent for run in runs}
    return parents.pop() if len(parents) == 1 else Path.cwd()
