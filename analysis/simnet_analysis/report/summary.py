"""The head of the page: what was asked, what stood around it, and where the numbers are from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from simnet.results import Run
from simnet_analysis.quantities import say_seconds
from simnet_analysis.report.conditions import Condition
from simnet_analysis.report.run_data import emulated

_SAID = (
    ("network", ("network.topology", "network.link", "network.model")),
    ("workers", ("workers",)),
    ("server", ("server",)),
    ("faults", ("faults",)),
    ("task", ("task.name", "task.dataset", "task.model", "task.partition")),
    ("training", ("task.batch_size", "task.optimizer")),
    ("charged as", ("task.charge_as",)),
    ("pipeline", ("pipeline",)),
    ("stop", ("stop",)),
)
"""What of a scenario is said in the head; everything is in the YAML of each run."""


def title_of(runs: Sequence[Run]) -> str:
    """The names of the scenarios."""
    names = list(dict.fromkeys(str(run.scenario.get("name", "results")) for run in runs))
    return (
        names[0]
        if len(names) == 1
        else f"{len(names)} scenarios: {', '.join(names[:4])}" + (", …" if len(names) > 4 else "")
    )


def questions(runs: Sequence[Run]) -> list[str]:
    """The descriptions of the scenarios, each once."""
    said = (str(run.scenario.get("description") or "").strip() for run in runs)
    return list(dict.fromkeys(text for text in said if text))


def scenario_facts(conditions: Sequence[Condition]) -> list[tuple[str, str]]:
    """What is the same in all conditions, then in what they differ, then what was varied."""
    scenarios = [condition.runs[0].scenario for condition in conditions]
    facts = []
    for what, keys in _SAID:
        parts = []
        for key in keys:
            values = [_at(scenario, key) for scenario in scenarios]
            if any(value not in (None, {}, []) for value in values):
                same = all(value == values[0] for value in values)
                name = key.rpartition(".")[2].replace("_", " ")
                said = _brief(values[0]) if same else f"{name}: differs"
                parts.append(said if isinstance(values[0], Mapping | list | str) else f"{name} {said}")
        if parts:
            facts.append((what, "; ".join(parts)))
    if len(conditions) > 1:
        facts.append(("conditions", f"{len(conditions)}: " + "; ".join(one.title for one in conditions[:12])))
    methods = list(dict.fromkeys(group.method for one in conditions for group in one.groups))
    facts.append(("methods", ", ".join(methods)))
    seeds = sorted({seed for one in conditions for seed in one.seeds})
    facts.append(("seeds", _numbers(seeds)))
    return facts


def provenance(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Versions, machines, wall time and what was checked, of all runs together."""
    manifests = [run.manifest for run in runs]
    versions: dict[str, dict[str, None]] = {}
    for manifest in manifests:
        for name, version in manifest.versions.items():
            versions.setdefault(name, {})[version] = None
    statuses = [manifest.status for manifest in manifests]
    kinds = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    counts: dict[str, float] = {}
    for manifest in manifests:
        for name, count in manifest.invariants.items():
            counts[name] = counts.get(name, 0.0) + count
    real = sum(bool(emulated(run)) for run in runs)
    found = [
        ("runs", f"{len(runs)} ({kinds})"),
        ("runtime", f"{real} emulated, {len(runs) - real} simulated" if real else "simulated"),
        ("versions", "; ".join(f"{name} {', '.join(own)}" for name, own in versions.items())),
        ("machine", "; ".join(dict.fromkeys(manifest.platform for manifest in manifests))),
        (
            "torch",
            "; ".join(
                dict.fromkeys(
                    f"{one.device}, {one.engine}, threads: {one.torch_threads}" for one in manifests
                )
            ),
        ),
        ("seeds", _numbers(sorted({manifest.seed for manifest in manifests}))),
        ("wall time", say_seconds(sum(manifest.wall_seconds for manifest in manifests)) + " in all"),
        ("virtual time", say_seconds(sum(manifest.virtual_seconds for manifest in manifests)) + " in all"),
        ("checked counts, summed", ", ".join(f"{name} {_counted(count)}" for name, count in counts.items())),
    ]
    return [(what, said) for what, said in found if said]


def definitions(facts: Sequence[tuple[str, str]]) -> str:
    """Facts as an HTML list."""
    rows = "\n".join(f"<div><dt>{escape(what)}</dt><dd>{escape(said)}</dd></div>" for what, said in facts)
    return f"<dl>\n{rows}\n</dl>"


def _at(scenario: Mapping[str, Any], key: str) -> Any:
    found: Any = scenario
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _brief(value: Any) -> str:
    """A value of a scenario on one line, without the punctuation of YAML where it is not needed."""
    if isinstance(value, Mapping):
        first = [str(value[key]) for key in ("name", "kind") if isinstance(value.get(key), str)]
        rest = [
            f"{str(key).replace('_', ' ')} {_nested(item)}"
            for key, item in value.items()
            if str(item) not in first and item not in (None, False, {}, [])
        ]
        return ", ".join([*first, *rest])
    if isinstance(value, list):
        return "; ".join(map(_brief, value))
    return str(value)


def _nested(value: Any) -> str:
    return f"({_brief(value)})" if isinstance(value, Mapping | list) and value else _brief(value)


def _counted(count: float) -> str:
    return f"{count:,.0f}" if count == round(count) or count >= 1e6 else f"{count:,.6g}"


def _numbers(numbers: Sequence[int]) -> str:
    """Ranges where there are any: "0 to 4, 9"."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][-1] + 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    said = (f"{part[0]} to {part[-1]}" if len(part) > 2 else ", ".join(map(str, part)) for part in parts)
    return ", ".join(said)
