"""Transport: the formulas, written out, and flows that obey them."""

from math import inf, sqrt

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.network import FluidNetwork, Route, RouteTable
from simnet.network.transport import (
    RECEIVER_SERIALISED,
    TCP,
    Transport,
    bbr_rate,
    cubic_rate,
    reno_rate,
    slow_start_seconds,
    transport_of,
    window_rate,
)
from simnet.scenario import ScenarioError, validated
from simnet.scenario.network import NetworkConfig

MBPS = 1e6 / 8
LATENCY, LOSS, MSS, GB = 0.04, 1e-4, 1460, 1e9


def network_of(transport, bandwidth=100 * MBPS, latency=LATENCY, loss=0.0, back=None):
    """Links `a->b` and `b->a`, with the same latency unless the way `back` has another bandwidth."""
    env = simpy.Environment()
    routes = {
        ("a", "b"): Route((0,), latency, ("a", "b"), loss, latency),
        ("b", "a"): Route((1,), latency, ("b", "a"), loss, latency),
    }
    table = RouteTable((bandwidth, bandwidth if back is None else back), routes, names=("a->b", "b->a"))
    return env, FluidNetwork(env, table, transport)


def seconds_of(transport, bytes=GB, **link):
    env, network = network_of(transport, **link)
    transfer = network.send("a", "b", bytes)
    env.run(transfer.delivered)
    return transfer


@pytest.mark.parametrize(
    ("loss", "rate", "cause"),
    [
        # 80 ms there and back; 1460 / 0.08 * sqrt(3 / 2 / 1e-4) = 2.235 MB/s
        ("reno", MSS / 0.08 * sqrt(3 / (2 * LOSS)), "loss"),
        # 1460 * (0.4 * 3.7 / 1.2)^(1/4) / (0.08^(1/4) * (1e-4)^(3/4)) = 2.893 MB/s
        ("cubic", MSS * (0.4 * 3.7 / 1.2) ** 0.25 / (0.08**0.25 * LOSS**0.75), "loss"),
        ("bbr", 100e6 / 8 * (1 - LOSS), "a->b"),
    ],
)
def test_a_gigabyte_over_100_mbit_and_80_ms_with_loss(loss, rate, cause):
    transfer = seconds_of(Transport(loss=loss), loss=LOSS)
    assert transfer.delivered_at == pytest.approx(GB / rate + LATENCY, rel=1e-12)
    assert transfer.bound == pytest.approx({cause: GB / rate, "latency": LATENCY}, rel=1e-9)


def test_the_check_values_of_the_loss_formulas():
    assert reno_rate(1e-4, 0.1) == pytest.approx(1.79e6, rel=2e-3)
    assert cubic_rate(1e-4, 0.1) == pytest.approx(2.74e6, rel=2e-3)
    assert reno_rate(1e-6, 0.1) == pytest.approx(17.9e6, rel=2e-3)
    assert cubic_rate(1e-6, 0.1) == pytest.approx(86.5e6, rel=2e-3)
    assert cubic_rate(1e-2, 0.001) == reno_rate(1e-2, 0.001)  # it imitates Reno on short ways
    assert bbr_rate(100.0, 0.1) == 90.0
    assert reno_rate(0.0, 0.1) == cubic_rate(1e-4, 0.0) == window_rate(1e6, 0.0) == inf
    assert reno_rate(1e-4, 0.1, 1460, 4) == 4 * reno_rate(1e-4, 0.1)


def test_a_window_caps_each_stream():
    window = 4 * 2**20
    for streams, rate in ((1, window / 0.08), (2, 2 * window / 0.08)):
        transfer = seconds_of(Transport(window=window, streams=streams), bandwidth=inf)
        assert transfer.left_at == pytest.approx(GB / rate, rel=1e-12)
        assert set(transfer.bound) == {"window", "latency"}


def test_the_smallest_cap_counts_and_is_named():
    env, network = network_of(Transport(window=1e5, loss="reno"), loss=LOSS)
    route = Route((0,), LATENCY, ("a", "b"), LOSS)
    own, window = network.send_along(route, 1e6, cap=1e6), network.send_along(route, 1e6)
    env.run()
    assert own.bound == pytest.approx({"cap": 1.0, "latency": LATENCY})
    assert window.bound == pytest.approx({"window": 1e6 / (1e5 / 0.08), "latency": LATENCY})


def seconds_by_windows(size, bandwidth, rtt, window):
    """A window per round trip while there is more, and it does not fill the link; then the rest."""
    seconds = 0.0
    while size > window and window < bandwidth * rtt:
        size, seconds, window = size - window, seconds + rtt, 2 * window
    return seconds, seconds + size / bandwidth


@settings(deadline=None)
@given(st.floats(1e3, 1e9), st.floats(0.001, 0.3), st.floats(1e5, 1e9))
def test_slow_start_takes_the_time_of_its_windows(bytes, latency, bandwidth):
    transfer = seconds_of(Transport(slow_start="per_flow"), bytes, bandwidth=bandwidth, latency=latency)
    slow, expected = seconds_by_windows(bytes, bandwidth, 2 * latency, 10 * MSS)
    assert transfer.left_at == pytest.approx(expected, rel=1e-9, abs=2e-9)
    assert slow_start_seconds(bytes, bandwidth, 2 * latency) == pytest.approx(expected, rel=1e-9)
    assert transfer.bound.get("slow start", 0.0) == pytest.approx(slow, rel=1e-9, abs=2e-9)


def test_a_message_that_fits_into_the_window_goes_at_once():
    """100 kB need two round trips (14.6 and 29.2 kB) before the rest fits; later there is room for all."""
    env, network = network_of(Transport(slow_start="per_connection"))
    causes = []
    for _ in range(3):
        transfer = network.send("a", "b", 1e5)
        env.run(transfer.delivered)
        causes.append(transfer.bound)
    line = {"a->b": 1e5 / (100 * MBPS), "latency": LATENCY}
    assert causes[0]["slow start"] == pytest.approx(2 * 0.08)
    # 14.6 kB and what was acknowledged: 114.6 kB are as much as it may have in flight now.
    assert causes[1:] == [pytest.approx(line), pytest.approx(line)]


def test_windows_grow_to_twice_what_messages_need():
    """Linux lets a window grow in slow start until it is twice of what was in flight."""
    env, network = network_of(Transport(slow_start="per_connection"))
    for _ in range(10):
        env.run(network.send("a", "b", 5e4).delivered)
    transfer = network.send("a", "b", 1e9)
    assert transfer.rate == 0.0
    env.run(env.now + 1e-6)
    assert transfer.rate == pytest.approx(1e5 / 0.08)


def test_many_messages_in_one_flow_are_each_small():
    env, network = network_of(Transport(slow_start="per_connection"))
    one = network.send("a", "b", 1.4e5, rounds=10)
    env.run(one.delivered)
    assert "slow start" not in one.bound  # 14 kB each: the first window is enough
    env, network = network_of(Transport(slow_start="per_connection"))
    one = network.send("a", "b", 1.4e5)
    env.run(one.delivered)
    assert one.bound["slow start"] > 0


def test_a_connection_starts_slowly_once_and_a_flow_each_time():
    for kind, again in (("per_connection", False), ("per_flow", True), ("off", False)):
        env, network = network_of(Transport(slow_start=kind))
        causes = []
        for _ in range(2):
            transfer = network.send("a", "b", 1e7)
            env.run(transfer.delivered)
            causes.append("slow start" in transfer.bound)
        assert causes == [kind != "off", again]


def test_slow_start_ends_when_it_does_not_bind():
    env, network = network_of(Transport(slow_start="per_flow"))
    many = [network.send("a", "b", 1e7) for _ in range(100)]
    env.run()
    # A hundredth of the link is 125 kB/s: less than the first window per round trip, 182.5 kB/s.
    assert all("slow start" not in transfer.bound for transfer in many)


def test_bottlenecks_are_shared_by_round_trip_time():
    env = simpy.Environment()
    network = FluidNetwork(env, RouteTable((90.0,)), Transport(rtt_exponent=1.0))
    near, far = (network.send_along(Route((0,), latency, ("a", "b")), 1e6) for latency in (0.01, 0.02))
    env.run(until=1)
    assert (near.rate, far.rate) == pytest.approx((60.0, 30.0))
    with pytest.raises(ValueError, match="without latency"):
        network.send_along(Route((0,), 0.0, ("a", "b")), 1.0)


def test_acknowledgements_load_the_way_back():
    env, network = network_of(Transport(ack_load=0.05), bandwidth=100.0, back=50.0)
    there, back = network.send("a", "b", 1e6), network.send("b", "a", 1e6)
    env.run(until=1)
    # x + 0.05 y <= 100 and y + 0.05 x <= 50: both rise until the way back is full, then x alone, y frozen.
    y = 50 / 1.05
    assert back.rate == pytest.approx(y)
    assert there.rate == pytest.approx(y)  # its acknowledgements are on the full way back
    env, network = network_of(Transport(ack_load=0.05), bandwidth=100.0, back=4.0)
    there = network.send("a", "b", 1e6)
    env.run(until=1)
    assert there.rate == pytest.approx(80.0)
    assert there.bound == {"b->a": 1.0}


def test_headers_take_their_part():
    transfer = seconds_of(Transport(efficiency=0.8))
    assert transfer.left_at == pytest.approx(GB / (0.8 * 100 * MBPS), rel=1e-12)


def test_latency_first_waits_and_then_takes_bandwidth():
    env, network = network_of(Transport(latency_first=True), bandwidth=100.0)
    first, second = network.send("a", "b", 100.0), network.send("a", "b", 100.0)
    env.run(until=LATENCY / 2)
    assert (first.status, first.rate, first.remaining, network.bytes_sent) == ("waiting", 0.0, 100.0, 0.0)
    network.cancel(second)
    env.run()
    assert first.left_at == first.delivered_at == pytest.approx(1 + LATENCY)
    assert (second.status, second.remaining) == ("cancelled", 100.0)
    assert first.bound == pytest.approx({"a->b": 1.0, "latency": LATENCY})
    network.check()


def test_serialised_receivers_take_one_message_at_a_time():
    env, network = network_of(RECEIVER_SERIALISED, bandwidth=100.0)
    arrivals = []

    def send(delay, bytes):
        yield env.timeout(delay)
        transfer = network.send("a", "b", bytes)
        assert (transfer.status, transfer.left_at) == ("sent", delay)
        yield transfer.delivered
        arrivals.append(env.now)

    messages = [(0.0, 50.0), (0.1, 100.0), (5.0, 10.0)]
    for message in messages:
        env.process(send(*message))
    env.run()
    expected, previous = [], 0.0
    for sent, size in messages:
        previous = max(previous, sent) + size / 100.0 + LATENCY
        expected.append(previous)
    assert arrivals == pytest.approx(expected, rel=1e-12)
    network.check()


def test_hosts_take_their_time_for_each_message():
    late = Transport(host_overhead=0.003)
    assert late.ideal  # no flow is limited by it
    transfer = seconds_of(late, bytes=1e6)
    assert transfer.left_at == pytest.approx(1e6 / (100 * MBPS), rel=1e-12)
    assert transfer.delivered_at == pytest.approx(1e6 / (100 * MBPS) + LATENCY + 0.003, rel=1e-12)
    env, network = network_of(late)
    rounds, at_home = network.send("a", "b", 0.0, rounds=5), network.send("a", "a", 1e6)
    env.run(rounds.delivered)
    assert rounds.delivered_at == pytest.approx(5 * (LATENCY + 0.003), rel=1e-12)
    assert at_home.delivered_at == 0.0


def network_config(model):
    return validated(NetworkConfig, {"topology": {"kind": "star", "nodes": 2}, "model": model}, ("network",))


def test_scenarios_choose_a_transport():
    assert transport_of(network_config("ideal").model).ideal
    assert transport_of(network_config("tcp").model) is TCP
    assert transport_of(network_config("receiver-serialised").model).serialised
    chosen = {"window": "4 MiB", "streams": 4, "loss": "bbr", "slow_start": "per_flow", "rtt_exponent": 0.5}
    expected = Transport(window=4 * 2**20, streams=4, loss="bbr", slow_start="per_flow", rtt_exponent=0.5)
    assert transport_of(network_config(chosen).model) == expected
    assert transport_of(network_config({}).model).ideal
    assert transport_of(network_config({"host_overhead": "2 ms"}).model).host_overhead == 0.002


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("tpc", "tcp"),
        ({"windw": "4 MiB"}, "window"),
        ({"loss": "vegas"}, "reno"),
        ({"streams": 0}, "streams"),
        ({"host_overhead": "-1 ms"}, "host_overhead"),
        ({"efficiency": 0}, "efficiency"),
        (3, "not a transport model"),
    ],
)
def test_impossible_transports_are_refused(model, message):
    with pytest.raises(ScenarioError, match=message):
        network_config(model)
