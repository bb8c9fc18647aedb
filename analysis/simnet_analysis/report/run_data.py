"""What the page shows of single runs: what each node did, the network with its use, the facts, the YAML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

from simnet.results import ResultsError, Run
from simnet.units import format_bandwidth
from simnet_analysis.quantities import say_bytes, say_seconds, time_unit
from simnet_analysis.report.conditions import Condition
from simnet_analysis.run_map import run_map
from simnet_analysis.timeline import LOOKS, bars, natural, sendings
from simnet_analysis.topology_map import Point, positions

Json = dict[str, Any]

MOST_DRAWN = 40
"""So many runs of a page have a timeline and a map; the first seed of every method comes first."""
_MOST_BARS = 1_500  # of one view of a timeline
_MOST_NODES = 48  # of one timeline
_MOST_LINKS = 2_000  # of one map
_PARTS = (1600, 800, 400, 200, 100)  # the shortest pause that is shown is this part of the run

Kinds = dict[str, dict[int, list[tuple[float, float]]]]
"""What is done -> row of the node -> from when to when (s)."""


def emulated(run: Run) -> str:
    """Of a run of real processes over a real network: "emulated", or "emulated, not valid"; else ""."""
    told = _emulation(run)
    if not told:
        return ""
    return "emulated" if told.get("fidelity", {}).get("valid", True) else "emulated, not valid"


def _emulation(run: Run) -> Mapping[str, Any]:
    """What the manifest says of an emulation: driver, pace, fidelity; nothing of simulated runs."""
    found: Mapping[str, Any] = getattr(run.manifest, "emulation", {})
    return found


def to_draw(conditions: Sequence[Condition]) -> list[Run]:
    """The runs that get a timeline and a map."""
    firsts = [group.runs[0] for one in conditions for group in one.groups]
    others = [run for one in conditions for group in one.groups for run in group.runs[1:]]
    return [*firsts, *others][:MOST_DRAWN]


def drawn_or_why(make: Callable[[Run], Json], run: Run) -> Json:
    """What ``make`` gives; where there is nothing to draw, why (key ``why``)."""
    try:
        return make(run)
    except ResultsError as error:
        return {"why": str(error)}


def timeline_data(run: Run) -> Json:
    """What each node did: bars by kind, as row, start and length in units of ``unit``.

    There is one view of a short run. Of a long one there are two: its beginning with every bar, and the whole
    run, in which bars of one kind at one node with a pause between them of at most ``pause`` are one bar.

    Raises:
        ResultsError: No node does anything.
    """
    every = bars(run)
    nodes = sorted({bar.node for bar in every}, key=natural)
    end = max((bar.end for bar in every), default=0.0)
    if not end > 0:
        raise ResultsError("no node does anything")
    shown = nodes[:_MOST_NODES]
    row = {node: at for at, node in enumerate(shown)}
    kinds: Kinds = {what: {} for what in LOOKS}
    for bar in every:
        if bar.node in row:
            kinds[bar.what].setdefault(row[bar.node], []).append((bar.start, bar.end))
    sends = sendings(run, shown, (0.0, end))
    kinds["sends"] = {row[node]: own for node, own in sends.items() if own}
    if _count(kinds) <= _MOST_BARS:
        views = [_view("the whole run", kinds, end)]
    else:
        views = [_beginning(kinds), _coarse(kinds, end)]
    return {"nodes": shown, "left_out": len(nodes) - len(shown), "views": views}


def _coarse(kinds: Kinds, end: float) -> Json:
    """The whole run with short pauses closed."""
    for part in _PARTS:
        pause = end / part
        merged = {what: {at: joined(own, pause) for at, own in rows.items()} for what, rows in kinds.items()}
        if _count(merged) <= _MOST_BARS:
            break
    return _view("the whole run", merged, end) | {"pause": say_seconds(pause)}


def _beginning(kinds: Kinds) -> Json:
    """As much of the run, from its start, as can be shown with every bar."""
    starts = sorted(start for rows in kinds.values() for own in rows.values() for start, _ in own)
    until = starts[_MOST_BARS]
    cut = {
        what: {at: [(a, min(b, until)) for a, b in own if a < until] for at, own in rows.items()}
        for what, rows in kinds.items()
    }
    return _view(f"its first {say_seconds(until)}", cut, until)


def _view(title: str, kinds: Kinds, end: float) -> Json:
    unit, size = time_unit(end)
    return {
        "title": title,
        "unit": unit,
        "pause": "",
        "kinds": {
            what: {
                "row": [at for at, own in rows.items() for _ in own],
                "start": [_short(left / size) for own in rows.values() for left, _ in own],
                "length": [_short((right - left) / size) for own in rows.values() for left, right in own],
            }
            for what, rows in kinds.items()
            if any(rows.values())
        },
    }


def joined(intervals: Sequence[tuple[float, float]], pause: float) -> list[tuple[float, float]]:
    """Intervals with at most ``pause`` between them as one; in the order of their starts."""
    found: list[tuple[float, float]] = []
    for start, end in sorted(intervals):
        if found and start - found[-1][1] <= pause:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def map_data(run: Run, layouts: dict[tuple[Any, ...], Mapping[str, Point]]) -> Json:
    """Nodes with their places, and links with the share of their capacity that they carried over the run.

    ``layouts`` keeps what was laid out: runs over one network look alike, and layouts take time.

    Raises:
        ResultsError: The run sent nothing, or its links are not known.
    """
    found = run_map(run)
    key = (*(node.name for node in found.nodes), *((link.a, link.b) for link in found.links))
    if key not in layouts:
        layouts[key] = positions(found.nodes, found.links, geographic=False)[0]
    places = layouts[key]
    use = _use(run)
    links: list[Json] = []
    for link in found.links:
        names = [f"{link.a}->{link.b}", f"{link.b}->{link.a}", f"{link.a}--{link.b}", f"{link.b}--{link.a}"]
        own = [(name, *use[name]) for name in names if name in use]
        links.append(
            {
                "ends": [*places[link.a], *places[link.b]],
                "use": _short(max((share for _, share, *_ in own), default=0.0)),
                "bottleneck": link.bottleneck,
                "text": "<br>".join(
                    [
                        f"{link.a} – {link.b}: {format_bandwidth(link.bandwidth)}",
                        *(
                            f"{name.replace('->', ' → ')}: {say_bytes(carried)}, {share:.1%} of the run's "
                            f"capacity, {peak:.0%} at most"
                            for name, share, carried, peak in own
                        ),
                        *(["bottleneck"] if link.bottleneck else []),
                    ]
                ),
            }
        )
    links.sort(key=lambda one: (not one["bottleneck"], -one["use"]))
    nodes: Json = {}
    for node in found.nodes:
        own_role = nodes.setdefault(node.role, {"x": [], "y": [], "name": []})
        for axis, value in zip("xy", places[node.name], strict=True):
            own_role[axis].append(_short(value))
        own_role["name"].append(node.name)
    for one in links:
        one["ends"] = [_short(value) for value in one["ends"]]
    return {"nodes": nodes, "links": links[:_MOST_LINKS], "left_out": max(0, len(links) - _MOST_LINKS)}


def facts(run: Run) -> list[tuple[str, str]]:
    """What the manifest says of a run, for people."""
    manifest = run.manifest
    settings = ", ".join(f"{key} {value}" for key, value in manifest.engine_settings.items())
    found = [
        ("method", f"{manifest.label} ({manifest.algorithm})"),
        ("seed", str(manifest.seed)),
        ("status", manifest.status + (f": {manifest.reason}" if manifest.reason else "")),
        (
            "final values",
            ", ".join(f"{name} {value:.4g}" for name, value in manifest.final.items()) or "none",
        ),
        ("virtual time", say_seconds(manifest.virtual_seconds)),
        ("steps per worker", f"{manifest.steps:g}"),
        (
            "bytes charged",
            f"{say_bytes(manifest.bytes_sent)} (payloads held {say_bytes(manifest.raw_bytes_sent)})",
        ),
        ("utilization", f"{manifest.utilization:.1%} of the workers' time went into computing"),
        ("wall time", say_seconds(manifest.wall_seconds)),
        ("torch", f"{manifest.device}, {manifest.engine}, {_threads(manifest.torch_threads)}; {settings}"),
        ("versions", ", ".join(f"{name} {version}" for name, version in manifest.versions.items())),
        ("machine", manifest.platform),
        ("checked counts", ", ".join(f"{name} {value:,.12g}" for name, value in manifest.invariants.items())),
        ("digest of the scenario", digest(run)),
        ("SHA-256 of metrics.parquet", sha256((run.folder / "metrics.parquet").read_bytes()).hexdigest()),
    ]
    told = _emulation(run)
    if told:
        how = ", ".join(f"{key} {value}" for key, value in told.items() if not isinstance(value, Mapping))
        reasons = "; ".join(told.get("fidelity", {}).get("reasons", ()))
        said = (
            f"{emulated(run)}{f' ({reasons})' if reasons else ''}: real processes over a real, shaped network"
        )
        found.insert(3, ("runtime", f"{said}; its times were measured; {how}"))
    return found


def digest(run: Run) -> str:
    """What the folder's name ends with: the hash of the resolved scenario, simnet's version and the code."""
    return run.folder.name.rpartition("-")[2]


def _use(run: Run) -> dict[str, tuple[float, float, float]]:
    """Of each resource: its share of what the whole run could have carried, bytes, share when fullest."""
    table = run.links
    seconds = table["end"] - table["start"]
    share = (table["bytes"] / table["capacity"]).where(np.isfinite(table["capacity"]), 0.0)
    sums = table.assign(seconds=seconds, share=share).groupby("resource", sort=False)
    total = sums[["bytes", "capacity", "seconds"]].sum()
    peak = sums["share"].max()
    whole = total["capacity"] / total["seconds"] * run.manifest.virtual_seconds
    mean = (total["bytes"] / whole).where(np.isfinite(whole) & (whole > 0), 0.0)
    return {
        str(name): (float(mean[name]), float(total["bytes"][name]), float(peak[name])) for name in total.index
    }


def _count(kinds: Kinds) -> int:
    return sum(len(own) for rows in kinds.values() for own in rows.values())


def _threads(count: int) -> str:
    return "1 thread" if count == 1 else f"{count} threads"


def _short(value: float) -> float:
    return float(f"{value:.6g}")
