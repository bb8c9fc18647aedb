"""`simnet recommend`."""

import json
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simnet.cli.options import AsJson, Jobs, Overrides, Results, ScenarioName

if TYPE_CHECKING:
    from simnet.answers import Recommendation
    from simnet.answers.recommend import Standing


def recommend(
    scenario: ScenarioName,
    deadline: Annotated[
        str | None,
        typer.Option(
            help="Virtual time at which the lowest loss wins, such as [cyan]2h[/]; the scenario's stop.time, "
            "or the time that the method in the middle takes for all steps, if not given."
        ),
    ] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="STEPS",
            help="Steps per worker of the longest runs of the search; all of the scenario's if not given.",
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds of the last round; the others have one.")] = 3,
    method: Annotated[
        list[str] | None, typer.Option(help="Look at this method only. Repeatable; all if not given.")
    ] = None,
    overrides: Overrides = None,
    results: Results = Path("results"),
    jobs: Jobs = None,
    as_json: AsJson = False,
) -> None:
    """Rank all methods that can run in a scenario for its network and a deadline, after short runs.

    Methods are tried with their default options, a small grid of each, and as the scenario has them. The best
    third of each round goes on to the next, with three times the steps.
    """
    from simnet.answers import Search
    from simnet.answers import recommend as search_for
    from simnet.cli.batch_screen import watching
    from simnet.units import seconds

    answer = search_for(
        scenario,
        Search(results, jobs, watching),
        overrides=overrides or (),
        deadline_seconds=None if deadline is None else seconds(deadline),
        budget=budget,
        seeds=seeds,
        methods=method or (),
    )
    if as_json:
        typer.echo(json.dumps(_plain(answer), indent=2))
    else:
        _print(answer)


def _print(answer: "Recommendation") -> None:
    from simnet.cli.columns import aligned
    from simnet.cli.crossover import say_cost
    from simnet.units import format_bytes, format_seconds

    best = answer.ranking[0]
    header = ["", "method", "options", "steps", "loss", "seeds", "best better in", "time/step", "bytes/step"]
    rows = [header]
    for place, one in enumerate(answer.ranking, start=1):
        same_round = one.round == best.round and one is not best
        rows.append(
            [
                str(place),
                one.label,
                _options(one),
                str(one.steps),
                f"{one.loss:.4f}" if isfinite(one.loss) else "failed",
                str(len(one.losses)),
                f"{one.beaten_by(best)} of {len(one.losses)}" if same_round else "",
                format_seconds(one.seconds_per_step),
                format_bytes(one.bytes_per_step),
            ]
        )
    whose = "" if answer.deadline_given else ", what the method in the middle takes"
    typer.echo(
        f"lowest loss at {format_seconds(answer.deadline_seconds)} (the deadline{whose}), "
        f"{answer.steps} steps at most\n"
    )
    for number, each in enumerate(answer.rounds, start=1):
        typer.echo(
            f"round {number}: {each.candidates} candidates, {each.steps} steps, loss at "
            f"{format_seconds(each.deadline_seconds)}, {each.seeds} {'seed' if each.seeds == 1 else 'seeds'}"
        )
    typer.echo("")
    typer.echo(aligned(rows, left=3))
    for one in answer.ranking:
        if one.failure:
            typer.echo(f"\nfailed: {one.label}\n    {one.failure}")
    if answer.excluded:
        typer.echo("\nnot tried:")
        for why in dict.fromkeys(answer.excluded.values()):
            typer.echo(f"  {', '.join(label for label, its in answer.excluded.items() if its == why)}:")
            typer.echo(f"      {why}")
    typer.echo(f"\n{_how_sure(answer)}\n{say_cost(answer.cost)}")


def _how_sure(answer: "Recommendation") -> str:
    """The recommendation, and how far it carries."""
    best, *others = answer.ranking
    if not isfinite(best.loss):
        return "no recommendation: every candidate failed"
    rivals = [one for one in others if one.round == best.round and isfinite(one.loss)]
    seeds = len(best.losses)
    short = (
        f"This comes from runs of {best.steps} of {answer.steps} steps: longer training may turn it round."
        if best.steps < answer.steps
        else "The last round has all steps; what fell out before was judged by shorter runs."
    )
    if not rivals:
        return f"recommended: {best.label}\n    {short}"
    worst = min(one.beaten_by(best) for one in rivals)
    if seeds == 1:
        sure = "one seed: nothing is known of luck"
    elif worst == seeds:
        sure = f"ahead of all {len(rivals)} others of the last round in each of {seeds} seeds"
    else:
        close = ", ".join(one.label for one in rivals if one.beaten_by(best) < seeds)
        sure = f"not sure: not ahead of {close} in every one of {seeds} seeds"
    return f"recommended: {best.label}\n    {sure[:1].upper()}{sure[1:]}.\n    {short}"


def _options(one: "Standing") -> str:
    return ", ".join(f"{key}={value}" for key, value in one.entry.options.items()) or "default"


def _plain(answer: "Recommendation") -> dict[str, Any]:
    return {
        "deadline_seconds": answer.deadline_seconds,
        "deadline_given": answer.deadline_given,
        "steps": answer.steps,
        "rounds": [vars(each) for each in answer.rounds],
        "ranking": [
            {
                "method": one.label,
                "algorithm": one.entry.name,
                "options": one.entry.options,
                "round": one.round + 1,
                "steps": one.steps,
                "losses": [loss if isfinite(loss) else None for loss in one.losses],
                "seconds_per_step": one.seconds_per_step,
                "bytes_per_step": one.bytes_per_step,
                "failure": one.failure or None,
            }
            for one in answer.ranking
        ],
        "not_tried": answer.excluded,
        "cost": vars(answer.cost),
    }
