"""Messages on links that change: when they leave and arrive, by hand, and that no byte goes astray."""

from math import inf

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.network import Clock, Dynamics, FluidNetwork, Route, RouteTable
from simnet.network.profiles import Constant, OnOff, Steps, Switched, wave

LATENCY = 0.05
SQUARE = Steps((0.0, 10.0), (100.0, 20.0), 15.0)
"""100 B/s for 10 s, then 20 B/s for 5 s: 1,100 bytes in every 15 s."""


def network_of(*profiles, jitters=None, latencies=None, env=None):
    """Resources, and routes `a` -> `b` over the first, `a` -> `c` over the first and second of them."""
    routes = {("a", "b"): Route((0,), LATENCY, ("a", "b"))}
    if len(profiles) > 1:
        routes["a", "c"] = Route((0, 1), 2 * LATENCY, ("a", "b", "c"))
        routes["b", "c"] = Route((1,), LATENCY, ("b", "c"))
    changing = {i: profile for i, profile in enumerate(profiles) if not isinstance(profile, Constant)}
    env = env or Clock()
    dynamics = Dynamics(7, changing, latencies or {}, jitters or {})
    return env, FluidNetwork(env, RouteTable(tuple(p.mean for p in profiles), routes, dynamics))


def at(env, time, action):
    def process():
        yield env.timeout(time)
        action()

    env.process(process())


def run(env):
    """As a simulated run does: to the last event that was not called off."""
    while env.peek() < inf:
        env.step()


def test_a_square_wave_by_hand():
    env, network = network_of(SQUARE)
    transfer = network.send("a", "b", 5 * 1100 + 1000 + 60)
    env.run()
    assert transfer.left_at == pytest.approx(5 * 15 + 10 + 3, rel=1e-12)
    assert transfer.delivered_at == pytest.approx(88 + LATENCY, rel=1e-12)
    network.check()


def test_a_running_flow_is_slowed_and_sped_up_at_once():
    env, network = network_of(SQUARE)
    transfer = network.send("a", "b", 2000)
    rates = []
    for time in (9.999, 10.001, 14.999, 15.001):
        env.run(time)
        rates.append(transfer.rate)
    assert rates == [100, 20, 20, 100]


def test_a_flow_that_starts_late_meets_the_capacity_of_then():
    env, network = network_of(SQUARE)
    started = []
    at(env, 12.0, lambda: started.append(network.send("a", "b", 60 + 200)))
    env.run()
    assert started[0].left_at == pytest.approx(15 + 2, rel=1e-12)


def test_at_zero_a_flow_waits_and_goes_on():
    env, network = network_of(Steps((0.0, 4.0), (100.0, 0.0), 10.0))
    transfer = network.send("a", "b", 1000)
    env.run(6)
    assert (transfer.rate, transfer.remaining, transfer.status) == (0, 600, "flowing")
    env.run()
    assert transfer.left_at == pytest.approx(22, rel=1e-12)


def test_on_and_off_by_the_links_own_history():
    history = OnOff(100.0, 0.0, 5.0, 3.0, np.random.default_rng(11), "on")
    env, network = network_of(history)
    transfer = network.send("a", "b", 10_000)
    env.run()
    same = OnOff(100.0, 0.0, 5.0, 3.0, np.random.default_rng(11), "on")
    time, left = 0.0, 10_000.0
    while left > same.at(time) * (same.next_change(time) - time):
        left -= same.at(time) * (same.next_change(time) - time)
        time = same.next_change(time)
    assert transfer.left_at == pytest.approx(time + left / 100, rel=1e-12)


def test_under_a_wave_a_transfer_takes_what_its_integral_says():
    env, network = network_of(wave(100.0, 0.9, 60.0))
    transfer = network.send("a", "b", 100 * 60 * 7)
    env.run()
    assert transfer.left_at == pytest.approx(7 * 60, rel=1e-12)


def test_all_changes_of_an_instant_are_one_solve():
    env, network = network_of(SQUARE, Steps((0.0, 10.0), (30.0, 10.0), 15.0))
    network.send("a", "c", 1e6)
    network.send("a", "b", 1e6)
    env.run(0.5)
    before = network.solves
    env.run(14.5)
    assert network.solves == before + 1
    env.run(15.5)
    assert network.solves == before + 2


def test_where_nothing_flows_nothing_happens():
    env, network = network_of(SQUARE, SQUARE)
    network.send("a", "b", 100)
    run(env)
    assert env.now == 1 + LATENCY
    at(env, 991.0, lambda: network.send("a", "b", 100))
    run(env)
    assert network.solves == 4  # two messages came and went; the square wave turned 130 times in between


def test_a_change_that_nobody_waits_for_is_not_the_next_event():
    env, network = network_of(Steps((0.0, 1e6), (100.0, 1.0)))
    transfer = network.send("a", "b", 1e9)
    env.run(1.0)
    network.cancel(transfer)
    run(env)
    assert env.now < 1e9 / 100 + 1  # SimPy keeps the departure's timer, but the change at 1e6 s is gone
    network.check()


def test_a_flow_that_can_never_go_on_does_not_keep_the_clock_running():
    dead = Switched((0.0, 5.0), (Constant(100.0), Constant(0.0)))
    env, network = network_of(SQUARE, dead)
    transfer = network.send("a", "c", 1e6)
    env.run()
    assert env.now < 10_001  # the stale prediction of its end, at most
    assert (transfer.status, transfer.rate) == ("flowing", 0)
    env.run(20_000)
    late = network.send("b", "c", 10)
    env.run()
    assert (late.status, env.now) == ("flowing", 20_000)
    network.close()
    network.check()
    assert network.bytes_lost == pytest.approx(500)


def test_a_dead_link_does_not_take_the_others_with_it():
    dead = Switched((0.0, 5.0), (Constant(100.0), Constant(0.0)))
    env, network = network_of(SQUARE, dead)
    stuck, other = network.send("a", "c", 1e6), network.send("a", "b", 250 + 500 + 100 + 500)
    env.run()
    assert stuck.status == "flowing"
    assert other.left_at == pytest.approx(20)


def test_latency_is_that_of_the_start():
    env, network = network_of(
        Constant(100.0),
        Constant(100.0),
        latencies={("a", "b"): Constant(LATENCY), ("b", "c"): Steps((0.0, 10.0), (0.2, 0.6))},
    )
    early = network.send("a", "c", 2000)  # leaves at 20 s, long after the change
    late = []
    at(env, 30.0, lambda: late.append(network.send("a", "c", 100)))
    env.run()
    assert early.delivered_at == pytest.approx(20 + LATENCY + 0.2)
    assert late[0].delivered_at == pytest.approx(31 + LATENCY + 0.6)


def test_a_message_does_not_overtake_when_the_latency_falls():
    env, network = network_of(Constant(100.0), latencies={("a", "b"): Steps((0.0, 2.0), (5.0, 0.1))})
    order = []
    network.send("a", "b", 100).delivered.callbacks.append(lambda event: order.append(("first", env.now)))
    at(
        env,
        2.5,
        lambda: network.send("a", "b", 0).delivered.callbacks.append(
            lambda _: order.append(("second", env.now))
        ),
    )
    env.run()
    assert [name for name, _ in order] == ["first", "second"]
    assert [time for _, time in order] == [6.0, 6.0]


profiles = st.one_of(
    st.builds(
        lambda lengths, values, rest: Steps(
            tuple(np.cumsum([0.0, *lengths]).tolist()),
            tuple(values[: len(lengths) + 1]),
            float(np.sum(lengths)) + rest,
        ),
        st.lists(st.floats(0.1, 10), max_size=4),
        st.lists(st.sampled_from([0.0, 1.0, 10.0, 250.0]), min_size=5, max_size=5),
        st.floats(0.1, 10),
    ),
    st.builds(
        lambda seed, off: OnOff(100.0, off, 3.0, 2.0, np.random.default_rng(seed)),
        st.integers(0, 100),
        st.sampled_from([0.0, 5.0]),
    ),
    st.just(Constant(50.0)),
)
messages = st.lists(
    st.tuples(
        st.floats(0, 30),
        st.sampled_from(["ab", "ac", "bc"]),
        st.floats(0, 2000),
        st.none() | st.floats(0, 20),
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(profiles, profiles, messages, st.booleans())
def test_no_byte_goes_astray_and_no_link_carries_more_than_it_can(first, second, messages, clocked):
    env, network = network_of(first, second, env=Clock() if clocked else simpy.Environment())
    moved, sent = [0.0, 0.0], []

    def send(ends, size, patience):
        transfer = network.send(*ends, size)
        sent.append(transfer)
        if patience is not None:
            at(env, patience, lambda: network.cancel(transfer))

    for time, ends, size, patience in messages:
        at(env, time, lambda ends=ends, size=size, patience=patience: send(ends, size, patience))
    while env.peek() < 200:
        now = env.now
        env.step()
        if env.now > now:
            network.check()
    env.run(200)
    for transfer in sent:
        for resource in transfer.route.resources:
            moved[resource] += transfer.bytes - transfer.remaining
    for profile, total in zip((first, second), moved, strict=True):
        time, possible = 0.0, 0.0
        while time < 200:
            upcoming = min(200, profile.next_change(time))
            possible += profile.at(time) * (upcoming - time)
            time = upcoming
        assert total <= possible * (1 + 1e-9) + 1e-6
    network.close()
    network.check()
    assert network.bytes_sent == pytest.approx(network.bytes_received + network.bytes_lost)


@settings(max_examples=60, deadline=None)
@given(profiles, st.floats(1, 5000))
def test_one_flow_alone_takes_exactly_its_links_integral(profile, size):
    env, network = network_of(profile)
    transfer = network.send("a", "b", size)
    env.run(500)
    time, left, end = 0.0, size, None
    while time < 500 and end is None:
        upcoming, rate = min(500, profile.next_change(time)), profile.at(time)
        if rate * (upcoming - time) >= left - 1e-9 * rate:
            end = time + left / rate
        left -= rate * (upcoming - time)
        time = upcoming
    if end is None:
        assert transfer.status == "flowing"
        assert transfer.remaining == pytest.approx(left, rel=1e-9, abs=1e-6)
    elif end < 499.9:
        assert transfer.left_at == pytest.approx(end, rel=1e-9, abs=2e-9)


def test_without_changes_the_old_path_is_taken():
    env = simpy.Environment()
    network = FluidNetwork(env, RouteTable((100.0,), {("a", "b"): Route((0,), LATENCY, ("a", "b"))}))
    assert network._changes is None


def test_a_profile_that_stays_is_the_constant_network_to_the_last_bit():
    ends = []
    for profile in (Constant(100.0), Steps((0.0, 1e9), (100.0, 1.0))):
        env, network = network_of(profile)
        transfers = [network.send("a", "b", 10.0 * 3**k / 7) for k in range(6)]
        env.run(1000)
        ends.append([(t.left_at, t.delivered_at) for t in transfers])
    assert ends[0] == ends[1]


@pytest.mark.parametrize("clock", [Clock, simpy.Environment])
def test_an_alarm_that_is_called_off_does_nothing(clock):
    from simnet.network import Alarm

    env, rung = clock(), []
    off, on = (
        Alarm(env, lambda _, name=name: rung.append(name), delay) for name, delay in (("off", 1), ("on", 2))
    )
    off.call_off()
    assert env.peek() == (2 if clock is Clock else 1)
    env.run()
    on.call_off()
    assert (rung, env.now) == (["on"], 2)
