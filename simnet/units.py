"""Quantities with units: text such as ``"100 Mbps"`` to SI floats and back.

Inside simnet every time is in seconds, every amount of data in bytes, every bandwidth in bytes per second
and every arithmetic rate in FLOP/s, all as floats. This module is the one door through which text becomes a
number. Parsing is exact: the text is read as a fraction, multiplied by the unit's exact factor and rounded to
a float once, so ``"25 ms"`` is the float ``0.025``.

Bits and bytes are never confused silently: ``b`` and ``bit`` are bits, ``B`` and ``byte`` are bytes, prefixes
are spelled as SI and IEC spell them (``k M G T P E``, ``Ki Mi Gi Ti Pi Ei``), and anything else is an error
that offers the right spellings.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache, partial
from typing import TYPE_CHECKING, Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

if TYPE_CHECKING:
    import pint


class UnitError(ValueError):
    """A quantity that cannot be read.

    ``problem`` says what is wrong, ``given`` is the offending value, ``expected`` says with two examples what
    would be right, and ``suggestion`` is the likely intention (empty if there is none).
    """

    def __init__(self, problem: str, given: object, expected: str, suggestion: str = "") -> None:
        self.problem, self.given, self.expected, self.suggestion = problem, given, expected, suggestion
        hint = f"; did you mean {suggestion}?" if suggestion else ""
        super().__init__(f"{given!r}: {problem}; expected {expected}{hint}")


@dataclass(frozen=True)
class _Kind:
    """One physical dimension: what it is called, how it is written, what pint calls it."""

    name: str
    examples: tuple[str, str]
    dimension: Mapping[str, int]
    bare_zero: bool = False

    @property
    def expected(self) -> str:
        return f"{self.name} with its unit, such as {self.examples[0]} or {self.examples[1]}"


_TIME = _Kind("a time", ("25 ms", "30 min"), {"[time]": 1}, bare_zero=True)
_DATA = _Kind("an amount of data", ("1.5 GiB", "100 MB"), {"[data]": 1})
_BANDWIDTH = _Kind("a bandwidth", ("100 Mbps", "12.5 MB/s"), {"[data]": 1, "[time]": -1})
_FLOP_RATE = _Kind("an arithmetic rate", ("35 TFLOP/s", "500 GFLOP/s"), {"[operation]": 1, "[time]": -1})
_OPERATIONS = _Kind("an amount of arithmetic", ("2 GFLOP", "1 TFLOP"), {"[operation]": 1})
_KINDS = (_TIME, _DATA, _BANDWIDTH, _FLOP_RATE, _OPERATIONS)

_SI = {"k": "kilo", "M": "mega", "G": "giga", "T": "tera", "P": "peta", "E": "exa"}
_IEC = {"Ki": "kibi", "Mi": "mebi", "Gi": "gibi", "Ti": "tebi", "Pi": "pebi", "Ei": "exbi"}
_FACTORS = {short: 1000**power for power, short in enumerate(_SI, start=1)}
_FACTORS |= {short: 1024**power for power, short in enumerate(_IEC, start=1)}

_NUMBER = re.compile(r"[+-]?(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_UNIT = re.compile(r"[A-Za-zµμ]+(?: *(?:/| per ) *[A-Za-zµμ]+| +per +[A-Za-zµμ]+)?")


@cache
def _registry() -> "pint.UnitRegistry[Fraction]":
    """The units that simnet knows: few on purpose.

    pint's default registry knows barns (``b``), gilberts (``Gb``) and millibits (``mb``), each a trap here.
    Units are defined with their prefixes one by one, so that only sensible combinations exist.
    """
    import pint

    lines = [
        "second = [time] = s = sec",
        "millisecond = 1/1000 * second = ms = msec",
        "microsecond = 1/1000000 * second = us = µs = μs = usec",
        "nanosecond = 1/1000000000 * second = ns",
        "minute = 60 * second = min",
        "hour = 3600 * second = h = hr",
        "day = 86400 * second = d",
        "byte = [data] = B",
        "bit = 1/8 * byte = b",
        "flop = [operation] = FLOP = Flop",
    ]
    for short, long in (_SI | _IEC).items():
        factor = _FACTORS[short]
        lines += [
            f"{long}byte = {factor} * byte = {short}B = {short}byte = {short}Byte",
            f"{long}bit = {factor} * bit = {short}b = {short}bit = {short}Bit",
        ]
    for short, long in ({"": ""} | _SI | _IEC).items():
        lines += [
            f"{long}bit_per_second = {long}bit / second = {short}bps",
            f"{long}byte_per_second = {long}byte / second = {short}Bps",
        ]
    for short, long in _SI.items():
        lines += [f"{long}flop = {_FACTORS[short]} * flop = {short}FLOP = {short}Flop = {short}flop"]
    for short, long in ({"": ""} | _SI).items():
        lines += [f"{long}flop_per_second = {long}flop / second = {short}FLOPS"]
    return pint.UnitRegistry(lines, non_int_type=Fraction)


def _read_number(text: str) -> Fraction | None:
    """The exact value of a decimal literal, or None where it is not one that a float can hold."""
    value = Decimal(text.replace("_", ""))
    if math.isinf(float(value)) or (value != 0 and float(value) == 0):
        return None
    return Fraction(value)


@cache
def _factor(unit: str) -> tuple[Fraction, str] | None:
    """The SI factor of a unit and the name of its kind, or None where the unit is not known."""
    import pint

    if not _UNIT.fullmatch(unit) or re.search(r"[kMGTPEi][bB]s\b", unit):
        return None  # pint takes "Mbs" for a plural of Mb; people mean Mb/s
    try:
        factor, base = _registry().get_base_units(_registry().parse_units(unit))
    except pint.UndefinedUnitError:
        return None
    dimension = dict(base.dimensionality)
    name = next((kind.name for kind in _KINDS if kind.dimension == dimension), "something else")
    return Fraction(str(factor)), name


_DATA_WORD = re.compile(r"([kmgtpe]?)(i?)(b|bits?|bytes?)(s?|ps| ?/ ?s(?:ec)?| per second)", re.I)
_FLOP_WORD = re.compile(r"([kmgtpe]?)flops?(?: ?/ ?s(?:ec)?)?", re.I)


def _intended(number: str, unit: str, kind: _Kind) -> str:
    """What a person who wrote ``number unit`` where ``kind`` is wanted may have meant ("" if unclear)."""
    per_second = f"{unit.removesuffix('s')}/s" if _FLOP_WORD.fullmatch(unit) else f"{unit}/s"
    once = unit.removesuffix("ps").removesuffix("/s")
    lower = unit.lower() if kind is _TIME else unit.replace("Kb", "kb", 1)  # never a B into a b
    for spelling in (per_second, once, lower):
        found = _factor(spelling)
        if found and found[1] == kind.name:
            return f"`{number} {spelling}`"
    if kind is _FLOP_RATE and (flop := _FLOP_WORD.fullmatch(unit)):
        return f"`{number} {_prefix(flop[1])}FLOP/s`"
    if kind in (_DATA, _BANDWIDTH) and (data := _DATA_WORD.fullmatch(unit)):
        prefix = _prefix(data[1]) if not data[2] else f"{data[1].upper()}i"
        per = "ps" if kind is _BANDWIDTH else ""
        if len(data[3]) > 1:
            return f"`{number} {prefix}{'bit' if 'i' in data[3].lower() else 'B'}{'/s' if per else ''}`"
        if data[1] == "K" and not data[2] and data[3] == "B":
            return f"`{number} kB{per}` (1000 bytes) or `{number} KiB{'/s' if per else ''}` (1024 bytes)"
        long = (_SI | _IEC).get(prefix, "")
        return f"`{number} {prefix}b{per}` ({long}bits) or `{number} {prefix}B{per}` ({long}bytes)"
    return ""


def _prefix(letter: str) -> str:
    return "k" if letter in ("k", "K") else letter.upper()


def _parse(value: object, kind: _Kind) -> float:
    """Read ``value`` as a quantity of ``kind`` in SI units, or raise `UnitError`."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise UnitError(f"not {kind.name}", value, kind.expected)
    if not isinstance(value, str):
        if value == 0 and kind.bare_zero:
            return 0.0
        if math.isnan(value) or math.isinf(value):
            raise UnitError(f"not {kind.name}", value, kind.expected)
        raise UnitError("a number without a unit", value, kind.expected)
    text = value.strip()
    match = _NUMBER.match(text)
    if not match:
        raise UnitError(f"not {kind.name}", value, kind.expected)
    number, unit = match[0], text[match.end() :].strip()
    magnitude = _read_number(number)
    if magnitude is None:
        raise UnitError("beyond what a float can hold", value, kind.expected)
    if not unit:
        if magnitude == 0 and kind.bare_zero:
            return 0.0
        raise UnitError("a number without a unit", value, kind.expected)
    found = _factor(unit)
    if found is None:
        raise _unknown(number, unit, kind, value, kind.expected)
    factor, name = found
    if name != kind.name:
        raise UnitError(f"{name}, not {kind.name}", value, kind.expected, _intended(number, unit, kind))
    if magnitude < 0:
        raise UnitError("negative", value, f"{kind.expected}, not below zero")
    return _to_float(magnitude * factor, value, kind.expected)


def _unknown(number: str, unit: str, kind: _Kind, given: object, expected: str) -> UnitError:
    suggestion = _intended(number, unit, kind)
    problem = f"{'ambiguous' if ' or ' in suggestion else 'unknown'} unit '{unit}'"
    return UnitError(problem, given, expected, suggestion)


def _to_float(exact: Fraction, given: object, expected: str) -> float:
    try:
        return float(exact)
    except OverflowError:
        raise UnitError("beyond what a float can hold", given, expected) from None


def seconds(text: object) -> float:
    """Read a time (``"25 ms"``, ``"30 min"``, ``"2 h"``, or 0) in seconds; raises `UnitError`."""
    return _parse(text, _TIME)


def bytes_(text: object) -> float:
    """Read an amount of data (``"1.5 GiB"``, ``"100 Mbit"``) in bytes; raises `UnitError`."""
    return _parse(text, _DATA)


def bytes_per_second(text: object) -> float:
    """Read a bandwidth (``"100 Mbps"``, ``"12.5 MB/s"``) in bytes per second; raises `UnitError`."""
    return _parse(text, _BANDWIDTH)


def flops_per_second(text: object) -> float:
    """Read an arithmetic rate (``"35 TFLOP/s"``, ``"35 TFLOPS"``) in FLOP/s; raises `UnitError`."""
    return _parse(text, _FLOP_RATE)


def quantity(text: str) -> float:
    """Read a quantity of any kind in its SI unit (for ``expect`` lines); raises `UnitError`."""
    match = _NUMBER.match(text.strip())
    unit = text.strip()[match.end() :].strip() if match else ""
    found = _factor(unit)
    kind = next((kind for kind in _KINDS if found and kind.name == found[1]), None)
    if kind is None:
        expected = "a number with a unit, such as 30 min, 3 GB or 100 Mbps"
        raise _unknown(match[0] if match else "", unit, _DATA, text, expected)
    return _parse(text, kind)


_COUNT = re.compile(rf"({_NUMBER.pattern}) ?([kKMBGT]?)")
_COUNT_FACTORS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "B": 10**9, "G": 10**9, "T": 10**12}
_COUNT_EXPECTED = "a count, such as 124M or 1.3B"


def count(text: object) -> float:
    """Read a whole number of things (``"1.3B"``, ``"10k"``, ``1000``, ``1e6``); raises `UnitError`."""
    if isinstance(text, bool) or not isinstance(text, str | int | float):
        raise UnitError("not a count", text, _COUNT_EXPECTED)
    match = _COUNT.fullmatch(text.strip() if isinstance(text, str) else repr(text))
    magnitude = _read_number(match[1]) if match else None
    if match is None or magnitude is None:
        raise UnitError("not a count", text, _COUNT_EXPECTED)
    exact = magnitude * _COUNT_FACTORS[match[2]]
    if exact < 0:
        raise UnitError("negative", text, f"{_COUNT_EXPECTED}, not below zero")
    if exact.denominator != 1:
        raise UnitError("not a whole number", text, _COUNT_EXPECTED)
    return _to_float(exact, text, _COUNT_EXPECTED)


@dataclass(frozen=True)
class _Scale:
    """The units in which a kind is written, largest first, and the one for zero and for extreme values."""

    units: dict[str, int | Fraction]
    base: str


_DOWN = ("E", "P", "T", "G", "M", "k", "")
_BINARY = {f"{prefix}B": _FACTORS[prefix] for prefix in reversed(_IEC)}
_SUBSECOND = {"ms": Fraction(1, 10**3), "us": Fraction(1, 10**6), "ns": Fraction(1, 10**9)}

_SECONDS = _Scale({"d": 86400, "h": 3600, "min": 60, "s": 1} | _SUBSECOND, "s")
_BYTES = _Scale({f"{prefix}B": _FACTORS.get(prefix, 1) for prefix in _DOWN}, "B")
_EXACT_BYTES = _Scale(_BYTES.units | _BINARY, "B")
_BITS_PER_SECOND = _Scale(
    {f"{prefix}bit/s": Fraction(_FACTORS.get(prefix, 1), 8) for prefix in _DOWN}, "bit/s"
)
_EXACT_BANDWIDTH = _Scale(
    _BITS_PER_SECOND.units | {f"{unit}/s": factor for unit, factor in _BINARY.items()} | {"B/s": 1}, "B/s"
)
_FLOPS = _Scale({f"{prefix}FLOP/s": _FACTORS.get(prefix, 1) for prefix in _DOWN}, "FLOP/s")
_COUNTS = _Scale({"T": 10**12, "B": 10**9, "M": 10**6, "k": 10**3, "": 1}, "")


def _for_people(value: float, scale: _Scale) -> str:
    """Four significant digits in the largest unit that leaves at least one before the point."""
    if math.isnan(value) or math.isinf(value):
        return str(value)
    unit = next((unit for unit, factor in scale.units.items() if abs(value) >= factor), None)
    if unit is None:
        unit = list(scale.units)[-1] if value else scale.base
    scaled = value / float(scale.units[unit])
    number = f"{scaled:.0f}" if 1000 <= abs(scaled) < 1e6 else f"{scaled:.4g}"
    return f"{number} {unit}".strip()


def _exactly(value: float, scale: _Scale) -> str:
    """The shortest text that reads back as exactly ``value``; whole numbers and larger units win ties."""
    if math.isnan(value) or math.isinf(value):
        return str(value)
    exact = Fraction(Decimal(repr(float(value))))
    texts = [(_decimal(exact / factor), unit) for unit, factor in scale.units.items() if value]
    texts = [(number, unit) for number, unit in texts if number]
    number, unit = min(
        texts or [(repr(float(value)).removesuffix(".0"), scale.base)],
        key=lambda text: len(text[0]) + ("." in text[0]) + text[0].startswith("0."),
    )
    return f"{number} {unit}".strip()


def _decimal(exact: Fraction) -> str:
    """``exact`` in plain decimals, or nothing where more than 20 characters would be needed."""
    for places in range(19):
        if (10**places) % exact.denominator == 0:
            digits = str(abs(exact.numerator) * 10**places // exact.denominator).rjust(places + 1, "0")
            text = f"{digits[:-places]}.{digits[-places:]}" if places else digits
            return ("-" if exact < 0 else "") + text if len(text) <= 20 else ""
    return ""


def format_seconds(value: float, *, exact: bool = False) -> str:
    """``0.025`` -> ``"25 ms"``; four digits, or with ``exact`` what `seconds` reads as the same float."""
    return (_exactly if exact else _for_people)(value, _SECONDS)


def format_bytes(value: float, *, exact: bool = False) -> str:
    """``1.5e9`` -> ``"1.5 GB"``; four digits, or with ``exact`` what `bytes_` reads as the same float."""
    return _exactly(value, _EXACT_BYTES) if exact else _for_people(value, _BYTES)


def format_bandwidth(value: float, *, exact: bool = False) -> str:
    """``12.5e6`` bytes/s -> ``"100 Mbit/s"``; ``exact`` is what `bytes_per_second` reads back."""
    return _exactly(value, _EXACT_BANDWIDTH) if exact else _for_people(value, _BITS_PER_SECOND)


def format_flops(value: float, *, exact: bool = False) -> str:
    """``35e12`` -> ``"35 TFLOP/s"``; with ``exact`` read back by `flops_per_second` as the same float."""
    return (_exactly if exact else _for_people)(value, _FLOPS)


def format_count(value: float, *, exact: bool = False) -> str:
    """``1.3e9`` -> ``"1.3B"``; with ``exact`` read back by `count` as the same float."""
    return (_exactly if exact else _for_people)(value, _COUNTS).replace(" ", "")


# JSON Schema patterns for editors: they catch a missing unit while typing; the parser has the last word.
_PREFIX = rf"([kMGTPE]|[KMGTPE]i|{'|'.join((_SI | _IEC).values())})?"
_DATA_UNIT = rf"{_PREFIX}(b|B|[bB]its?|[bB]ytes?)"
_TIME_UNIT = r"([mnuµ]?s|m?secs?|(milli|micro|nano)?seconds?|min(ute)?s?|h|hrs?|hours?|d|days?)"


def _schema(kind: _Kind, unit: str) -> WithJsonSchema:
    pattern = rf"^\s*[0-9.][0-9_.]*([eE][+-]?[0-9]+)?\s*{unit}\s*$"
    text = {"type": "string", "pattern": pattern, "examples": list(kind.examples)}
    return WithJsonSchema(
        {"anyOf": [text, {"const": 0}], "examples": list(kind.examples)} if kind.bare_zero else text
    )


def _written(text: Callable[..., str]) -> PlainSerializer:
    return PlainSerializer(partial(text, exact=True), return_type=str, when_used="json")


# Types for schemas. They read text with a unit, hold a float in SI units, and write the text again when a
# model is dumped as JSON.
Seconds = Annotated[float, BeforeValidator(seconds), _written(format_seconds), _schema(_TIME, _TIME_UNIT)]
Bytes = Annotated[float, BeforeValidator(bytes_), _written(format_bytes), _schema(_DATA, _DATA_UNIT)]
BytesPerSecond = Annotated[
    float,
    BeforeValidator(bytes_per_second),
    _written(format_bandwidth),
    _schema(_BANDWIDTH, rf"({_DATA_UNIT}\s*(/|per)\s*{_TIME_UNIT}|{_PREFIX}[bB]ps)"),
]
FlopsPerSecond = Annotated[
    float,
    BeforeValidator(flops_per_second),
    _written(format_flops),
    _schema(_FLOP_RATE, rf"[kMGTPE]?(FLOPS|(FLOP|Flop|flop)\s*(/|per)\s*{_TIME_UNIT})"),
]
Count = Annotated[
    float,
    BeforeValidator(count),
    _written(format_count),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": r"^\s*[0-9.][0-9_.]*([eE][+-]?[0-9]+)?\s?[kKMBGT]?\s*$"},
                {"type": "number", "minimum": 0},
            ],
            "examples": ["124M", "1.3B"],
        }
    ),
]
