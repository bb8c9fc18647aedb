"""Trace files: what they mean, and one clear message for each thing that can be wrong with them."""

import pytest

from simnet.network.profiles import Constant, Steps
from simnet.network.traces import TraceError, read_csv, read_mahimahi
from simnet.units import seconds

MBPS = 125_000.0


@pytest.fixture
def written(tmp_path):
    def write(text):
        file = tmp_path / "trace"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("time [s],bandwidth [Mbps]\n0,8\n10,2\n", {}),
        ("time (ms), value (Mbit/s)\n0,8\n10_000,2\n", {}),
        ("time,value\n0,8\n10,2\n", {"unit": "Mbps"}),
        ("0,8\n10,2", {"unit": "Mbps", "time_unit": "s"}),
        ("# home\n\n0 s, 8 Mbps\n10 s, 250 kB/s  # congested\n", {}),
        ("\ufefftime,value [MB/s]\r\n0,1\r\n10,2.5e-1\r\n", {}),
        ("time,value\n0,8 Mbps\n10,2 Mbps\n", {"unit": "kbps"}),
    ],
)
def test_units_are_in_the_header_beside_the_number_or_an_option(written, text, options):
    assert read_csv(written(text), **options) == Steps((0.0, 10.0), (8 * MBPS, 2 * MBPS))


def test_a_looped_trace_lasts_as_long_as_its_last_step_or_its_period(written):
    file = written("0,8\n10,2\n30,4\n")
    assert read_csv(file, unit="Mbps", loop=True) == Steps((0, 10, 30), (8 * MBPS, 2 * MBPS, 4 * MBPS), 50)
    assert read_csv(file, unit="Mbps", loop=True, period=31).period == 31
    assert read_csv(written("0,8"), unit="Mbps", loop=True) == Constant(8 * MBPS)


def test_latencies_and_factors(written):
    assert read_csv(written("0,20\n5,80"), seconds, unit="ms") == Steps((0, 5), (0.02, 0.08))
    assert read_csv(written("0,20\n5,80"), unit="B/s", factor=0.5).values == (10, 40)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("0,8\n10\n", 2, "1 columns instead of time,value"),
        ("0,8,9\n", 1, "3 columns instead of time,value"),
        ("0,8\n\n10,fast\n", 3, "the value 'fast'"),
        ("time,value\nzero,eight\n", 2, "the time 'zero'"),
        ("0,8\nten,2\n", 2, "the time 'ten'"),
        ("0,8\n10,2\n10,3\n", 3, "the time 10 is not after the one before it"),
        ("0,8\n10,2\n5,3\n", 3, "the time 5 is not after the one before it"),
        ("5,8\n", 1, "the first time is 5, not 0"),
        ("0,-8\n", 1, "negative"),
        ("0,nan\n", 1, "nan"),
        ("0,8 mbps\n", 1, "ambiguous unit 'mbps'"),
        ("0,8 s\n", 1, "8 s"),
        ('0,"8\n', 1, "not CSV"),
    ],
)
def test_a_malformed_line_is_told_with_its_number(written, text, line, problem):
    file = written(text)
    with pytest.raises(TraceError) as caught:
        read_csv(file, unit="Mbps")
    message = str(caught.value)
    assert message.startswith(f"{file}:{line}: ")
    assert problem in message


def test_a_number_without_a_unit_is_an_error_that_says_what_to_do(written):
    file = written("time,value\n0,8\n")
    with pytest.raises(TraceError, match=r"trace:2: the value 8 has no unit.*\[Mbps\].*unit: Mbps"):
        read_csv(file)


@pytest.mark.parametrize(("text", "problem"), [("", "no line of time,value"), (b"\xff\xfe0,1", "not UTF-8")])
def test_a_file_that_holds_no_trace(written, text, problem):
    for read in (lambda file: read_csv(file, unit="Mbps"), lambda file: read_mahimahi(file, 1.0)):
        with pytest.raises(TraceError, match=problem if isinstance(text, bytes) else "no "):
            read(written(text))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(TraceError, match="absent: cannot be read: no such file"):
        read_csv(tmp_path / "absent", unit="Mbps")


def test_a_period_that_ends_before_the_trace(written):
    with pytest.raises(TraceError, match=r"trace:2: the last time is not before the period of 10 s"):
        read_csv(written("0,8\n10,2"), unit="Mbps", loop=True, period=10)


# -- Mahimahi ----------------------------------------------------------------------------------------


def test_opportunities_become_the_rates_of_windows(written):
    # Window (0, 100] ms: 3 opportunities; (100, 200]: none; (200, 300]: 1; the rest until the end, 350 ms: 2.
    profile = read_mahimahi(written("0\n50\n100\n300\n320\n350\n"), 0.1)
    assert profile.starts == pytest.approx((0.0, 0.1, 0.2, 0.3))
    assert profile.values == pytest.approx((3 * 15_000, 0, 15_000, 2 * 30_000))
    assert profile.period == 0.35
    assert profile.mean * 0.35 == pytest.approx(6 * 1500)


def test_a_window_as_long_as_the_trace_is_its_mean(written):
    assert read_mahimahi(written("5\n5\n9\n10\n"), 1.0) == Constant(4 * 1500 / 0.01)


def test_without_a_loop_the_last_rate_stays(written):
    profile = read_mahimahi(written("100\n200\n200\n"), 0.1, loop=False)
    assert [profile.at(t) for t in (0, 0.1, 99)] == pytest.approx([15_000, 30_000, 30_000])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5\n4\n", ":2: 4 ms is before the 5 ms of the line above"),
        ("5\nx\n", ":2: 'x' is not a whole number of milliseconds"),
        ("5\n-6\n", ":2: '-6' is not a whole number"),
        ("5\n6.5\n", ":2: '6.5' is not a whole number"),
        ("0\n0\n", ": no delivery opportunity after 0 ms"),
    ],
)
def test_a_malformed_mahimahi_trace(written, text, message):
    file = written(text)
    with pytest.raises(TraceError) as caught:
        read_mahimahi(file, 1.0)
    assert str(caught.value).startswith(f"{file}{message}")
