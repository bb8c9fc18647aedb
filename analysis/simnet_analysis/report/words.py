"""What came out, in sentences: who was first, by how much, and how sure that is."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from simnet_analysis.report.outcomes import Outcome, Quantity
from simnet_analysis.statistics import LEVEL, Comparison


def answer(found: Outcome) -> str:
    """Two or three sentences about a condition."""
    names = found.ranked
    quantity = found.first
    if len(names) == 1:
        return _alone(found)
    if found.metric is not None and found.target is None:
        return f"No method got better at its task ({found.metric}), so there is no target to reach."
    best = quantity.interval(names[0])
    if best is None:
        return f"No method reached {found.metric} {found.target:g} in all of its runs."
    did = "took the least time" if found.metric is None else f"reached {found.metric} {found.target:g} first"
    last = next(name for name in reversed(names) if quantity.interval(name) is not None)
    worst = quantity.interval(last)
    text = f"{names[0]} {did}: {quantity.say(best.mean)}{_interval(quantity, names[0])}."
    if worst is not None and last != names[0]:
        times = f", {worst.mean / best.mean:.3g} times as long" if best.mean > 0 else ""
        text += f" {last} took {quantity.say(worst.mean)}{times}."
    never = [name for name in names if quantity.interval(name) is None]
    if never:
        text += f" Not in all of their runs reached by: {_listed(never)}."
    return f"{text} {_sureness(quantity, names)}"


def p_value(p: float) -> str:
    """A p-value with two digits; nothing is said about what is below a ten thousandth."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"


def untested(one: Comparison, quantity: Quantity) -> str:
    """Why a pair has no test, for people."""
    if one.untested != "not finite":
        return one.untested
    names = [name for name in (one.first, one.second) if quantity.interval(name) is None]
    return "; ".join(f"{name}: {reached(quantity, name)}" for name in names)


def reached(quantity: Quantity, name: str) -> str:
    """How many of a method's seeds came to a value."""
    values = list(quantity.values[name].values())
    count = sum(map(isfinite, values))
    what = "finite" if quantity.spent == "final" else "reached"
    if count == 0:
        return "diverged" if quantity.spent == "final" else "never"
    return f"{what} in {count} of {len(values)} seeds"


def _alone(found: Outcome) -> str:
    quantity = found.first if found.metric is None else found.quantities[-1]
    name = found.ranked[0]
    best = quantity.interval(name)
    said = reached(quantity, name) if best is None else quantity.say(best.mean) + _interval(quantity, name)
    return f"{name}: {quantity.title} {said}. There is nothing to compare it with."


def _interval(quantity: Quantity, name: str) -> str:
    found = quantity.interval(name)
    if found is None or found.count == 1:
        return ""
    if found.low == found.high:
        return f" in each of {found.count} seeds"
    ends = f"{quantity.say(found.low)} to {quantity.say(found.high)}"
    return f" (mean of {found.count} seeds; 95 % interval {ends})"


def _sureness(quantity: Quantity, names: Sequence[str]) -> str:
    first, others = names[0], names[1:]
    against = {name: quantity.between(first, name) for name in others}
    if all(one.untested in ("one seed", "no common seed") for one in against.values()):
        return "There is one seed: how much of this is luck is not known."
    sure = [name for name, one in against.items() if one.significant]
    always = [name for name, one in against.items() if one.untested == "same in every seed"]
    tied = [name for name, one in against.items() if one.p is not None and not one.significant]
    parts = []
    if sure:
        parts.append(
            f"The difference from {_listed(sure)} is significant (adjusted p < {LEVEL:g})"
            if len(sure) == 1
            else f"The differences from {_listed(sure)} are significant (adjusted p < {LEVEL:g})"
        )
    if always:
        parts.append(f"the difference from {_listed(always)} is the same in every seed")
    if tied:
        parts.append(f"seeds do not tell it apart from {_listed(tied)}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _listed(names: Sequence[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
