"""A run as a flat row: what its manifest says and every key of its scenario, by dotted name.

``algorithm.local_steps`` is a hyperparameter of the run's method, ``network.link.bandwidth`` a key of the
scenario, ``final.loss`` the last evaluation, ``virtual_seconds`` a total. Quantities with a unit can be had
as SI numbers (seconds, bytes, bytes per second, FLOP/s), as simnet counts them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from simnet.units import UnitError, count, quantity

if TYPE_CHECKING:
    import pandas as pd

    from simnet.results.run import Run

Row = dict[str, Any]

TOTALS = (
    *("seed", "status", "virtual_seconds", "steps", "worker_steps", "bytes_sent", "raw_bytes_sent"),
    *("utilization", "wall_seconds", "device", "engine", "torch_threads"),
)
"""The fields of a manifest that are columns as they are."""

_TOLD = {"run", "label", "algorithm", "simnet", "workers", *TOTALS}

_QUANTITY = re.compile(r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)? ?[A-Za-zµμ]")
_COUNT = re.compile(r"\d+(?:\.\d+)?[kMBGT]")


def row(run: Run) -> Row:
    """The columns of a run, with values as the scenario writes them ("100 Mbit/s")."""
    manifest, scenario = run.manifest, run.scenario
    found: Row = {
        "run": str(run.folder),
        "scenario": scenario.get("name", ""),
        "label": manifest.label,
        "algorithm": manifest.algorithm,
    }
    found |= {name: getattr(manifest, name) for name in TOTALS}
    found["workers"] = round(manifest.worker_steps / manifest.steps) if manifest.steps else None
    found["simnet"] = manifest.versions["simnet"]
    found |= {f"final.{name}": value for name, value in manifest.final.items()}
    found |= {key: value for key, value in leaves(_rearranged(scenario)) if key not in found}
    return found


def rows(runs: Sequence[Run]) -> list[Row]:
    """The rows of several runs; the column ``run`` is the folder's path below the one that holds them all."""
    found = [row(run) for run in runs]
    names = run_names(runs)
    for one, name in zip(found, names, strict=True):
        one["run"] = name
    return found


def run_names(runs: Sequence[Run]) -> list[str]:
    """What runs are called among each other: their folders below the last one that holds all of them."""
    import os

    folders = [os.path.abspath(run.folder) for run in runs]  # noqa: PTH100  # 2,000 of them, in milliseconds
    if len(folders) < 2:
        return [os.path.basename(folder) for folder in folders]  # noqa: PTH119
    root = os.path.commonpath([os.path.dirname(folder) for folder in folders])  # noqa: PTH120
    return [folder[len(root) :].lstrip(os.sep) for folder in folders]


def frame(runs: Sequence[Run], names: Sequence[str] | None = None) -> pd.DataFrame:
    """Runs as a table: one row each, quantities as SI numbers.

    A column in which every value is a number, a count or a quantity is numeric; all others are text. What a
    run does not have is missing.

    Args:
        runs: What ``read_runs`` gives.
        names: The columns; all, those of the manifest first, if not given.

    Raises:
        ResultsError: ``names`` has one that no run has.
    """
    import pandas as pd

    given = rows(runs)
    columns = columns_of(given)
    if names is not None:
        check_keys(names, columns)
        columns = list(names)
    data = {}
    for name in columns:
        values = [si(one.get(name)) for one in given]
        if any(isinstance(value, str | bool | list | dict) for value in values):
            values = [_text(one.get(name)) for one in given]
        data[name] = pd.Series(values)
    return pd.DataFrame(data)


def columns_of(given: Sequence[Row]) -> list[str]:
    """Every key of some rows, in the order of their first appearance."""
    return list(dict.fromkeys(key for one in given for key in one))


def check_keys(keys: Sequence[str], known: Sequence[str]) -> None:
    """Raises ``ResultsError`` for a key that no run has, with the nearest one."""
    from simnet.results.errors import ResultsError
    from simnet.scenario import nearest

    for key in keys:
        if key in known:
            continue
        ends = [name for name in known if name.endswith(f".{key}")]
        near = ends[0] if ends else nearest(key, known)
        hint = f"; did you mean `{near}`?" if near else ""
        raise ResultsError(f"no run has the key `{key}`{hint}")


def setting(one: Row) -> dict[str, Any]:
    """What of a row is the scenario's, but for the seed and what the method is called."""
    return {key: value for key, value in one.items() if key not in _TOLD and not key.startswith("final.")}


def differing(given: Sequence[Row]) -> list[str]:
    """The keys of the scenario in which some rows differ, but for the seed and what the method is called."""
    settings = [setting(one) for one in given]
    return [key for key in columns_of(settings) if len({repr(one.get(key)) for one in settings}) > 1]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The dotted keys of nested mappings and lists, and what is there."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and any(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            yield from leaves(item, f"{path}.{number}" if path else str(number))
    else:
        yield path, value


@cache
def _read(text: str) -> float | str:
    if _COUNT.fullmatch(text):  # as simnet writes counts, without a blank: 10B is 10e9, and 10 B are bytes
        return count(text)
    if not _QUANTITY.match(text):
        return text
    try:
        return quantity(text)
    except UnitError:
        return text


def si(value: Any) -> Any:
    """A quantity's text as an SI number; everything else as it is."""
    return _read(value) if isinstance(value, str) else value


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return str(value).lower() if isinstance(value, bool) else str(value)


def _rearranged(scenario: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one algorithm of a run under ``algorithm``, without an index; groups of workers keep theirs."""
    methods = scenario.get("algorithms")
    found = {key: value for key, value in scenario.items() if key not in ("name", "seed", "algorithms")}
    if isinstance(methods, list) and len(methods) == 1 and isinstance(methods[0], Mapping):
        own = {key: value for key, value in methods[0].items() if key not in ("name", "label")}
        return {**found, **({"algorithm": own} if own else {})}
    return found
