import math
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from simnet import units
from simnet.units import UnitError

sizes = st.floats(min_value=1e-300, max_value=1e300) | st.integers(1, 10**15).map(float) | st.just(0.0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100 Mbps", 12_500_000.0),
        ("100 Mbit/s", 12_500_000.0),
        ("100 Mb/s", 12_500_000.0),
        ("100Mbps", 12_500_000.0),
        ("100 megabits per second", 12_500_000.0),
        ("12.5 MB/s", 12_500_000.0),
        ("12.5 MBps", 12_500_000.0),
        ("1 Gbps", 125_000_000.0),
        ("100 MiB/s", 104_857_600.0),
        ("8 Kibit/s", 1024.0),
        ("6 MB/min", 100_000.0),
        ("1e3 kbit/s", 125_000.0),
    ],
)
def test_bandwidths_are_exact(text: str, expected: float) -> None:
    assert units.bytes_per_second(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("25 ms", 0.025),
        ("0.1 ms", 1e-4),
        ("7 µs", 7e-6),
        ("7 us", 7e-6),
        ("30 min", 1800.0),
        ("2 h", 7200.0),
        ("2 hours", 7200.0),
        ("1.5 days", 129_600.0),
        (0, 0.0),
        (0.0, 0.0),
        ("0", 0.0),
    ],
)
def test_times_are_exact(text: object, expected: float) -> None:
    assert units.seconds(text) == expected


@pytest.mark.parametrize(
    ("read", "text", "expected"),
    [
        (units.bytes_, "1.5 GiB", 1_610_612_736.0),
        (units.bytes_, "1 GB", 1e9),
        (units.bytes_, "8 Mbit", 1e6),
        (units.bytes_, "8 Mb", 1e6),
        (units.bytes_, "3 bytes", 3.0),
        (units.flops_per_second, "35 TFLOP/s", 35e12),
        (units.flops_per_second, "35 TFLOPS", 35e12),
        (units.flops_per_second, "35 TFlop/s", 35e12),
        (units.count, "1.3B", 1.3e9),
        (units.count, "0.5M", 5e5),
        (units.count, "124M", 1.24e8),
        (units.count, "10k", 1e4),
        (units.count, 1000, 1e3),
        (units.count, 1e6, 1e6),
        (units.count, "1e6", 1e6),
        (units.count, "1_000", 1e3),
    ],
)
def test_other_quantities_are_exact(read: Callable[[object], float], text: object, expected: float) -> None:
    assert read(text) == expected


@pytest.mark.parametrize(
    ("read", "text", "problem", "suggestion"),
    [
        (
            units.bytes_per_second,
            "100 mbps",
            "ambiguous unit",
            "`100 Mbps` (megabits) or `100 MBps` (megabytes)",
        ),
        (
            units.bytes_per_second,
            "100 MBPS",
            "ambiguous unit",
            "`100 Mbps` (megabits) or `100 MBps` (megabytes)",
        ),
        (
            units.bytes_per_second,
            "100 Mbs",
            "ambiguous unit",
            "`100 Mbps` (megabits) or `100 MBps` (megabytes)",
        ),
        (units.bytes_per_second, "1 gb", "ambiguous unit", "`1 Gbps` (gigabits) or `1 GBps` (gigabytes)"),
        (units.bytes_, "1 gb", "ambiguous unit", "`1 Gb` (gigabits) or `1 GB` (gigabytes)"),
        (units.bytes_, "1 KB", "ambiguous unit", "`1 kB` (1000 bytes) or `1 KiB` (1024 bytes)"),
        (units.bytes_per_second, "5 Kbps", "unknown unit", "`5 kbps`"),
        (units.bytes_per_second, "1 mbit/s", "unknown unit", "`1 Mbit/s`"),
        (units.bytes_per_second, "100 MB", "an amount of data, not a bandwidth", "`100 MB/s`"),
        (units.bytes_per_second, "25 ms", "a time, not a bandwidth", ""),
        (units.bytes_per_second, 100, "a number without a unit", ""),
        (units.bytes_per_second, "100", "a number without a unit", ""),
        (units.bytes_per_second, 0, "a number without a unit", ""),
        (units.bytes_per_second, "-5 Mbps", "negative", ""),
        (units.bytes_per_second, "1e400 Mbps", "beyond what a float", ""),
        (units.bytes_per_second, "inf", "not a bandwidth", ""),
        (units.bytes_per_second, "12 apples", "unknown unit", ""),
        (units.seconds, "25 Ms", "unknown unit", "`25 ms`"),
        (units.seconds, "1 m", "unknown unit", ""),
        (units.seconds, 5, "a number without a unit", ""),
        (units.seconds, True, "not a time", ""),
        (units.seconds, False, "not a time", ""),
        (units.seconds, math.nan, "not a time", ""),
        (units.seconds, None, "not a time", ""),
        (units.seconds, "-1 s", "negative", ""),
        (units.seconds, "1e-999999999 s", "beyond what a float", ""),
        (units.seconds, "10 MB", "an amount of data, not a time", ""),
        (units.bytes_, "100 Mbps", "a bandwidth, not an amount of data", "`100 Mb`"),
        (units.flops_per_second, "35 tflops", "unknown unit", "`35 TFLOP/s`"),
        (units.flops_per_second, "35 TFLOPs", "an amount of arithmetic, not", "`35 TFLOP/s`"),
        (units.count, "1.5", "not a whole number", ""),
        (units.count, True, "not a count", ""),
        (units.count, -1, "negative", ""),
        (units.count, math.nan, "not a count", ""),
        (units.count, "many", "not a count", ""),
    ],
)
def test_what_cannot_be_meant_is_an_error_that_helps(
    read: Callable[[object], float], text: object, problem: str, suggestion: str
) -> None:
    with pytest.raises(UnitError) as caught:
        read(text)
    assert problem in caught.value.problem
    assert caught.value.suggestion == suggestion
    assert caught.value.given is text
    assert " or " in caught.value.expected  # two examples
    assert repr(text) in str(caught.value)


@given(sizes)
def test_seconds_round_trip(value: float) -> None:
    assert units.seconds(units.format_seconds(value, exact=True)) == value


@given(sizes)
def test_bytes_round_trip(value: float) -> None:
    assert units.bytes_(units.format_bytes(value, exact=True)) == value


@given(sizes)
def test_bandwidth_round_trip(value: float) -> None:
    assert units.bytes_per_second(units.format_bandwidth(value, exact=True)) == value


@given(sizes)
def test_flops_round_trip(value: float) -> None:
    assert units.flops_per_second(units.format_flops(value, exact=True)) == value


@given(st.integers(0, 2**53).map(float))
def test_count_round_trip(value: float) -> None:
    assert units.count(units.format_count(value, exact=True)) == value


@given(st.floats(min_value=1e-6, max_value=1e20))
def test_text_for_people_is_right_to_four_digits(value: float) -> None:
    assert units.seconds(units.format_seconds(value)) == pytest.approx(value, rel=5.1e-4)
    assert units.bytes_per_second(units.format_bandwidth(value)) == pytest.approx(value, rel=5.1e-4)


@given(
    st.decimals(0, 10**6, places=3, allow_nan=False),
    st.sampled_from(["", "k", "M", "G", "T", "Ki", "Mi", "Gi", "Ti"]),
    st.sampled_from([("b", "B"), ("bit", "byte"), ("bps", "Bps"), ("b/s", "B/s"), ("bit/s", "byte/s")]),
)
def test_a_byte_is_eight_bits_under_every_prefix(number: object, prefix: str, pair: tuple[str, str]) -> None:
    read = units.bytes_per_second if "s" in pair[0] else units.bytes_
    bits, bytes_ = (read(f"{number} {prefix}{unit}") for unit in pair)
    assert bytes_ == 8 * bits


@given(st.integers(1, 10**9), st.sampled_from(sorted({**units._SI, **units._IEC})))
def test_prefixes_are_powers_of_1000_and_1024(number: int, prefix: str) -> None:
    base, power = (
        (1024, "KMGTPE".index(prefix[0])) if prefix.endswith("i") else (1000, "kMGTPE".index(prefix))
    )
    assert units.bytes_(f"{number} {prefix}B") == float(Fraction(number) * base ** (power + 1))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (units.format_seconds(0.025), "25 ms"),
        (units.format_seconds(1800), "30 min"),
        (units.format_seconds(0), "0 s"),
        (units.format_seconds(math.inf), "inf"),
        (units.format_bytes(1.5e9), "1.5 GB"),
        (units.format_bytes(0), "0 B"),
        (units.format_bytes(1.5 * 2**30, exact=True), "1.5 GiB"),
        (units.format_bandwidth(12.5e6), "100 Mbit/s"),
        (units.format_bandwidth(12.5e6, exact=True), "100 Mbit/s"),
        (units.format_bandwidth(100 * 2**20, exact=True), "100 MiB/s"),
        (units.format_bandwidth(math.inf), "inf"),
        (units.format_flops(35e12), "35 TFLOP/s"),
        (units.format_count(1.3e9), "1.3B"),
    ],
)
def test_formats(text: str, expected: str) -> None:
    assert text == expected


@pytest.mark.parametrize("text", ["30 min", "3 GB", "100 Mbps", "35 TFLOP/s"])
def test_any_quantity_is_read_in_its_si_unit(text: str) -> None:
    of_kind = (units.seconds, units.bytes_, units.bytes_per_second, units.flops_per_second)
    assert units.quantity(text) in [read(text) for read in of_kind if _readable(read, text)]
    with pytest.raises(UnitError, match="unknown unit"):
        units.quantity("3 furlongs")


def _readable(read: Callable[[object], float], text: str) -> bool:
    try:
        read(text)
    except UnitError:
        return False
    return True


def test_annotated_types_read_text_and_write_it() -> None:
    class Link(BaseModel):
        bandwidth: units.BytesPerSecond
        latency: units.Seconds
        memory: units.Bytes | None = None

    link = Link.model_validate({"bandwidth": "100 Mbps", "latency": 0})
    assert (link.bandwidth, link.latency) == (12.5e6, 0.0)
    assert link.model_dump()["bandwidth"] == 12.5e6
    assert link.model_dump(mode="json") == {"bandwidth": "100 Mbit/s", "latency": "0 s", "memory": None}
    assert Link.model_json_schema()["properties"]["bandwidth"]["type"] == "string"


def test_pint_is_not_imported_until_it_is_needed() -> None:
    code = "import sys, simnet.units; assert 'pint' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
