"""Files that say how a bandwidth or a latency changes: CSV of `time,value`, and Mahimahi traces."""

import re
from collections.abc import Callable, Iterator
from csv import Error as CsvError
from csv import reader
from math import ceil, inf
from pathlib import Path

from simnet.network.profiles import Profile, steps
from simnet.units import UnitError, bytes_per_second, seconds

Parse = Callable[[object], float]
"""Text with a unit to an SI number; raises `UnitError`."""

OPPORTUNITY_BYTES = 1500
"""What each line of a Mahimahi trace lets pass (Netravali et al., "Mahimahi", USENIX ATC 2015)."""

_BARE = re.compile(r"[+-]?([\d_.]+(e[+-]?\d+)?|nan|inf)", re.IGNORECASE)
"""A number without a unit, as far as the units room will look at it closely."""
_UNIT_IN_HEADER = re.compile(r".*[\[(]\s*([^\])]+?)\s*[\])]\s*")


class TraceError(ValueError):
    """A trace that cannot be used; the message begins with the file, and the line where there is one."""

    def __init__(self, file: Path | str, line: int | None, problem: str) -> None:
        super().__init__(f"{file}:{line}: {problem}" if line else f"{file}: {problem}")


def read_csv(
    file: Path,
    parse: Parse = bytes_per_second,
    *,
    unit: str | None = None,
    time_unit: str | None = None,
    loop: bool = False,
    period: float | None = None,
    factor: float = 1.0,
) -> Profile:
    """A profile from lines of `time,value`, each in force until the time of the next one.

    The first line may be a header, with units in brackets: `time [s],bandwidth [Mbps]`. A number may also
    have its unit beside it, or `unit` and `time_unit` say it; times without any unit are seconds. Empty lines
    and what follows a `#` do not count. The first time is 0. A looped trace begins again after `period`
    seconds; if not given, the last value lasts as long as the one before it.

    Args:
        file: Where it is.
        parse: What reads a value: :func:`~simnet.units.bytes_per_second` or :func:`~simnet.units.seconds`.
        unit: The values' unit, such as Mbps.
        time_unit: The times' unit.
        loop: Whether it begins again at its end.
        period: When.
        factor: What values are multiplied by.

    Raises:
        TraceError: The file cannot be read or a line makes no sense.
    """
    times: list[float] = []
    values: list[float] = []
    line = 0
    for row, (line, cells) in enumerate(_rows(file)):
        if len(cells) != 2:
            raise TraceError(file, line, f"{len(cells)} columns instead of time,value")
        if row == 0 and not any(_is_number(cell) for cell in cells):
            time_unit = _header_unit(cells[0]) or time_unit
            unit = _header_unit(cells[1]) or unit
            continue
        time = _quantity(cells[0], time_unit or "s", seconds, file, line, "time")
        value = _quantity(cells[1], unit, parse, file, line, "value")
        if not times and time != 0:
            raise TraceError(file, line, f"the first time is {cells[0]}, not 0")
        if times and time <= times[-1]:
            raise TraceError(file, line, f"the time {cells[0]} is not after the one before it")
        times.append(time)
        values.append(value * factor)
    if not times:
        raise TraceError(file, None, "no line of time,value")
    if not loop or len(times) == 1:
        return steps(times, values)
    length = 2 * times[-1] - times[-2] if period is None else period
    if length <= times[-1]:
        raise TraceError(file, line, f"the last time is not before the period of {length:g} s")
    return steps(times, values, length)


def read_mahimahi(file: Path, window: float, *, loop: bool = True, factor: float = 1.0) -> Profile:
    """A capacity in bytes per second from a Mahimahi trace, averaged over windows of `window` seconds.

    Each line is a time in whole milliseconds at which 1500 bytes can pass; the last one is also when the
    trace begins again. What can pass at a time counts to the window that ends there or holds it, so that by
    the end of every window exactly the trace's bytes have passed; the last window of a pass may be shorter.
    Without `loop` the rate of the last window stays.

    Raises:
        TraceError: The file cannot be read, a line is not a time, times go back, or all are 0.
    """
    stamps: list[int] = []
    for line, text in _lines(file):
        if not text.isdecimal():
            raise TraceError(file, line, f"{text!r} is not a whole number of milliseconds")
        stamp = int(text)
        if stamps and stamp < stamps[-1]:
            raise TraceError(file, line, f"{stamp} ms is before the {stamps[-1]} ms of the line above")
        stamps.append(stamp)
    if not stamps or stamps[-1] == 0:
        raise TraceError(file, None, "no delivery opportunity after 0 ms")
    end, length = stamps[-1], window * 1000
    counts = [0] * ceil(end / length - 1e-9)
    for stamp in stamps:
        counts[min(len(counts), max(1, ceil(stamp / length - 1e-9))) - 1] += 1
    starts = [i * window for i in range(len(counts))]
    lasting = [*([window] * (len(counts) - 1)), end / 1000 - starts[-1]]
    rates = [factor * OPPORTUNITY_BYTES * count / last for count, last in zip(counts, lasting, strict=True)]
    return steps(starts, rates, end / 1000 if loop else inf)


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    """Each line with its number, stripped; empty ones left out."""
    try:
        with file.open(encoding="utf-8-sig") as text:
            for number, line in enumerate(text, start=1):
                if line.strip():
                    yield number, line.strip()
    except UnicodeDecodeError as error:
        raise TraceError(file, None, f"not UTF-8 text: byte {error.start}") from None
    except OSError as error:
        raise TraceError(file, None, f"cannot be read: {(error.strerror or str(error)).lower()}") from None


def _rows(file: Path) -> Iterator[tuple[int, list[str]]]:
    for number, line in _lines(file):
        content = line.partition("#")[0].strip()
        if content:
            try:
                yield number, [cell.strip() for cell in next(reader([content], strict=True))]
            except CsvError as error:
                raise TraceError(file, number, f"not CSV: {error}") from None


def _is_number(cell: str) -> bool:
    return re.match(r"[+-]?\.?\d|[+-]?(nan|inf)", cell, re.IGNORECASE) is not None


def _header_unit(cell: str) -> str | None:
    found = _UNIT_IN_HEADER.fullmatch(cell)
    return found[1] if found else None


def _quantity(cell: str, unit: str | None, parse: Parse, file: Path, line: int, what: str) -> float:
    """The SI value of a cell, which may have a unit of its own."""
    bare = _BARE.fullmatch(cell) is not None
    if bare and unit is None:
        raise TraceError(
            file,
            line,
            f"the {what} {cell} has no unit: say it in the header, `{what} [Mbps]`, or by `unit: Mbps`",
        )
    try:
        return parse(f"{cell} {unit}" if bare else cell)
    except UnitError as error:
        raise TraceError(file, line, f"the {what} {error}") from None
