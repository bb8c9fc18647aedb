"""Limits that depend on the round trip, on links whose latency changes while messages flow: by hand."""

from math import inf, sqrt

import pytest

from simnet.network import Clock, Dynamics, FluidNetwork, Route, RouteTable
from simnet.network.profiles import Constant, Steps, wave
from simnet.network.transport import Transport

FAST, SLOW, CHANGE = 0.02, 0.1, 10.0
WINDOW = 1e5
UP = Steps((0.0, CHANGE), (FAST, SLOW))
"""Seconds from a to b: 20 ms for ten seconds, then 100 ms."""


@pytest.fixture(params=["python", "numba"], autouse=True)
def backend(request, monkeypatch):
    monkeypatch.setenv("SIMNET_NETWORK_BACKEND", request.param)


FLAT = Constant(FAST)


def network_of(transport, there=UP, back=FLAT, capacity=inf, loss=0.0, far=None, **dynamics):
    """`a` to `b` and back, and `a` to `c` over the same resource where `far` is its latency."""
    env = Clock()
    routes = {
        ("a", "b"): Route((0,), there.mean, ("a", "b"), loss, back.mean),
        ("b", "a"): Route((1,), back.mean, ("b", "a"), loss, there.mean),
        ("a", "c"): Route((0,), 0.0 if far is None else far, ("a", "c"), loss),
        ("c", "a"): Route((1,), 0.0 if far is None else far, ("c", "a"), loss),
    }
    latencies = {("a", "b"): there, ("b", "a"): back}
    if far is not None:
        latencies |= {("a", "c"): Constant(far), ("c", "a"): Constant(far)}
    moving = Dynamics(0, {}, latencies, **dynamics)
    return env, FluidNetwork(env, RouteTable((capacity, inf), routes, moving), transport)


@pytest.mark.parametrize("transport", [Transport(window=WINDOW), Transport(window=WINDOW / 4, streams=4)])
def test_a_window_passes_once_a_round_trip_of_now(transport):
    env, network = network_of(transport)
    transfer = network.send("a", "b", 5e6 + WINDOW / 0.12 * 7)
    env.run(transfer.sent)
    # 1e5 bytes in 40 ms for ten seconds would be 25 MB; these are 5 MB, so nothing changes for the first two.
    first = WINDOW / 0.04 * CHANGE
    assert transfer.bytes < first
    assert env.now == pytest.approx(transfer.bytes / (WINDOW / 0.04), rel=1e-12)
    late = network.send("a", "b", 2 * first)
    begun = env.now
    env.run(late.sent)
    gone = WINDOW / 0.04 * (CHANGE - begun)
    assert env.now == pytest.approx(CHANGE + (2 * first - gone) / (WINDOW / (SLOW + FAST)), rel=1e-12)
    assert late.bound == pytest.approx({"window": env.now - begun})


def test_the_way_back_counts_too():
    env, network = network_of(Transport(window=WINDOW), there=Constant(FAST), back=UP)
    transfer = network.send("a", "b", WINDOW / 0.04 * CHANGE + WINDOW / 0.12 * 3)
    env.run(transfer.sent)
    assert env.now == pytest.approx(CHANGE + 3, rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "rates"),
    [
        ("reno", [1460 / rtt * sqrt(1.5 / 1e-3) for rtt in (0.04, 0.12)]),
        ("cubic", [1460 / rtt**0.25 * (0.4 * 3.7 / 1.2) ** 0.25 / 1e-3**0.75 for rtt in (0.04, 0.12)]),
    ],
)
def test_loss_allows_what_it_does_at_the_round_trip_of_now(loss, rates):
    # On so short a way CUBIC goes as Reno does where that is faster.
    before, after = (
        max(rate, 1460 / rtt * sqrt(1.5 / 1e-3)) for rate, rtt in zip(rates, (0.04, 0.12), strict=True)
    )
    env, network = network_of(Transport(loss=loss), loss=1e-3)
    transfer = network.send("a", "b", before * CHANGE + after * 4)
    env.run(transfer.sent)
    assert env.now == pytest.approx(CHANGE + 4, rel=1e-9)
    assert transfer.bound == pytest.approx({"loss": CHANGE + 4})


def test_another_limit_takes_over_and_each_has_its_time():
    # A window's rate falls with the round trip, CUBIC's with its fourth root: 5 and 3.4 MB/s, 1.7 and 2.6.
    window = 2e5
    transport = Transport(window=window, loss="cubic")
    env, network = network_of(transport, loss=1e-4)

    def limits(rtt):
        cubic = 1460 / rtt**0.25 * (0.4 * 3.7 / 1.2) ** 0.25 / 1e-4**0.75
        return {"window": window / rtt, "loss": max(cubic, 1460 / rtt * sqrt(1.5 / 1e-4))}

    before, after = limits(0.04), limits(0.12)
    assert before["loss"] < before["window"]
    assert after["window"] < after["loss"]
    transfer = network.send("a", "b", before["loss"] * CHANGE + after["window"] * 5)
    env.run(transfer.sent)
    assert env.now == pytest.approx(CHANGE + 5, rel=1e-9)
    assert transfer.bound == pytest.approx({"loss": CHANGE, "window": 5.0}, rel=1e-9)


def test_shares_follow_the_round_trip():
    env, network = network_of(Transport(rtt_exponent=1.0), capacity=90.0, far=FAST)
    near, far = network.send("a", "b", 1e9), network.send("a", "c", 1e9)
    env.run(1.0)
    assert (near.rate, far.rate) == pytest.approx((45.0, 45.0))
    env.run(CHANGE + 1)
    assert (near.rate, far.rate) == pytest.approx((22.5, 67.5))  # 1/120 to 1/40


def test_slow_start_goes_on_at_the_new_pace():
    env, network = network_of(Transport(slow_start="per_flow"), there=Steps((0.0, 0.05), (FAST, SLOW)))
    transfer = network.send("a", "b", 1e9)
    first = 10 * 1460
    seen = []
    for time in (0.01, 0.045, 0.06, 0.09, 0.21):
        env.run(time)
        seen.append(transfer.rate)
    # A round trip of 40 ms; the second is 10 ms old when round trips become 120 ms and ends when it would
    # have; the third takes 120 ms.
    assert seen == pytest.approx(
        [first / 0.04, 2 * first / 0.04, 2 * first / 0.12, 4 * first / 0.12, 8 * first / 0.12]
    )
    assert set(transfer.bound) == {"slow start"}


def test_without_limits_by_round_trip_nobody_looks_at_latencies():
    for transport in (Transport(), Transport(efficiency=0.5), Transport(loss="bbr")):
        env, network = network_of(transport, there=wave(0.05, 0.5, 1.0), capacity=100.0)
        network.send("a", "b", 10_000)
        env.run(50.0)
        assert network.solves <= 2


def test_a_stalled_message_does_not_keep_a_waving_latency_going():
    env, network = network_of(Transport(window=WINDOW), there=wave(0.05, 0.5, 1.0), capacity=100.0)
    transfer = network.send("a", "b", 1000)
    while env.peek() < inf:
        env.step()
    assert env.now == transfer.delivered_at


def test_slow_start_does_not_run_twice_after_a_detour():
    """Two ways of the same round trip; the first fails in the midst of slow start."""

    class Detour:
        capacities, fatpipes, resource_names = (inf, inf, inf), frozenset(), ("0", "1", "2")
        dynamics = Dynamics(0, {}, {}, {}, ((0.0, frozenset()), (0.1, frozenset({0}))))

        def __init__(self, way=0):
            self.way = way

        def route(self, source, target, flow=0):
            return Route((self.way if source == "a" else 2,), FAST, (source, target))

        def without(self, resources):
            return Detour(1)

    env = Clock()
    network = FluidNetwork(env, Detour(), Transport(slow_start="per_flow"))
    transfer = network.send("a", "b", 1e9)
    first, rtt = 10 * 1460, 2 * FAST
    env.run(0.1 - 1e-6)
    assert transfer.rate == pytest.approx(4 * first / rtt)
    env.run(0.1 + rtt / 2)
    assert transfer.rate == pytest.approx(4 * first / rtt)  # the window is kept, a new round trip begins
    env.run(0.1 + 1.5 * rtt)
    assert transfer.rate == pytest.approx(8 * first / rtt)
    env.run(0.1 + 2.5 * rtt)
    assert transfer.rate == pytest.approx(16 * first / rtt)
    env.run(0.3)
    assert transfer.bound == pytest.approx({"slow start": 0.3})
