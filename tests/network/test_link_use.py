"""What resources carry over time, and what binds messages: they add up."""

from math import inf, isclose

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.network import FluidNetwork, Route, RouteTable
from simnet.network.metering import INTERVALS

message = st.tuples(st.floats(0.0, 50.0), st.integers(0, 4), st.floats(0.0, 1e4), st.booleans())
change = st.tuples(st.floats(0.0, 50.0), st.integers(0, 2), st.floats(0.0, 200.0))
ROUTES = [Route(r, 0.1 * len(r), ("a", "b")) for r in [(0,), (1,), (0, 1), (2,), (0, 1, 2)]]


def run(messages, changes, backend):
    env = simpy.Environment()
    network = FluidNetwork(env, RouteTable((100.0, 50.0, 75.0), names=("x", "y", "z")), backend=backend)
    transfers = []

    def send(time, route, size, cancelled):
        yield env.timeout(time)
        transfer = network.send_along(ROUTES[route], size)
        transfers.append(transfer)
        if cancelled:
            yield env.timeout(1.0)
            network.cancel(transfer)

    def turn(time, resource, capacity):
        yield env.timeout(time)
        network.set_capacity(resource, capacity)

    for each in messages:
        env.process(send(*each))
    for each in changes:
        env.process(turn(*each))
    env.run(until=100.0)
    network.close()
    return network, transfers


@pytest.mark.parametrize("backend", ["python", "numba"])
@settings(deadline=None, max_examples=40)
@given(messages=st.lists(message, max_size=15), changes=st.lists(change, max_size=5))
def test_links_carry_exactly_what_messages_sent(backend, messages, changes):
    network, transfers = run(messages, changes, backend)
    use = network.link_use()
    carried = dict.fromkeys("xyz", 0.0)
    for name, start, end, bytes_, capacity in zip(
        use.resource, use.start, use.end, use.bytes, use.capacity, strict=True
    ):
        carried[name] += bytes_
        assert 0.0 <= start < end <= 100.0
        assert bytes_ <= capacity * (1 + 1e-9) + 1e-6
    assert len(set(use.start.tolist())) <= INTERVALS + 1
    sent = dict.fromkeys("xyz", 0.0)
    for transfer in transfers:
        for resource in transfer.route.resources:
            sent["xyz"[resource]] += transfer.bytes - transfer.remaining
    assert carried == pytest.approx(sent, rel=1e-9, abs=1e-6)
    for transfer in transfers:
        if transfer.status == "delivered":
            assert isclose(
                sum(transfer.bound.values()),
                transfer.delivered_at - transfer.start,
                rel_tol=1e-9,
                abs_tol=1e-8,
            )
            assert set(transfer.bound) <= {*(("x", "y", "z")[r] for r in transfer.route.resources), "latency"}


def test_use_over_time_is_kept_at_a_bounded_number_of_points():
    env = simpy.Environment()
    network = FluidNetwork(env, RouteTable((100.0,), names=("x",)))

    def sender():
        for _ in range(1000):
            yield network.send_along(ROUTES[0], 50.0).sent
            yield env.timeout(0.5)

    env.run(env.process(sender()))
    use = network.link_use()
    assert INTERVALS / 2 <= len(use.start) <= INTERVALS + 1
    assert use.bytes.sum() == pytest.approx(50_000.0, rel=1e-12)
    assert (use.bytes / use.capacity)[:-1] == pytest.approx([0.5] * (len(use.start) - 1), abs=0.07)


def test_infinite_capacity_is_never_used_up():
    env = simpy.Environment()
    network = FluidNetwork(env, RouteTable((inf, 10.0), names=("x", "y")))
    network.send_along(Route((0,), 0.0, ("a", "b")), 5.0)
    network.send_along(Route((0, 1), 0.0, ("a", "b")), 20.0)
    env.run()
    use = network.link_use()
    totals = {
        name: sum(b for n, b in zip(use.resource, use.bytes, strict=True) if n == name) for name in "xy"
    }
    assert totals == pytest.approx({"x": 25.0, "y": 20.0})
    assert all(
        capacity == inf for name, capacity in zip(use.resource, use.capacity, strict=True) if name == "x"
    )
