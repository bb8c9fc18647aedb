"""Methods in rows: how good, how soon, at what cost."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from math import ceil, floor, inf, isfinite, log10
from typing import Any

import numpy as np
import pandas as pd

from simnet.results import Run, higher_is_better, preload
from simnet_analysis.groups import Group, group_runs
from simnet_analysis.quantities import say_bytes, say_seconds


def default_target(runs: Iterable[Run], metric: str = "loss") -> float | None:
    """A value of ``metric`` that every method reaches: the worst of the methods' best values.

    It is rounded to three significant digits towards the easier side. Runs that diverged, and runs that were
    never better than at their first evaluation, have no say: they would make the target one that is reached
    at the start. None if no run is left.

    Raises:
        ResultsError: A run recorded no such metric.
    """
    sign = -1.0 if higher_is_better(metric) else 1.0
    bests = []
    for run in runs:
        values = sign * np.asarray(run.arrays(metric)[2], float)
        if isfinite(values[-1]) and np.nanmin(values) < values[0]:
            bests.append(float(np.nanmin(values)))
    return sign * _round_up(max(bests)) if bests else None


def comparison_table(
    runs: Iterable[Run], target: float | None = None, *, metric: str | None = "loss"
) -> pd.DataFrame:
    """One row per method, the one that reaches ``target`` first on top.

    Columns, means over the seeds of a method: ``method``, ``runs`` (how many seeds), ``final_<metric>``,
    ``seconds_to_target`` and ``bytes_to_target`` (at the first evaluation at or past the target; infinite
    unless all runs reach it), ``reached`` (how many do), ``virtual_seconds``, ``steps`` (per worker),
    ``bytes_sent`` (charged), ``raw_bytes_sent`` (what payloads really held), ``utilization`` (0 to 1),
    ``diverged`` (how many runs ended with a value that is not finite; it makes the mean final value NaN or
    infinite). ``attrs`` holds "target" and "metric".

    The target is ``default_target`` unless given; without either, nothing reaches it. Without a metric (None:
    timing-only runs, which have no loss) the columns about it are left out, and methods keep their order.

    Raises:
        ResultsError: There is no run, or one recorded no such metric.
    """
    runs = list(runs)
    groups = group_runs(runs)
    if metric is not None:
        preload(runs, [metric, "bytes"])
    if metric is None:
        frame = pd.DataFrame([_costs(group) for group in groups])
        frame.attrs.update(target=None, metric=None)
        return frame
    if target is None:
        target = default_target([run for group in groups for run in group.runs], metric)
    frame = pd.DataFrame([_row(group, target, metric) for group in groups])
    sign = -1.0 if higher_is_better(metric) else 1.0
    order = frame.assign(_final=sign * frame[f"final_{metric}"])
    order = order.sort_values(["seconds_to_target", "_final", "method"], kind="stable", na_position="last")
    frame = frame.loc[order.index].reset_index(drop=True)
    frame.attrs.update(target=target, metric=metric)
    return frame


def format_table(frame: pd.DataFrame) -> str:
    """A ``comparison_table`` as aligned text for a terminal, with units."""
    cells = table_cells(frame)
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join([lines[0], "  ".join("-" * width for width in widths), *lines[1:]])


def table_cells(frame: pd.DataFrame) -> list[list[str]]:
    """A ``comparison_table`` as text cells, the header first."""
    metric, target = frame.attrs["metric"], frame.attrs["target"]
    goal = "target" if target is None else f"{target:g}"
    seeds = bool((frame["runs"] > 1).any())
    scaled = not np.allclose(frame["raw_bytes_sent"], frame["bytes_sent"])
    measured = [] if metric is None else [f"final {metric}", f"time to {goal}", f"bytes to {goal}"]
    sizes = ["bytes sent", *(["raw bytes"] if scaled else [])]
    cells = [
        ["method", *(["seeds"] if seeds else []), *measured, "virtual time", *sizes, "utilization"],
    ]
    for row in frame.to_dict("records"):
        sent = [say_bytes(row["bytes_sent"]), *([say_bytes(row["raw_bytes_sent"])] if scaled else [])]
        cells.append(
            [
                str(row["method"]),
                *([str(int(row["runs"]))] if seeds else []),
                *([] if metric is None else _measured(row, metric)),
                *(say_seconds(row["virtual_seconds"]), *sent, f"{row['utilization']:.0%}"),
            ]
        )
    return cells


def _measured(row: Mapping[Hashable, Any], metric: str) -> list[str]:
    """The cells about the metric: its final value, and the seconds and bytes to the target."""
    runs, reached, diverged = int(row["runs"]), int(row["reached"]), int(row["diverged"])
    final = f"{row[f'final_{metric}']:.4g}"
    if diverged:
        final = "diverged" if diverged == runs else f"{diverged}/{runs} diverged"
    if 0 < reached < runs:
        return [final, *[f"{reached}/{runs} runs"] * 2]
    return [final, say_seconds(row["seconds_to_target"]), say_bytes(row["bytes_to_target"])]


def _costs(group: Group) -> dict[str, object]:
    """What is known of every run, whatever it recorded."""
    manifests = [run.manifest for run in group.runs]
    return {
        "method": group.name,
        "runs": len(manifests),
        "virtual_seconds": float(np.mean([manifest.virtual_seconds for manifest in manifests])),
        "steps": float(np.mean([manifest.steps for manifest in manifests])),
        "bytes_sent": float(np.mean([manifest.bytes_sent for manifest in manifests])),
        "raw_bytes_sent": float(np.mean([manifest.raw_bytes_sent for manifest in manifests])),
        "utilization": float(np.mean([manifest.utilization for manifest in manifests])),
    }


def _row(group: Group, target: float | None, metric: str) -> dict[str, object]:
    runs, costs = group.runs, _costs(group)
    times = [inf if target is None else run.time_to(metric, target) for run in runs]
    sizes = [inf if target is None else run.bytes_to(metric, target) for run in runs]
    return {
        "method": costs.pop("method"),
        "runs": costs.pop("runs"),
        f"final_{metric}": float(np.mean([run.final(metric) for run in runs])),
        "seconds_to_target": float(np.mean(times)),
        "bytes_to_target": float(np.mean(sizes)),
        "reached": sum(isfinite(time) for time in times),
        **costs,
        "diverged": group.diverged(metric),
    }


def _round_up(value: float) -> float:
    """To three significant digits, never below ``value``."""
    if value == 0:
        return 0.0
    digits = 2 - floor(log10(abs(value)))
    rounded = round(ceil(value * 10.0**digits) / 10.0**digits, max(digits, 0))
    return rounded if rounded >= value else value
