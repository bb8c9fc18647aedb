"""Files that say when devices were there: CSV of `device,on,off`, and the JSON form of FedScale."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from pathlib import Path


class AvailabilityError(ValueError):
    """A file of availability that cannot be used; the message begins with its name."""


@dataclass(frozen=True, slots=True)
class Availability:
    """When one device is on: intervals in order, which do not overlap; with a period they begin again."""

    on: tuple[tuple[float, float], ...]
    period: float | None = None

    def switches(self, at: float = 0.0) -> Iterator[tuple[float, bool]]:
        """When it goes on (True) or off from time `at` of the file on, counted from there.

        The first is at 0 and says how it begins. Infinitely many, if it is periodic and not always there.
        """
        began = False
        for on, off in self._stretches(at):
            if off <= at:
                continue
            if on > at:
                if not began:
                    yield 0.0, False
                yield on - at, True
            else:
                yield 0.0, True
            began = True
            if off < inf:
                yield off - at, False
        if not began:
            yield 0.0, False

    def _stretches(self, at: float) -> Iterator[tuple[float, float]]:
        """Its intervals from a little before `at` on, those that touch made one."""
        if self.period is not None and sum(off - on for on, off in self.on) >= self.period:
            yield 0.0, inf
            return
        last: tuple[float, float] | None = None
        for on, off in self._repeated(at):
            if last is not None and on <= last[1]:
                last = (last[0], off)
                continue
            if last is not None:
                yield last
            last = (on, off)
        if last is not None:
            yield last

    def _repeated(self, at: float) -> Iterator[tuple[float, float]]:
        if self.period is None or not self.on:
            yield from self.on
            return
        turn = max(0, int(at // self.period) - 1)
        while True:
            for on, off in self.on:
                yield turn * self.period + on, turn * self.period + off
            turn += 1


def read_availability(
    file: Path, *, scale: float = 1.0, period: float | None = None
) -> dict[str, Availability]:
    """The devices of a file by name, in its order.

    A CSV file has a line `device,on,off` for every interval in which a device is there, in seconds, after a
    header. A JSON file has devices by name, or a list of them (called 0, 1, ...), each with the times at
    which it becomes `active` and `inactive`, and the `finish_time` at which these begin again: it is there
    from `active[k]` to `inactive[k]`. That is how FedScale (Lai et al., 2022) keeps its trace of phones.

    Args:
        file: Where it is.
        scale: What its times are multiplied by.
        period: When devices begin again, in scaled time; in a JSON file this replaces `finish_time`.

    Raises:
        AvailabilityError: It cannot be read or makes no sense.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise AvailabilityError(f"{file}: {getattr(error, 'strerror', None) or error}") from None
    devices = _of_json(file, text) if file.suffix.lower() == ".json" else _of_csv(file, text)
    if not devices:
        raise AvailabilityError(f"{file}: no device in it")
    return {
        name: _checked(f"{file}: {name}", on, own if period is None else period / scale, scale)
        for name, (on, own) in devices.items()
    }


_Raw = dict[str, tuple[list[tuple[float, float]], float | None]]


def _of_csv(file: Path, text: str) -> _Raw:
    devices: _Raw = {}
    rows = csv.reader(text.splitlines())
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#"):
            continue
        if cells == ["device", "on", "off"]:
            continue
        if len(cells) != 3:
            raise AvailabilityError(f"{file}:{number}: {len(cells)} columns instead of device,on,off")
        times = [_number(f"{file}:{number}", cell) for cell in cells[1:]]
        devices.setdefault(cells[0], ([], None))[0].append((times[0], times[1]))
    return devices


def _of_json(file: Path, text: str) -> _Raw:
    try:
        data = json.loads(text)
    except ValueError as error:
        raise AvailabilityError(f"{file}: not JSON: {error}") from None
    if isinstance(data, Sequence) and not isinstance(data, str):
        data = {str(index): device for index, device in enumerate(data)}
    if not isinstance(data, Mapping):
        raise AvailabilityError(f"{file}: neither devices by name nor a list of devices")
    devices: _Raw = {}
    for name, device in data.items():
        where = f"{file}: {name}"
        if not isinstance(device, Mapping) or not {"active", "inactive"} <= device.keys():
            raise AvailabilityError(
                f"{where}: a device has `active`, `inactive` and, if cyclic, `finish_time`"
            )
        active, inactive = (
            [_number(where, time) for time in _list(where, key, device[key])]
            for key in ("active", "inactive")
        )
        if len(active) != len(inactive):
            raise AvailabilityError(f"{where}: {len(active)} times active, but {len(inactive)} inactive")
        finish = device.get("finish_time")
        devices[str(name)] = (
            list(zip(active, inactive, strict=True)),
            None if finish is None else _number(where, finish),
        )
    return devices


def _list(where: str, key: str, value: object) -> Sequence[object]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise AvailabilityError(f"{where}: `{key}` is a list of times")
    return value


def _number(where: str, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever else it is, is refused below
    except (TypeError, ValueError):
        number = inf
    if not isfinite(number) or isinstance(value, bool):
        raise AvailabilityError(f"{where}: {value!r} is not a time in seconds")
    return number


def _checked(
    where: str, intervals: Sequence[tuple[float, float]], period: float | None, scale: float
) -> Availability:
    before = 0.0
    for on, off in intervals:
        if on < before or off <= on:
            raise AvailabilityError(f"{where}: from {on:g} to {off:g} s is not after what comes before it")
        before = off
    if period is not None and (period <= 0 or before > period):
        raise AvailabilityError(f"{where}: begins again at {period:g} s, before its last time, {before:g} s")
    scaled = tuple((on * scale, off * scale) for on, off in intervals)
    return Availability(scaled, None if period is None else period * scale)
