"""Dollars and kilowatt hours of a run, from what it recorded and the prices in its manifest.

.. code-block:: text

    dollars(t) = sum over nodes of dollars_per_hour * t / 3600
               + sum over links of dollars_per_gb * bytes carried until t / 1e9
    kWh(t)     = sum over nodes of idle_watts * t / 3.6e6
               + sum over nodes of (busy_watts - idle_watts) * seconds computed until t / 3.6e6

A node is rented from the start of the run to its end, whatever it does. Seconds computed are those of its
``compute`` spans. Bytes are those of the ``links`` table, as they were carried; within one of its intervals
they count as carried evenly. What is not known is an error, never zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from simnet.results.errors import ResultsError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simnet.results.run import Run

    Floats = NDArray[np.float64]

QUANTITIES = ("dollars", "kwh")
"""What can stand where a metric or an axis is asked for, though no run records it."""

_HOUR = 3600.0
_GB = 1e9
_KWH = 3.6e6


def spent(run: Run, quantity: str, times: Sequence[float] | Floats) -> Floats:
    """``dollars`` or ``kwh`` that a run has come to by some times (virtual seconds).

    Raises:
        ResultsError: A price or a power that it takes is not known; the message says of what.
        ValueError: ``quantity`` is neither.
    """
    if quantity not in QUANTITIES:
        raise ValueError(f"{quantity!r} is not one of {', '.join(QUANTITIES)}")
    return (_dollars if quantity == "dollars" else _kwh)(run, times)


def missing_prices(prices: Any, quantity: str, carried: Sequence[str] | None = None) -> str:
    """What stands in the way of ``quantity`` ("" if nothing), for people.

    ``carried`` are the resources that carried anything; all of them if not given.
    """
    keys = ("dollars_per_hour",) if quantity == "dollars" else ("idle_watts", "busy_watts")
    nodes = prices.get("nodes", ())
    if not nodes:
        return f"{' and '.join(keys)} of the workers (workers.costs)"
    for key in keys:
        lacking = [name for group in nodes if key not in group for name in group["names"]]
        if lacking:
            where = "server.costs" if lacking == ["server"] else "workers.costs"
            return f"{key} of {_listed(lacking)} ({where})"
    if quantity == "dollars":
        priced = {n for group in prices.get("links", ()) if "dollars_per_gb" in group for n in group["names"]}
        if carried is None:
            lacking = [n for g in prices.get("links", ()) if "dollars_per_gb" not in g for n in g["names"]]
            if not prices.get("links"):
                return "dollars_per_gb of the links (network.link.dollars_per_gb)"
        else:
            lacking = [name for name in carried if name not in priced]
        if lacking:
            return f"dollars_per_gb of {_listed(lacking)} (network.link.dollars_per_gb)"
    return ""


def _dollars(run: Run, times: Any) -> Floats:
    import numpy as np

    links = run.links
    carried = list(dict.fromkeys(links["resource"]))
    _check(run, "dollars", carried)
    prices = run.manifest.prices
    hourly = sum(group["dollars_per_hour"] * len(group["names"]) for group in prices["nodes"])
    per_gb = {n: group["dollars_per_gb"] for group in prices.get("links", ()) for n in group["names"]}
    cost = links["resource"].map(per_gb).to_numpy(float) * links["bytes"].to_numpy(float) / _GB
    rent: Floats = hourly * np.asarray(times, dtype=float) / _HOUR
    return rent + _until(times, links["start"].to_numpy(float), links["end"].to_numpy(float), cost)


def _kwh(run: Run, times: Any) -> Floats:
    import numpy as np

    _check(run, "kwh", ())
    nodes = run.manifest.prices["nodes"]
    idle = sum(group["idle_watts"] * len(group["names"]) for group in nodes)
    extra = {n: group["busy_watts"] - group["idle_watts"] for group in nodes for n in group["names"]}
    spans = run.spans[run.spans["kind"] == "compute"]
    start, end = spans["start"].to_numpy(float), spans["end"].to_numpy(float)
    joules = spans["node"].map(extra).to_numpy(float) * (end - start)
    base: Floats = idle * np.asarray(times, dtype=float)
    return (base + _until(times, start, end, joules)) / _KWH


def _until(times: Any, start: Floats, end: Floats, amount: Floats) -> Floats:
    """How much has come by each time, of amounts that come evenly from a start to an end."""
    import numpy as np

    moments = np.asarray(times, dtype=float)
    counts = amount != 0
    start, end, amount = start[counts], end[counts], amount[counts]
    if not len(amount):
        return np.zeros(moments.shape)
    # The sum is linear between all starts and ends: its value there comes from slopes that add up.
    length = end - start
    flowing = length > 0
    slope = np.zeros(len(amount))
    slope[flowing] = amount[flowing] / length[flowing]
    edges = np.concatenate([start[flowing], end[flowing]])
    change = np.concatenate([slope[flowing], -slope[flowing]])
    order = np.argsort(edges, kind="stable")
    edges, change = edges[order], change[order]
    level = (
        np.concatenate([[0.0], np.cumsum(np.cumsum(change)[:-1] * np.diff(edges))]) if len(edges) else edges
    )
    total: Floats = np.interp(moments, edges, level) if len(edges) else np.zeros(moments.shape)
    for at, jump in zip(start[~flowing], amount[~flowing], strict=True):
        total = total + jump * (moments >= at)
    return total


def _check(run: Run, quantity: str, carried: Sequence[str]) -> None:
    missing = missing_prices(run.manifest.prices, quantity, carried)
    if missing:
        raise ResultsError(f"{run.folder}: {quantity} cannot be told without {missing}")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
