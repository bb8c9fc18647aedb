"""Result folders in, one self-contained page out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from simnet.results import ResultsError, Run, preload
from simnet.results.columns import run_names
from simnet_analysis.report import summary, tables
from simnet_analysis.report.conditions import Condition, conditions
from simnet_analysis.report.curve_data import curve_data, style_data
from simnet_analysis.report.outcomes import Outcome, metric_of, outcome
from simnet_analysis.report.run_data import drawn_or_why, facts, map_data, timeline_data, to_draw
from simnet_analysis.report.words import answer
from simnet_analysis.style import MethodStyle, group_styles
from simnet_analysis.timeline import LOOKS

SCRIPTS = ("page.js", "curves.js", "timeline.js", "map.js", "start.js")
"""The page's own code, in this order in one script."""


def write_report(
    runs: Iterable[Run], path: Path | str, metric: str | None = None, target: float | None = None
) -> Path:
    """Write the report of ``runs`` to ``path``, whole or not at all, and return it. Options: `report_html`.

    Raises:
        ResultsError: What `report_html` raises, or the file cannot be written.
    """
    path = Path(path)
    text = report_html(runs, metric, target)
    partial = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise ResultsError(f"cannot write {path}: {error.strerror or error}") from error
    return path


def report_html(runs: Iterable[Run], metric: str | None = None, target: float | None = None) -> str:
    """The page: question, ranked table with statistics, curves, timeline, network, runs, provenance.

    It holds everything that it shows, plotly.js among it, and asks no network for anything. Equal runs give
    equal pages.

    Args:
        runs: What ``simnet.results.read_runs`` gives.
        metric: By which methods are compared; the loss, or the first that was recorded, if not given.
        target: A value of it to reach; what every method of a condition reaches if not given.

    Raises:
        ResultsError: There is no run, one recorded no such metric, or a table cannot be read.
    """
    from plotly.offline import get_plotlyjs

    every = tuple(runs)
    if not every:
        raise ResultsError("no runs to report")
    metric = metric_of(every, metric)
    if metric is None and target is not None:
        raise ResultsError("these runs measured nothing that could reach a target")
    preload(every, {"steps", "bytes", *([] if metric is None else [metric])})
    found = conditions(every)
    outcomes = [outcome(one, metric, target) for one in found]
    styles = group_styles(dict.fromkeys((group.name, group.method) for one in found for group in one.groups))
    data = {
        "conditions": _conditions(found, outcomes, metric),
        "styles": {name: style_data(style) for name, style in styles.items()},
        "bars": {what: {"color": look.color, "edge": look.edge, "hatch": look.hatch, "height": look.height}
                 for what, look in LOOKS.items()},
        "runs": _runs(every, found),
    }  # fmt: skip
    order = [run for one in outcomes for name in one.ranked for run in _of(one.condition, name)]
    named = dict(zip(every, run_names(every), strict=True))
    number = {run: at for at, run in enumerate(every)}
    return Template(_file("page.html")).substitute(
        title=escape(summary.title_of(every)),
        questions="\n".join(f'<p class="question">{escape(text)}</p>' for text in summary.questions(every)),
        answers=_answers(outcomes),
        scenario=summary.definitions(summary.scenario_facts(found)),
        ranked=_ranked(outcomes, styles),
        notes="\n".join(
            f'<p class="note">{escape(text)}</p>'
            for text in dict.fromkeys(text for one in outcomes for text in tables.notes(one))
        ),
        pairs=_pairs(outcomes),
        runs=tables.runs_table((number[run], named[run], run) for run in order),
        provenance=summary.definitions(summary.provenance(every)),
        style=_file("page.css"),
        plotly=get_plotlyjs(),
        data=_embedded(data),
        script="\n".join(_file(name) for name in SCRIPTS),
    )


def _conditions(
    found: Sequence[Condition], outcomes: Sequence[Outcome], metric: str | None
) -> list[dict[str, Any]]:
    drawn = curve_data(found, metric)
    for data, one in zip(drawn, outcomes, strict=True):
        data["groups"] = list(one.ranked)
        data["target"] = None if one.target is None else {"metric": metric, "value": one.target}
    return drawn


def _runs(every: Sequence[Run], found: Sequence[Condition]) -> list[dict[str, Any]]:
    chosen = set(to_draw(found))
    layouts: dict[tuple[Any, ...], Any] = {}
    own: dict[Run, tuple[int, str]] = {}
    for at, condition in enumerate(found):
        for group in condition.groups:
            own |= dict.fromkeys(group.runs, (at, group.name))
    data = []
    for run, name in zip(every, run_names(every), strict=True):
        one: dict[str, Any] = {"name": name, "condition": own[run][0], "group": own[run][1]}
        one |= {"seed": run.manifest.seed, "facts": facts(run), "yaml": run.scenario_yaml}
        if run in chosen:
            one["timeline"] = drawn_or_why(timeline_data, run)
            one["map"] = drawn_or_why(lambda each: map_data(each, layouts), run)
        data.append(one)
    return data


def _of(condition: Condition, name: str) -> tuple[Run, ...]:
    return next(group.runs for group in condition.groups if group.name == name)


def _answers(outcomes: Sequence[Outcome]) -> str:
    """A sentence or two; of several conditions a table, with the sentences folded."""
    if len(outcomes) == 1:
        return f"<p>{escape(answer(outcomes[0]))}</p>"
    said = "\n".join(
        f"<p><strong>{escape(one.condition.title)}:</strong> {escape(answer(one))}</p>" for one in outcomes
    )
    return (
        f"{tables.overview_table(outcomes)}\n"
        "<p class='note'>Time to the target under each condition, the shortest in bold; ≈ marks what seeds "
        f"do not tell apart from it.</p>\n<details><summary>In words</summary>{said}</details>"
    )


def _ranked(outcomes: Sequence[Outcome], styles: Mapping[str, MethodStyle]) -> str:
    """The ranked tables; of several conditions the first one open."""
    if len(outcomes) == 1:
        return tables.ranked_table(outcomes[0], styles)
    return "\n".join(
        f"<details{'' if at else ' open'}><summary>{escape(one.condition.title)}: ranked</summary>\n"
        f"{tables.ranked_table(one, styles)}</details>"
        for at, one in enumerate(outcomes)
    )


def _pairs(outcomes: Sequence[Outcome]) -> str:
    """All pairs of methods in every quantity, the first of all open."""
    parts: list[str] = []
    for one in outcomes:
        if all(each.seeds < 2 for each in one.first.comparisons):
            continue
        own = "\n".join(
            f"<details{'' if at else ' open'}><summary>{escape(quantity.title)}: every pair</summary>\n"
            f"{tables.pairs_table(one, quantity)}</details>"
            for at, quantity in enumerate(one.quantities)
        )
        title = escape(one.condition.title)
        parts.append(
            f"<details{'' if parts else ' open'}><summary>{title}</summary>\n{own}</details>"
            if title
            else own
        )
    if parts:
        return "\n".join(parts)
    if all(len(one.ranked) < 2 for one in outcomes):
        return "<p>There is one method, and nothing to compare it with.</p>"
    return (
        "<p>Methods have no two seeds in common, so nothing can be said about chance: no difference was "
        "tested. Run the same scenario under several seeds (<code>sweep: {seed: [0, 1, 2, 3, 4]}</code>).</p>"
    )


def _embedded(data: Any) -> str:
    """JSON that can stand in a script element: nothing in it can end the element."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _file(name: str) -> str:
    return (files("simnet_analysis.report") / "page" / name).read_text(encoding="utf-8")
