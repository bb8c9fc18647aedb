"""The page's tables, as HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from itertools import combinations

from simnet.results import Run
from simnet_analysis.groups import Group
from simnet_analysis.quantities import say_bytes, say_seconds
from simnet_analysis.report.outcomes import Outcome, Quantity, repeated
from simnet_analysis.report.run_data import emulated
from simnet_analysis.report.words import p_value, reached, untested
from simnet_analysis.statistics import Comparison, mean_interval
from simnet_analysis.style import MethodStyle

Cell = tuple[str, str]
"""HTML of a cell, and its class."""


def ranked_table(found: Outcome, styles: Mapping[str, MethodStyle]) -> str:
    """One row per method, the best on top: every quantity with its interval, and how sure the order is."""
    groups = {group.name: group for group in found.condition.groups}
    several = len(found.condition.runs) > len(groups)
    compared = several and len(groups) > 1
    header = ["", "method", *(["seeds"] if several else []), found.first.title]
    header += [*(["against the first"] if compared else []), *(one.title for one in found.quantities[1:])]
    rows = []
    for rank, name in enumerate(found.ranked, start=1):
        group = groups[name]
        cells: list[Cell] = [(str(rank), "number"), (_method(group, styles[name]), "method")]
        if several:
            cells.append((str(len({run.manifest.seed for run in group.runs})), "number"))
        cells.append((_value(found.first, name), "number"))
        if compared:
            best = found.ranked[0]
            said = "–" if name == best else _against(found.first, found.first.between(name, best))
            cells.append((said, "number"))
        cells += [(_value(quantity, name), "number") for quantity in found.quantities[1:]]
        utilization = mean_interval([run.manifest.utilization for run in group.runs]).mean
        rows.append([*cells, (f"{utilization:.1%}", "number")])
    return _table("ranked", [*header, "utilization"], rows)


def overview_table(outcomes: Sequence[Outcome]) -> str:
    """One row per condition, one column per method: what it took, the least in bold."""
    names = sorted(
        dict.fromkeys(name for one in outcomes for name in one.ranked),
        key=lambda name: sum(one.ranked.index(name) for one in outcomes if name in one.ranked),
    )
    goals = any(one.target is not None for one in outcomes)
    rows = []
    for one in outcomes:
        cells: list[Cell] = [(escape(one.condition.title), "")]
        if goals:
            cells.append(("–" if one.target is None else f"{one.metric} {one.target:g}", "number"))
        for name in names:
            if name not in one.ranked:
                cells.append(("–", "number"))
                continue
            said = _value(one.first, name).split("<small>")[0]
            best = one.ranked[0]
            if name == best:
                said = f"<strong>{said}</strong>"
            elif (pair := one.first.between(name, best)).p is not None and not pair.significant:
                said += " ≈"
            cells.append((said, "number"))
        rows.append(cells)
    header = ["condition", *(["target"] if goals else []), *names]
    return _table("overview", header, rows)


def pairs_table(found: Outcome, quantity: Quantity) -> str:
    """Every pair of methods in one quantity, in the order of their means in it."""
    names = sorted(found.ranked, key=quantity.order)
    rows: list[list[Cell]] = []
    for first, second in combinations(names, 2):
        one = quantity.between(second, first)
        rows.append(
            [
                (escape(first), "method"),
                (escape(second), "method"),
                (str(one.seeds), "number"),
                (_difference(quantity, one), "number"),
                ("–" if one.p is None else _bare(one.p), "number"),
                ("–" if one.p_adjusted is None else _bare(one.p_adjusted), "number"),
                (escape(untested(one, quantity)) if one.p is None else _told(one), "verdict"),
            ]
        )
    header = ["A", "B", "seeds", "B − A", "p", "p adjusted", "verdict"]
    return _table("pairs", header, rows)


def runs_table(runs: Iterable[tuple[int, str, Run]]) -> str:
    """One row per run: its number in the page, its name, and what came out."""
    rows = []
    for number, name, run in runs:
        manifest = run.manifest
        mark = _marks([run])
        status = escape(manifest.status)
        rows.append(
            [
                (f'<a href="#run" data-run="{number}">{escape(name)}</a>{mark}', "method"),
                (str(manifest.seed), "number"),
                (status if manifest.status == "complete" else f"<strong>{status}</strong>", ""),
                (
                    escape(", ".join(f"{key} {value:.4g}" for key, value in manifest.final.items())) or "–",
                    "number",
                ),
                (say_seconds(manifest.virtual_seconds), "number"),
                (say_bytes(manifest.bytes_sent), "number"),
                (say_seconds(manifest.wall_seconds), "number"),
            ]
        )
    header = ["run", "seed", "status", "final values", "virtual time", "bytes sent", "wall time"]
    return _table("runs", header, rows)


def notes(found: Outcome) -> list[str]:
    """What must be said below a ranked table."""
    said = []
    counts = {len({run.manifest.seed for run in group.runs}) for group in found.condition.groups}
    if counts == {1}:
        said.append(
            "One seed: these numbers have no intervals, and no difference was tested. "
            "Run several seeds to know how much of a difference is luck."
        )
    else:
        said.append(
            "Numbers are means over seeds; below each is its 95 % confidence interval (Student's t), or "
            "“every seed” where all seeds gave the same. "
            "Differences are taken seed by seed; p-values are of paired t-tests, adjusted by Holm over all "
            "pairs of methods."
        )
        if 2 in counts:
            said.append(
                "Two seeds give very wide intervals, and show almost no difference to be significant."
            )
    for name, seeds in repeated(found.condition).items():
        listed = ", ".join(map(str, seeds))
        said.append(
            f"{name} has more than one run of seed {listed} (of another version, or copied): "
            "each seed counts once, as the mean."
        )
    if len({bool(emulated(run)) for run in found.condition.runs}) == 2:
        said.append("Some runs were emulated, and some simulated: their times come from different clocks.")
    return said


def _method(group: Group, style: MethodStyle) -> str:
    name = f'<span class="swatch" style="background:{style.color}"></span>{escape(group.name)}'
    return name + _marks(group.runs)


def _marks(runs: Sequence[Run]) -> str:
    """That runs were emulated, and whether that was valid."""
    said = sorted({emulated(run) for run in runs} - {""})
    return "".join(f' <span class="mark">{text}</span>' for text in said)


def _value(quantity: Quantity, name: str) -> str:
    found = quantity.interval(name)
    if found is None:
        return escape(reached(quantity, name))
    said = escape(quantity.say(found.mean))
    if found.count == 1:
        return said
    if found.high - found.low <= 1e-12 * abs(found.mean):
        return f"{said}<small>every seed</small>"
    return f"{said}<small>{escape(quantity.say(found.low))} to {escape(quantity.say(found.high))}</small>"


def _difference(quantity: Quantity, one: Comparison) -> str:
    """First minus second, with its interval where there is one."""
    if one.difference is None:
        return "–"
    said = _signed(quantity, one.difference.mean)
    if one.p is None:
        return said
    low, high = _signed(quantity, one.difference.low), _signed(quantity, one.difference.high)
    return f"{said}<small>{low} to {high}</small>"


def _against(quantity: Quantity, one: Comparison) -> str:
    """A difference, and what the test says."""
    if one.difference is None:
        return escape(untested(one, quantity))
    if one.p_adjusted is None:
        return f"{_difference(quantity, one)}<small>{escape(untested(one, quantity))}</small>"
    return f"{_difference(quantity, one)}<small>{_told(one)}, {escape(p_value(one.p_adjusted))}</small>"


def _told(one: Comparison) -> str:
    return "<strong>significant</strong>" if one.significant else "not told apart"


def _signed(quantity: Quantity, value: float) -> str:
    sign = "+" if value > 0 else "−" if value < 0 else "±"
    return escape(sign + quantity.say(abs(value)))


def _bare(p: float) -> str:
    """A p-value in a column that says so."""
    return escape(p_value(p).removeprefix("p = ").removeprefix("p "))


def _table(kind: str, header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in header)
    body = "\n".join(
        "<tr>"
        + "".join(f'<td class="{kind}">{text}</td>' if kind else f"<td>{text}</td>" for text, kind in cells)
        + "</tr>"
        for cells in rows
    )
    return (
        f'<div class="scroll" tabindex="0"><table class="{kind}">\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )
