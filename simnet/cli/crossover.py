"""`simnet crossover`."""

import json
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simnet.cli.options import AsJson, Jobs, Overrides, Results, ScenarioName

if TYPE_CHECKING:
    from simnet.answers import Cost, Crossover
    from simnet.answers.crossover import Evaluated, Swap


def crossover(
    scenario: ScenarioName,
    axis: Annotated[
        str, typer.Option(help="The key along which they are compared, such as network.link.bandwidth.")
    ],
    between: Annotated[
        tuple[str, str],
        typer.Option(
            metavar="METHOD METHOD",
            help="Labels of the scenario's algorithms, or methods with their default options.",
        ),
    ],
    range_: Annotated[
        str | None,
        typer.Option(
            "--range",
            metavar="LOW..HIGH",
            help="Such as [cyan]1Mbps..10Gbps[/]; a hundredth to a hundredfold of what the scenario says if "
            "not given.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="What less of is better: [cyan]time_to_loss[/] (default), bytes_to_loss, dollars_to_loss, "
            "time_to_accuracy, ...; of whole runs [cyan]time[/] (default of timing-only runs), bytes, "
            "dollars, kwh, final_loss."
        ),
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(help="What the metric is to reach; what both reach at both ends if not given."),
    ] = None,
    precision: Annotated[
        float, typer.Option(min=1e-6, help="Halve until the bracket is so narrow: 0.05 is 5 %.")
    ] = 0.05,
    points: Annotated[
        int, typer.Option(min=2, help="Points from end to end at which is looked for swaps first.")
    ] = 5,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds, from the scenario's own on.")] = 1,
    overrides: Overrides = None,
    results: Results = Path("results"),
    jobs: Jobs = None,
    as_json: AsJson = False,
) -> None:
    """Find by bisection where two methods swap places along an axis.

    Runs are those of [cyan]simnet batch[/]: finished ones are not run again. The scenario's
    sweep is left out.
    """
    from simnet.answers import Search, find_crossover, read_measure, read_span
    from simnet.cli.batch_screen import watching
    from simnet.scenario import load_file
    from simnet.scenario.task import SYNTHETIC

    document = load_file(scenario, overrides or ())
    synthetic = document.scenarios[0].scenario.task.name == SYNTHETIC
    answer = find_crossover(
        scenario,
        read_span(axis, range_, document.mapping),
        between,
        read_measure(metric or ("time" if synthetic else "time_to_loss"), target),
        Search(results, jobs, watching),
        overrides=overrides or (),
        seeds=seeds,
        precision=precision,
        points=points,
    )
    if as_json:
        typer.echo(json.dumps(_plain(answer), indent=2))
        return
    _print(answer)


def _print(answer: "Crossover") -> None:
    from simnet.cli.columns import aligned

    labels, measure = answer.labels, answer.measure
    header = [answer.span.key, *labels, "ratio", "better"]
    rows = [header + ["in seeds"] * (answer.seeds > 1)]
    for point in answer.points:
        first, second = point.means
        better = "tie" if point.winner is None else labels[point.winner]
        ratio = f"{first / second:.4g}" if isfinite(first) and isfinite(second) and second else ""
        row = [_shown(point.value), measure.shown(first), measure.shown(second), ratio, better]
        rows.append(row + [f"{point.agreeing} of {answer.seeds}"] * (answer.seeds > 1))
    seeds = f"mean of {answer.seeds} seeds" if answer.seeds > 1 else "one seed"
    typer.echo(f"{measure}, {seeds}\n")
    typer.echo(aligned(rows, left=0))
    typer.echo("")
    if not answer.swaps:
        winner = answer.points[0].winner
        ends = f"{_shown(answer.points[0].value)} to {_shown(answer.points[-1].value)}"
        what = "they are equal" if winner is None else f"{labels[winner]} is better"
        typer.echo(f"no swap: {what} at all {len(answer.points)} points from {ends}")
    for swap in answer.swaps:
        typer.echo(_sentence(answer, swap))
    typer.echo(say_cost(answer.cost))


def _sentence(answer: "Crossover", swap: "Swap") -> str:
    def better(point: "Evaluated") -> str:
        return "they are equal" if point.winner is None else f"{answer.labels[point.winner]} is better"

    of = "of its lower end" if answer.span.logarithmic else "of the range"
    low, high = _shown(swap.below.value), _shown(swap.above.value)
    return (
        f"swap between {low} and {high} (width {100 * answer.width(swap):.3g} % {of}):\n"
        f"    {better(swap.below)} below, {better(swap.above)} above"
    )


def say_cost(cost: "Cost") -> str:
    """The cost of a search in a line."""
    from simnet.cli.batch_screen import say_duration
    from simnet.units import format_seconds

    return (
        f"cost: {cost.runs} runs done, {cost.reused} there before; "
        f"{format_seconds(cost.simulated_seconds)} simulated, "
        f"{say_duration(cost.run_seconds)} of runs in {say_duration(cost.wall_seconds)}"
    )


def _shown(value: Any) -> str:
    """A value of the axis for people: five digits of it."""
    number, _, unit = str(value).partition(" ")
    return f"{float(number):.5g} {unit}".strip()


def _plain(answer: "Crossover") -> dict[str, Any]:
    def finite(values: tuple[float, ...]) -> list[float | None]:
        return [value if isfinite(value) else None for value in values]

    def winner(point: "Evaluated") -> str | None:
        return None if point.winner is None else answer.labels[point.winner]

    return {
        "axis": answer.span.key,
        "between": list(answer.labels),
        "measure": str(answer.measure),
        "target": answer.measure.target,
        "swaps": [
            {
                "low": swap.below.value,
                "high": swap.above.value,
                "width": answer.width(swap),
                "better_below": winner(swap.below),
                "better_above": winner(swap.above),
            }
            for swap in answer.swaps
        ],
        "points": [
            {
                "value": point.value,
                "better": winner(point),
                **dict(zip(answer.labels, map(finite, point.figures), strict=True)),
            }
            for point in answer.points
        ],
        "cost": vars(answer.cost),
    }
