"""Messages in virtual time: when they leave, when they arrive, and that no byte goes astray."""

from math import inf, nan

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.network import FluidNetwork, InvariantError, Route, RouteTable

LATENCY = 0.05


def network_of(*capacities, on_end=None):
    """Resources, and routes `a` -> `b` over the first and `a` -> `c` over the first and second of them."""
    routes = {("a", "b"): Route((0,), LATENCY, ("a", "b"))}
    if len(capacities) > 1:
        routes["a", "c"] = Route((0, 1), 2 * LATENCY, ("a", "b", "c"))
    env = simpy.Environment()
    return env, FluidNetwork(env, RouteTable(capacities, routes), on_end=on_end)


@pytest.fixture(params=["python", "numba"], autouse=True)
def backend(request, monkeypatch):
    monkeypatch.setenv("SIMNET_NETWORK_BACKEND", request.param)
    return request.param


def at(env, time, action):
    def process():
        yield env.timeout(time)
        action()

    env.process(process())


def test_a_message_takes_its_bytes_over_the_bandwidth_and_then_the_latency():
    env, network = network_of(100.0)
    transfer = network.send("a", "b", 50, kind="test", raw_bytes=200)
    assert (transfer.source, transfer.target, transfer.status) == ("a", "b", "flowing")
    left = env.run(transfer.sent)
    assert (left, env.now, transfer.status, transfer.rate) == (transfer, 0.5, "sent", 0.0)
    assert env.run(transfer.delivered) is transfer
    assert (transfer.start, transfer.left_at, transfer.delivered_at) == (0.0, 0.5, 0.5 + LATENCY)
    assert (transfer.status, transfer.kind, transfer.raw_bytes) == ("delivered", "test", 200)
    assert (network.bytes_sent, network.bytes_received, network.bytes_lost) == (50, 50, 0)
    network.check()


def test_latency_comes_last_and_does_not_slow_the_others():
    env, network = network_of(100.0)
    first = network.send("a", "b", 100, extra_latency=10.0)
    at(env, 1.0, lambda: network.send("a", "b", 100))
    env.run(2.0 + 2 * LATENCY)
    assert first.left_at == 1.0
    assert network.bytes_received == 100
    env.run()
    assert first.delivered_at == pytest.approx(11.0 + LATENCY, rel=1e-15)


def test_a_departure_speeds_the_others_up():
    env, network = network_of(100.0)
    short, long = network.send("a", "b", 50), network.send("a", "b", 150)
    env.run()
    assert (short.left_at, long.left_at) == (1.0, 2.0)


def test_remaining_and_rate_are_known_at_any_time():
    env, network = network_of(100.0)
    transfer = network.send("a", "b", 100)
    env.run(0.25)
    assert (transfer.rate, transfer.remaining) == (100.0, 75.0)
    assert (network.bytes_sent, network.bytes_in_flight, network.bytes_received) == (25, 25, 0)
    assert network.bytes_sent_at(0.75) == 75
    env.run(1.01)
    assert (transfer.remaining, network.bytes_in_flight) == (0.0, 100)
    assert network.flows_in_flight == 1


def test_a_message_without_bytes_takes_the_latency_and_no_bandwidth():
    env, network = network_of(100.0)
    network.send("a", "b", 100)
    empty = network.send("a", "b", 0, extra_latency=0.1)
    env.run()
    assert (empty.left_at, empty.delivered_at) == (0.0, LATENCY + 0.1)
    assert network.solves == 2


def test_a_message_within_a_node_is_there_at_once_and_is_local():
    env, network = network_of(100.0)
    transfer = network.send("a", "a", 1000)
    env.run(transfer.delivered)
    assert (env.now, transfer.status, network.bytes_local) == (0.0, "delivered", 1000)
    assert (network.bytes_sent, network.bytes_received, network.solves) == (0, 0, 0)
    late = network.send("a", "a", 1000, extra_latency=1.0)
    network.cancel(late)
    env.run()
    assert (late.status, network.bytes_local, network.bytes_lost) == ("cancelled", 1000, 0)
    network.check()


def test_without_capacity_flows_stall_until_it_comes_back():
    env, network = network_of(100.0)
    transfer = network.send("a", "b", 100)
    at(env, 0.5, lambda: network.set_capacity(0, 0.0))
    at(env, 7.0, lambda: network.set_capacity(0, 10.0))
    env.run(6.0)
    assert (transfer.rate, transfer.remaining) == (0.0, 50.0)
    env.run()
    assert transfer.left_at == 12.0


def test_a_flow_over_a_dead_link_waits_and_nothing_else_happens():
    env, network = network_of(100.0, 0.0)
    stalled, free = network.send("a", "c", 100), network.send("a", "b", 100)
    env.run()
    assert (env.now, free.left_at, stalled.status) == (1.0 + LATENCY, 1.0, "flowing")
    assert stalled.remaining == 100


def test_caps_and_weights():
    env, network = network_of(90.0)
    route = Route((0,), 0.0, ("a", "b"))
    capped = network.send_along(route, 15, cap=15.0)
    light, heavy = network.send_along(route, 25), network.send_along(route, 50, weight=2.0)
    env.run(0.5)
    assert (capped.rate, light.rate, heavy.rate) == (15.0, 25.0, 50.0)
    env.run()
    assert capped.left_at == light.left_at == heavy.left_at == 1.0


def test_infinite_bandwidth_takes_no_time():
    env, network = network_of(inf)
    transfer = network.send("a", "b", 1e12)
    env.run()
    assert (transfer.left_at, transfer.delivered_at) == (0.0, LATENCY)


def test_everything_of_one_instant_is_one_solve():
    env, network = network_of(100.0)
    times = set()

    def sender(env):
        for _ in range(5):
            times.add(env.now)
            transfers = [network.send("a", "b", 10) for _ in range(10)]
            yield env.all_of([transfer.sent for transfer in transfers])

    for _ in range(3):
        env.process(sender(env))
    env.run()
    # Five rounds of 300 bytes at 100 bytes per second, and the solve after the last departures.
    assert network.solves == len(times) + 1 == 6
    assert env.now == pytest.approx(15.0 + LATENCY, rel=1e-12)


def test_the_solve_comes_after_all_work_of_the_instant():
    env, network = network_of(100.0)

    def late(event):
        network.send("a", "b", 100)

    flush = simpy.Event(env)
    flush._ok, flush._value = True, None
    flush.callbacks.append(late)
    network.send("a", "b", 100)
    env.schedule(flush, priority=2)
    env.run()
    assert network.solves == 2


def test_messages_that_leave_within_a_nanosecond_leave_together():
    env, network = network_of(100.0, 100.0)
    other = Route((1,), 0.0, ("b", "c"))
    a, b = network.send("a", "b", 100), network.send_along(other, 100 + 5e-9)
    env.run()
    assert a.left_at == b.left_at == 1.0
    assert network.solves == 2


def test_a_long_run_keeps_few_predictions(monkeypatch):
    monkeypatch.setenv("SIMNET_NETWORK_BACKEND", "python")
    env, network = network_of(100.0)
    for _ in range(20):
        network.send("a", "b", 1e6)
    for i in range(2000):
        at(env, i / 10, lambda i=i: network.set_capacity(0, 50.0 + i % 7))
    env.run(200)
    assert len(network._draining.flows._ends) < 500


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.0, 1e6), st.floats(1e8, 1e15)), max_size=8))
def test_clocks_far_from_zero_do_not_trouble_it(sends):
    env, network = network_of(100.0)
    for time, size in sends:
        at(env, time, lambda size=size: network.send("a", "b", size))
    env.run()
    network.check()
    assert network.flows_in_flight == 0
    assert network.bytes_received == pytest.approx(sum(size for _, size in sends), rel=1e-15, abs=1e-5)


@pytest.mark.parametrize("bytes", [-1, nan, inf])
def test_impossible_sizes_raise(bytes):
    _, network = network_of(100.0)
    with pytest.raises(ValueError, match="zero or more bytes"):
        network.send("a", "b", bytes)
    assert network.flows_in_flight == 0


@pytest.mark.parametrize("latency", [-1, nan, inf])
def test_impossible_latencies_raise(latency):
    with pytest.raises(ValueError, match="extra latency"):
        network_of(100.0)[1].send("a", "b", 1, extra_latency=latency)


def test_a_refused_flow_leaves_no_trace():
    _, network = network_of(100.0)
    with pytest.raises(ValueError, match="a weight is"):
        network.send_along(Route((0,), 0.0, ("a", "b")), 1, weight=0.0)
    network.check()
    assert network.flows_in_flight == 0


def test_cancelling_loses_what_has_left_and_frees_the_rest():
    ended = []
    env, network = network_of(100.0, on_end=ended.append)
    gone, kept = network.send("a", "b", 100), network.send("a", "b", 100)
    at(env, 1.0, lambda: network.cancel(gone))
    env.run()
    assert (gone.status, gone.remaining, gone.left_at) == ("cancelled", 50.0, None)
    assert not gone.sent.triggered
    assert not gone.delivered.triggered
    assert kept.left_at == 1.5
    assert (network.bytes_sent, network.bytes_lost, network.bytes_received) == (150, 50, 100)
    assert ended == [gone, kept]
    network.cancel(gone)
    network.cancel(kept)
    assert kept.status == "delivered"
    network.check()


def test_cancelling_on_the_way_loses_all_of_it():
    env, network = network_of(100.0)
    transfer = network.send("a", "b", 100)
    at(env, 1.0 + LATENCY / 2, lambda: network.cancel(transfer))
    env.run()
    assert (transfer.status, transfer.left_at, transfer.delivered_at) == ("cancelled", 1.0, None)
    assert (network.bytes_sent, network.bytes_lost) == (100, 100)


def test_closing_cancels_everything():
    env, network = network_of(100.0)
    transfers = [network.send("a", "b", 100), network.send("a", "b", 0)]
    env.run(0.01)
    network.close()
    assert {transfer.status for transfer in transfers} == {"cancelled"}
    assert (network.flows_in_flight, network.bytes_sent, network.bytes_lost) == (0, 1, 1)
    network.check()
    env.run()
    assert network.bytes_sent == 1


def test_the_check_notices_bytes_and_messages_that_vanish():
    env, network = network_of(100.0)
    network.send("a", "b", 100)
    env.run()
    network._ledger.received -= 1
    with pytest.raises(InvariantError, match="bytes were sent"):
        network.check()
    network._ledger.received += 1
    network._ledger.ended -= 1
    with pytest.raises(InvariantError, match="messages started"):
        network.check()


event = st.tuples(
    st.sampled_from(["send", "send", "send", "cancel", "capacity"]),
    st.floats(0.0, 20.0) | st.integers(0, 5).map(float),
    st.floats(0.0, 1e4) | st.integers(0, 300).map(float),
    st.integers(0, 50),
)


@settings(deadline=None)
@given(st.lists(event, max_size=30))
def test_bytes_are_conserved_whatever_is_cancelled(events):
    capacities = [100.0, 50.0, 75.0]
    routes = [Route(r, LATENCY * len(r), ("a", "b")) for r in [(0,), (1,), (0, 1), (2,), (0, 1, 2), ()]]
    env = simpy.Environment()
    ended = []
    network = FluidNetwork(env, RouteTable(tuple(capacities)), on_end=ended.append)
    transfers, offered = [], []

    def act(kind, amount, which):
        before = network.bytes_sent
        if kind == "send":
            transfers.append(network.send_along(routes[which % len(routes)], amount))
            offered.append(amount)
        elif kind == "cancel" and transfers:
            network.cancel(transfers[which % len(transfers)])
        elif kind == "capacity":
            network.set_capacity(which % 3, amount)
        network.check()
        assert network.bytes_sent >= before
        assert network.bytes_sent == network.bytes_received + network.bytes_lost + network.bytes_in_flight

    for kind, time, amount, which in events:
        at(env, time, lambda kind=kind, amount=amount, which=which: act(kind, amount, which))
    env.run(30.0)
    network.close()
    network.check()
    assert network.bytes_in_flight == 0
    assert network.bytes_sent == network.bytes_received + network.bytes_lost
    delivered = sum(transfer.bytes for transfer in transfers if transfer.status == "delivered")
    never_left = sum(transfer.remaining for transfer in transfers)
    resolution = len(transfers) * 2**-20  # the ledger counts in units of that many bytes
    assert network.bytes_received == pytest.approx(delivered, abs=resolution)
    assert network.bytes_sent == pytest.approx(sum(offered) - never_left, abs=resolution)
    assert {id(t) for t in ended} == {id(t) for t in transfers}
    assert len(ended) == len(transfers)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.01, 10.0), st.floats(0.0, 200.0)), max_size=8),
    st.lists(st.floats(1.0, 1000.0), min_size=1, max_size=5),
)
def test_work_is_conserved_across_capacity_changes(changes, sizes):
    env, network = network_of(100.0)
    transfers = [network.send("a", "b", size) for size in sizes]
    last = 0.0
    steps = []
    for gap, capacity in changes:
        last += gap
        steps.append((last, capacity))
        at(env, last, lambda capacity=capacity: network.set_capacity(0, capacity))
    at(env, last + 1.0, lambda: network.set_capacity(0, 100.0))
    steps.append((last + 1.0, 100.0))
    env.run()
    # One link that is never idle: the last byte leaves when the integral of the capacity is all there was.
    time, capacity, left = 0.0, 100.0, sum(sizes)
    for moment, following in steps:
        if left <= capacity * (moment - time):
            break
        left -= capacity * (moment - time)
        time, capacity = moment, following
    assert max(t.left_at for t in transfers) == pytest.approx(time + left / capacity, rel=1e-9)
