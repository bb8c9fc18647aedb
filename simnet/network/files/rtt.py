"""Matrices of round-trip times between sites, from CSV files as they are found in the wild."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from math import isfinite
from pathlib import Path

from simnet.network.files.graph import UnreadableError, read_text
from simnet.units import UnitError, seconds

_SHIPPED = Path(__file__).parent / "rtt"


@dataclass(frozen=True, slots=True)
class RttMatrix:
    """Round-trip times in seconds between named sites, as each measured them; there is none within a site."""

    names: tuple[str, ...]
    seconds: Mapping[tuple[str, str], float]
    places: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Where sites are, where that is known: (longitude, latitude) in degrees."""
    repairs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def latency(self, source: str, target: str) -> float:
        """Seconds one way: half of what `source` measured to `target` and back."""
        return self.seconds[source, target] / 2


def shipped_names() -> list[str]:
    """The matrices that come with simnet."""
    return sorted(file.stem for file in _SHIPPED.glob("*.csv") if not file.stem.endswith("-places"))


def read_shipped(name: str) -> RttMatrix:
    """One of the matrices that come with simnet, with the places of its sites where they are known."""
    matrix = read_rtt(_SHIPPED / f"{name}.csv")
    known = _SHIPPED / f"{name}-places.csv"
    if not known.is_file():
        return matrix
    rows = csv.DictReader(read_text(known).splitlines())
    places = {row["site"]: (float(row["longitude"]), float(row["latitude"])) for row in rows}
    return RttMatrix(matrix.names, matrix.seconds, places, matrix.repairs, matrix.notes)


def read_rtt(file: Path, unit: str = "ms") -> RttMatrix:
    """A matrix out of a CSV file: a row of names, then a row per site that begins with its name.

    Values without a unit of their own are in `unit`. Rows may be asymmetric, and in another order than
    columns; an empty field at the end of rows is dropped; the diagonal is not used, whatever it holds; a
    value that is missing in one direction is taken from the other.

    Raises:
        UnreadableError: A name is missing, unknown or given twice, a value is missing in both directions or
        is no
            time.
        OSError: The file cannot be read.
    """
    lines = read_text(file).splitlines()
    delimiter = max(",;\t", key=lines[0].count) if lines else ","
    rows = [[cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter)]
    rows = [row for row in rows if any(row)]
    if len(rows) < 2:
        raise UnreadableError("no matrix: at least a row of names and a row of values are needed")
    names = _names(rows)
    measured: dict[tuple[str, str], float] = {}
    diagonal = []
    for row in rows[1:]:
        cells = row[1:]
        while len(cells) > len(names) and not cells[-1]:
            cells.pop()
        if len(cells) > len(names):
            raise UnreadableError(f"the row of {row[0]} has {len(cells)} values for {len(names)} sites")
        cells += [""] * (len(names) - len(cells))
        for target, cell in zip(names, cells, strict=True):
            if cell and target == row[0]:
                diagonal.append(cell)
            elif cell:
                measured[row[0], target] = _time(cell, unit, row[0], target)
    mended = _fill(names, measured)
    repairs: tuple[str, ...] = ()
    if mended:
        listed = ", ".join(f"{a} to {b}" for a, b in mended[:4]) + (", ..." if len(mended) > 4 else "")
        repairs = (f"{file.name}: {len(mended)} missing round-trip times taken from the way back ({listed})",)
    notes = (f"{file.name}: the diagonal ({diagonal[0]}, ...) is not used",) if _non_zero(diagonal) else ()
    return RttMatrix(names, measured, {}, repairs, notes)


def uniform_rtt(names: Sequence[str], rtt: float) -> RttMatrix:
    """The same round-trip time between all sites."""
    return RttMatrix(tuple(names), {(a, b): rtt for a in names for b in names if a != b})


def inline_rtt(values: Mapping[str, Mapping[str, float]]) -> RttMatrix:
    """A matrix from nested mappings in seconds; a pair need be given in one direction only.

    Raises `UnreadableError` for a pair that is given in neither.
    """
    names = tuple(dict.fromkeys([*values, *(name for row in values.values() for name in row)]))
    measured = {(a, b): value for a, row in values.items() for b, value in row.items() if a != b}
    _fill(names, measured)
    return RttMatrix(names, measured)


def _names(rows: list[list[str]]) -> tuple[str, ...]:
    """The sites, in the order of columns."""
    of_rows = [row[0] for row in rows[1:]]
    header = rows[0]
    names = [name for name in header if name] if set(filter(None, header)) == set(of_rows) else header[1:]
    while names and not names[-1]:
        names.pop()
    for kind, given in (("column", names), ("row", of_rows)):
        if "" in given:
            raise UnreadableError(f"{kind} {given.index('') + 1} has no name")
        twice = next((name for i, name in enumerate(given) if name in given[:i]), None)
        if twice is not None:
            raise UnreadableError(f"two {kind}s are called {twice}")
    for here, there, where in ((names, of_rows, "row"), (of_rows, names, "column")):
        lost = [name for name in here if name not in there]
        if lost:
            raise UnreadableError(f"there is no {where} for {', '.join(lost[:5])}")
    return tuple(names)


def _time(cell: str, unit: str, source: str, target: str) -> float:
    try:
        bare = float(cell)
    except ValueError:
        text = cell
    else:
        text = f"{cell} {unit}" if isfinite(bare) else cell
    try:
        value = seconds(text)
    except UnitError:
        raise UnreadableError(f"{source} to {target}: {cell} is not a time") from None
    if not isfinite(value) or value < 0:
        raise UnreadableError(f"{source} to {target}: {cell} is not a time")
    return value


def _fill(names: Sequence[str], measured: dict[tuple[str, str], float]) -> list[tuple[str, str]]:
    """Take what is missing in one direction from the other; gives the pairs that were missing."""
    mended = []
    for pair in combinations(names, 2):
        for way in (pair, pair[::-1]):
            if way not in measured:
                if way[::-1] not in measured:
                    raise UnreadableError(f"no round-trip time between {way[0]} and {way[1]}")
                measured[way] = measured[way[::-1]]
                mended.append(way)
    return mended


def _non_zero(cells: Sequence[str]) -> bool:
    return any(cell.strip("0.") for cell in cells)
