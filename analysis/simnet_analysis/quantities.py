"""Seconds and bytes as people say them."""

from __future__ import annotations

from math import isfinite

_TIME_UNITS = (("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))
_BYTE_UNITS = (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3), ("B", 1.0))


def time_unit(seconds: float) -> tuple[str, float]:
    """The unit, and its length in seconds, in which ``seconds`` is a number of at least 2 (else "s")."""
    return next((unit for unit in _TIME_UNITS if abs(seconds) >= 2 * unit[1]), _TIME_UNITS[-1])


def byte_unit(bytes: float) -> tuple[str, float]:
    """The SI unit, and its size in bytes, in which ``bytes`` is a number of at least 1 (else "B")."""
    return next((unit for unit in _BYTE_UNITS if abs(bytes) >= unit[1]), _BYTE_UNITS[-1])


def say_seconds(seconds: float) -> str:
    """For example "25.3 min"; "never" for infinity.

    >>> say_seconds(1518), say_seconds(0.02), say_seconds(float("inf"))
    ('25.3 min', '0.02 s', 'never')
    """
    if not isfinite(seconds):
        return "never"
    unit, size = time_unit(seconds)
    return f"{_three(seconds / size)} {unit}"


def say_bytes(bytes: float) -> str:
    """For example "1.62 GB" (SI); "never" for infinity.

    >>> say_bytes(1.62e9), say_bytes(0)
    ('1.62 GB', '0 B')
    """
    if not isfinite(bytes):
        return "never"
    unit, size = byte_unit(bytes)
    return f"{_three(bytes / size)} {unit}"


def _three(number: float) -> str:
    """Three significant digits, all digits of what is larger, never an exponent below a million."""
    return (
        f"{number:.3g}" if abs(number) < 999.5 else f"{number:,.0f}" if abs(number) < 1e6 else f"{number:.2e}"
    )
