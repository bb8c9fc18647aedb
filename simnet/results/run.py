"""A finished run: one folder is one ``Run``, its tables are pandas frames that load when asked for."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simnet.results import parquet
from simnet.results.costs import QUANTITIES, spent
from simnet.results.errors import ResultsError
from simnet.results.manifest import Manifest

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Series = tuple[Floats, NDArray[np.int64], Floats]

HIGHER_IS_BETTER = frozenset(
    {"accuracy", "top5_accuracy", "auc", "bleu", "f1", "precision", "r2", "recall", "reward", "utilization"}
)
"""Metrics that a method wants to be large, also behind ``local_`` or ``train_``. All others: small."""

_LIVES = frozenset({"present", "absent", "down", "up"})
"""Events of the table of faults that say whether a node is there."""


def higher_is_better(metric: str) -> bool:
    """Whether a larger value of ``metric`` is a better one (``HIGHER_IS_BETTER``; by default it is not)."""
    return metric.removeprefix("local_").removeprefix("train_") in HIGHER_IS_BETTER


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run on disk. Tables are read on first use and kept.

    Everything that reads a table raises ``ResultsError`` if its file is missing or damaged.
    """

    folder: Path
    manifest: Manifest

    @property
    def label(self) -> str:
        """What the scenario calls the method."""
        return self.manifest.label

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """Long form: time (s), node ("" is the whole system), step, name, value; in order of recording."""
        return parquet.read(self.folder / "metrics.parquet", "metrics")

    @cached_property
    def transfers(self) -> pd.DataFrame:
        """Messages: id, kind, source, target, raw_bytes, bytes (charged), start, left, delivered, status,
        mean_rate, bound_by, bound.

        ``left``, ``delivered`` and ``mean_rate`` (bytes per second until the last byte left) are NaN for
        what never happened. ``bound`` is a list of (cause, seconds): how long which link, or ``window``,
        ``loss``, ``slow start``, ``cap`` or ``latency`` bound the message; ``bound_by`` is the main one.
        """
        return parquet.read(self.folder / "transfers.parquet", "transfers")

    @cached_property
    def spans(self) -> pd.DataFrame:
        """What each node did when: node, kind, name, start, end (s)."""
        return parquet.read(self.folder / "spans.parquet", "spans")

    @cached_property
    def links(self) -> pd.DataFrame:
        """What each resource of the network carried over time: resource, start, end (s), bytes, capacity.

        One row for each interval in which a resource carried something; the intervals of a run are equally
        long but for the last. ``capacity`` is the bytes that it could have carried in that time. Runs of the
        first schema have no rows.
        """
        path = self.folder / "links.parquet"
        if not path.is_file():  # read_run has seen that the run is of an older schema
            return parquet.schema("links").empty_table().to_pandas()
        return parquet.read(path, "links")

    @cached_property
    def faults(self) -> pd.DataFrame:
        """What went wrong when: time (s), node, event, cause; no rows where the scenario has no faults.

        Where nodes go and come, every node is ``present`` or ``absent`` at time 0; then they go ``down`` and
        come ``up``. ``node`` may also be a link: see "Faults" in the documentation of results.
        """
        path = self.folder / "faults.parquet"
        if not path.is_file():
            return parquet.schema("faults").empty_table().to_pandas()
        return parquet.read(path, "faults")

    def availability(self) -> dict[str, float]:
        """The share of the run's time for which each node was up; empty where nobody ever goes."""
        up: dict[str, float] = {}
        since: dict[str, float] = {}
        end = self.manifest.virtual_seconds
        for time, node, event in self.faults[["time", "node", "event"]].itertuples(index=False):
            if event in ("present", "up"):
                since[node] = min(time, end)
            if event in ("down", "absent") and node in since:
                up[node] = up.get(node, 0.0) + min(time, end) - since.pop(node)
            if event in _LIVES:
                up.setdefault(node, 0.0)
        for node, start in since.items():
            up[node] += end - start
        return {node: seconds / end if end > 0 else float(node in since) for node, seconds in up.items()}

    def bound_seconds(self) -> dict[str, float]:
        """How long each cause bound messages, in seconds summed over all of them; the largest first."""
        totals: dict[str, float] = {}
        for causes in self.transfers["bound"]:
            for cause, seconds in causes:
                totals[cause] = totals.get(cause, 0.0) + seconds
        return dict(sorted(totals.items(), key=lambda item: (-item[1], item[0])))

    def bottleneck(self) -> str:
        """The resource of the network that bound messages the longest (see ``bound_seconds``); "" if none
        did."""
        carried = set(self.links["resource"])
        return next((cause for cause in self.bound_seconds() if cause in carried), "")

    @cached_property
    def scenario_yaml(self) -> str:
        """The resolved scenario, as text."""
        try:
            return (self.folder / "scenario.yaml").read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ResultsError(f"{self.folder / 'scenario.yaml'} cannot be read: {error}") from error

    @cached_property
    def scenario(self) -> dict[str, Any]:
        """The resolved scenario, as plain data."""
        if self.manifest.scenario:
            return dict(self.manifest.scenario)
        from ruamel.yaml import YAML, YAMLError

        try:
            data = YAML(typ="safe").load(self.scenario_yaml)
        except YAMLError as error:
            raise ResultsError(f"{self.folder / 'scenario.yaml'} is not valid YAML: {error}") from error
        return data if isinstance(data, dict) else {}

    def series(self, metric: str, node: str = "") -> pd.DataFrame:
        """The rows of one metric at one node, in order of time: columns time (s), step, value.

        Raises:
            ResultsError: The run recorded no such metric at this node.
        """
        import pandas as pd

        time, step, value = self.arrays(metric, node)
        return pd.DataFrame({"time": time, "step": step, "value": value})

    def arrays(self, metric: str, node: str = "") -> Series:
        """The same as arrays: times (s), steps and values. Raises as ``series``."""
        if node == "" and metric in self.loaded:
            return self.loaded[metric]
        at_node = self._system if node == "" else self.metrics[self.metrics["node"] == node]
        rows = at_node[at_node["name"] == metric]
        if rows.empty:
            names = sorted(at_node["name"].unique())
            close = difflib.get_close_matches(metric, names, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            where = f" at node {node!r}" if node else ""
            raise ResultsError(
                f"{self.folder} has no metric {metric!r}{where}{hint} (it has: {', '.join(names) or 'none'})"
            )
        found = rows["time"].to_numpy(), rows["step"].to_numpy(), rows["value"].to_numpy()
        if node == "":
            self.loaded[metric] = found
        return found

    def final(self, metric: str) -> float:
        """The last value of ``metric`` for the whole system. Raises ``ResultsError`` if there is none."""
        if metric in QUANTITIES:
            return self.spent(metric)
        return float(self.arrays(metric)[2][-1])

    def spent(self, quantity: str) -> float:
        """What the run took of ``dollars`` or ``kwh``, from its prices.

        Raises:
            ResultsError: A price that it takes is not known.
        """
        return float(spent(self, quantity, [self.manifest.virtual_seconds])[0])

    def time_to(self, metric: str, value: float) -> float:
        """Virtual seconds until the first evaluation at which ``metric`` was ``value`` or better.

        Better is at least ``value`` for accuracy and its like, at most ``value`` for all others (see
        ``higher_is_better``). There is no interpolation between evaluations. Infinite if it never was.

        Raises:
            ResultsError: The run recorded no such metric.
            ValueError: ``value`` is NaN.
        """
        return self.reached(metric, value)[0]

    def bytes_to(self, metric: str, value: float) -> float:
        """Bytes charged until the evaluation of ``time_to``; infinite if it never came. Raises as that."""
        reached, row = self.reached(metric, value)
        return float(self.along(metric, "bytes")[row]) if isfinite(reached) else inf

    def against(self, metric: str, axis: str = "time") -> pd.DataFrame:
        """``metric`` of the whole system (column ``y``) over ``axis`` (column ``x``), one row per evaluation.

        ``axis`` is "time" (s) or the name of another metric of the whole system that was recorded at the same
        evaluations: "steps" (mean over the workers), "bytes" (charged so far); or what it had cost by then:
        "dollars" or "kwh". Where it was not recorded at that time, ``x`` is its last earlier value, NaN if
        there is none.

        Raises:
            ResultsError: The run recorded no such metric or axis, or prices are missing.
        """
        import pandas as pd

        return pd.DataFrame({"x": self.along(metric, axis), "y": self.arrays(metric)[2]})

    def along(self, metric: str, axis: str = "time") -> Floats:
        """The column ``x`` of ``against`` alone; raises as that."""
        import numpy as np

        times = self.arrays(metric)[0]
        if axis == "time":
            return times
        if axis in QUANTITIES:
            return spent(self, axis, times)
        own, _, values = self.arrays(axis)
        found = np.searchsorted(own, times, side="right") - 1
        where: Floats = np.where(found >= 0, values[np.maximum(found, 0)], np.nan)
        return where

    @property
    def goodput(self) -> float:
        """Optimizer steps per second that count, of all workers together: without those that were undone."""
        manifest = self.manifest
        return manifest.worker_steps / manifest.virtual_seconds if manifest.virtual_seconds > 0 else 0.0

    @property
    def mean_availability(self) -> float:
        """The share of the run's time for which nodes were up, mean over them; 1 where nobody ever goes."""
        shares = self.availability()
        return sum(shares.values()) / len(shares) if shares else 1.0

    @property
    def wasted_seconds(self) -> float:
        """Computing for nothing, in seconds summed over all nodes: what crashes cut off, and what was
        undone."""
        counts = self.manifest.invariants
        return counts.get("work_seconds_wasted", 0.0) + counts.get("work_seconds_undone", 0.0)

    def summary(self) -> dict[str, Any]:
        """The run in the form of ``--json``; a number that is not finite is None, since JSON has none.

        Keys: ``algorithm`` (the label, so that two variants of one method can be told apart), ``run``
        (folder), ``virtual_seconds``, ``steps`` (mean per worker), ``bytes_sent``, ``utilization``,
        ``goodput`` (steps per second that count, all workers together), ``wasted_seconds`` (computing for
        nothing, all nodes together), ``final``, ``wall_seconds``.
        """
        manifest = self.manifest
        return {
            "algorithm": manifest.label,
            "run": str(self.folder),
            "virtual_seconds": manifest.virtual_seconds,
            "steps": _count(manifest.steps),
            "bytes_sent": _count(manifest.bytes_sent),
            "utilization": manifest.utilization,
            "goodput": self.goodput,
            "wasted_seconds": self.wasted_seconds,
            "final": {name: value if isfinite(value) else None for name, value in manifest.final.items()},
            "wall_seconds": manifest.wall_seconds,
        }

    @cached_property
    def loaded(self) -> dict[str, Series]:
        """What has been asked for of the whole system's metrics, or was read by ``preload``."""
        return {}

    @cached_property
    def _system(self) -> pd.DataFrame:
        return self.metrics[self.metrics["node"] == ""]

    def reached(self, metric: str, value: float) -> tuple[float, int]:
        """Time (see ``time_to``) and number of the evaluation that reached ``value``; (inf, -1) if none did.

        Raises as ``time_to``.
        """
        if isnan(value):
            raise ValueError(f"the value to reach for {metric!r} is NaN")
        times, _, values = self.arrays(metric)
        reached = values >= value if higher_is_better(metric) else values <= value
        if not reached.any():
            return inf, -1
        row = int(reached.argmax())
        return float(times[row]), row


def _count(number: float) -> float | int:
    """Whole counts without a decimal point."""
    return int(number) if number.is_integer() else number
