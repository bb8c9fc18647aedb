"""Jitter: its distributions, whose luck it is, and that messages of a pair stay in order."""

from math import erf, exp, sqrt

import numpy as np
import pytest

from simnet.network import Clock, Dynamics, FluidNetwork, Route, RouteTable
from simnet.network.noise import JitterDraws
from simnet.network.profiles import Constant
from simnet.scenario.links import GammaJitter, LognormalJitter, UniformJitter

LATENCY = 0.02


def network_of(jitter, seed=0):
    hops = {
        (a, b): Route((i,), LATENCY, (a, b)) for i, (a, b) in enumerate([("a", "b"), ("b", "a"), ("a", "c")])
    }
    dynamics = Dynamics(seed, {}, dict.fromkeys(hops, Constant(LATENCY)), dict.fromkeys(hops, jitter))
    env = Clock()
    return env, FluidNetwork(env, RouteTable((1e6,) * 3, hops, dynamics))


def latencies(jitter, count, pair=("a", "b"), seed=0):
    env, network = network_of(jitter, seed)
    found = []
    for _ in range(count):
        transfer = network.send(*pair, 0)
        env.run(transfer.delivered)
        found.append(transfer.delivered_at - transfer.start)
    network.check()
    return np.array(found)


@pytest.mark.parametrize("sigma", [0.2, 1.0])
def test_a_pairwise_exchange_takes_the_expected_maximum_of_two_lognormals(sigma):
    """E max(X1, X2) = e^(m + s^2/2) (1 + erf(s/2)) for two iid LogNormal(m, s)."""
    jitter, count = LognormalJitter(kind="lognormal", sigma=sigma), 20_000
    env, network = network_of(jitter)
    times = []
    for _ in range(count):
        began = env.now
        both = [network.send("a", "b", 0).delivered, network.send("b", "a", 0).delivered]
        env.run(both[0] & both[1])
        times.append(env.now - began)
    expected = LATENCY * exp(sigma**2 / 2) * (1 + erf(sigma / 2))
    assert abs(np.mean(times) - expected) < 4 * np.std(times) / sqrt(count)


@pytest.mark.parametrize(
    ("jitter", "mean", "deviation"),
    [
        (
            LognormalJitter(kind="lognormal", sigma=0.5),
            LATENCY * exp(1 / 8),
            LATENCY * exp(1 / 8) * sqrt(exp(1 / 4) - 1),
        ),
        (GammaJitter(kind="gamma", mean="5 ms", shape=4.0), LATENCY + 0.005, 0.0025),
        (UniformJitter(kind="uniform", low="1 ms", high="4 ms"), LATENCY + 0.0025, 0.003 / sqrt(12)),
    ],
)
def test_mean_and_deviation_are_those_of_the_distribution(jitter, mean, deviation):
    found = latencies(jitter, 20_000)
    assert abs(found.mean() - mean) < 4 * deviation / sqrt(20_000)
    assert found.std() == pytest.approx(deviation, rel=0.05)
    assert found.min() > 0


def test_the_luck_is_the_seeds_and_the_pairs_alone():
    jitter = GammaJitter(kind="gamma", mean="5 ms", shape=1.0)
    alone = latencies(jitter, 50)
    assert np.array_equal(alone, latencies(jitter, 50))
    assert not np.array_equal(alone, latencies(jitter, 50, seed=1))
    assert not np.allclose(alone, latencies(jitter, 50, pair=("b", "a")))
    # In company of other messages, at other times, of other sizes: the n-th message has the same luck.
    env, network = network_of(jitter)
    found = []
    for n in range(50):
        network.send("b", "a", 3.0)
        network.send("a", "c", 5.0)
        env.run(env.now + 0.1 * n + 1)
        transfer = network.send("a", "b", 0)
        env.run(transfer.delivered)
        found.append(transfer.delivered_at - transfer.start)
    assert np.allclose(found, alone, rtol=0, atol=1e-12)


def test_draws_do_not_depend_on_the_order_of_asking():
    jitter = UniformJitter(kind="uniform", high="1 s")
    forward, backward = JitterDraws(5), JitterDraws(5)
    key = (("a", "b"), ("a", "b"))
    there = [forward.seconds(jitter, 0.0, *key, n) for n in range(100)]
    back = [backward.seconds(jitter, 0.0, *key, n) for n in reversed(range(100))]
    assert there == back[::-1]
    assert len(set(there)) == 100


def test_messages_of_a_pair_arrive_in_the_order_in_which_they_left():
    env, network = network_of(GammaJitter(kind="gamma", mean="1 s", shape=0.3))
    arrived = []

    def talk(target, gap):
        for _ in range(300):
            network.send("a", target, 10).delivered.callbacks.append(
                lambda event: arrived.append(event.value)
            )
            yield env.timeout(gap)

    env.process(talk("b", 0.01))
    env.process(talk("c", 0.017))
    env.run()
    for target in "bc":
        ids = [transfer.id for transfer in arrived if transfer.target == target]
        assert len(ids) == 300
        assert ids == sorted(ids)
    assert [t.id for t in arrived] != sorted(t.id for t in arrived)  # of different pairs they may
    delays = [t.delivered_at - t.left_at - LATENCY for t in arrived]
    assert min(delays) >= -1e-12


def test_a_message_that_stands_for_rounds_has_so_many_latencies_and_draws():
    jitter = UniformJitter(kind="uniform", high="10 ms")
    single = latencies(jitter, 6)
    env, network = network_of(jitter)
    transfer = network.send("a", "b", 0, rounds=6)
    env.run()
    assert transfer.latency == pytest.approx(single.sum(), rel=1e-12)
