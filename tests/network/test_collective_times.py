"""Collectives written out message by message take what the closed forms of `analytic` say."""

from math import ceil, log2

import pytest
import simpy

from simnet.network import FluidNetwork, build_topology
from simnet.network.analytic import (
    pair_exchange_seconds,
    parameter_server_seconds,
    ring_all_reduce_seconds,
    tree_all_reduce_seconds,
)
from simnet.scenario import Scenario

BANDWIDTH = 12.5e6
LATENCY = 0.05
BYTES = 4e6


@pytest.fixture
def star(small):
    def build(workers, with_server=False, **changes):
        return build_topology(
            Scenario.model_validate(
                small(
                    {
                        "network.topology": {"kind": "star"},
                        "network.link": {"bandwidth": "100 Mbps", "latency": "25 ms"},
                        "workers": [{"count": workers, "device": "cpu"}],
                        **changes,
                    }
                )
            ),
            with_server=with_server,
        )

    return build


@pytest.mark.parametrize("members", [1, 2, 3, 8, 64])
def test_ring_all_reduce(star, members):
    topology = star(members)
    env = simpy.Environment()
    network = FluidNetwork(env, topology)
    rounds = 2 * (members - 1)
    arrived = [[env.event() for _ in range(rounds)] for _ in range(members)]

    def member(rank):
        after = (rank + 1) % members
        for turn in range(rounds):
            transfer = network.send(topology.workers[rank], topology.workers[after], BYTES / members)
            transfer.delivered.callbacks.append(lambda _, turn=turn: arrived[after][turn].succeed())
            yield transfer.sent & arrived[rank][turn]

    done = env.all_of([env.process(member(rank)) for rank in range(members)])
    env.run(done)
    expected = 2 * (members - 1) * (LATENCY + BYTES / (members * BANDWIDTH))
    assert env.now == pytest.approx(expected, rel=1e-9)
    assert env.now == pytest.approx(ring_all_reduce_seconds(members, BYTES, BANDWIDTH, LATENCY), rel=1e-9)
    # Every round is one solve when it starts and one when it has left, however many members there are.
    assert network.solves == 2 * rounds
    network.check()


@pytest.mark.parametrize("members", [1, 2, 5, 8])
def test_tree_all_reduce(star, members):
    topology = star(members)
    env = simpy.Environment()
    network = FluidNetwork(env, topology)

    def tree():
        distances = [2**level for level in range(ceil(log2(members)))]
        for towards_root, order in ((True, distances), (False, distances[::-1])):
            for distance in order:
                pairs = [(low + distance, low) for low in range(0, members - distance, 2 * distance)]
                sends = [
                    network.send(
                        *(topology.workers[i] for i in (pair if towards_root else pair[::-1])), BYTES
                    )
                    for pair in pairs
                ]
                yield env.all_of([transfer.delivered for transfer in sends])

    env.run(env.process(tree()))
    expected = 2 * ceil(log2(members)) * (LATENCY + BYTES / BANDWIDTH)
    assert env.now == pytest.approx(expected, rel=1e-9)
    assert env.now == pytest.approx(tree_all_reduce_seconds(members, BYTES, BANDWIDTH, LATENCY), rel=1e-9)


@pytest.mark.parametrize(("workers", "server_link"), [(1, "100 Mbps"), (10, "100 Mbps"), (4, "10 Gbps")])
def test_parameter_server_round(star, workers, server_link):
    topology = star(workers, with_server=True, server={"uplink": server_link, "downlink": server_link})
    env = simpy.Environment()
    network = FluidNetwork(env, topology)

    def rounds():
        pushes = [network.send(host, "server", BYTES) for host in topology.workers]
        yield env.all_of([transfer.delivered for transfer in pushes])
        pulls = [network.send("server", host, BYTES) for host in topology.workers]
        yield env.all_of([transfer.delivered for transfer in pulls])

    env.run(env.process(rounds()))
    server_bandwidth = {"100 Mbps": 12.5e6, "10 Gbps": 1.25e9}[server_link]
    expected = 2 * LATENCY + 2 * max(BYTES / BANDWIDTH, workers * BYTES / server_bandwidth)
    assert env.now == pytest.approx(expected, rel=1e-9)
    closed_form = parameter_server_seconds(workers, BYTES, BANDWIDTH, server_bandwidth, LATENCY)
    assert env.now == pytest.approx(closed_form, rel=1e-9)


@pytest.mark.parametrize(("duplex", "directions"), [("full", 1), ("half", 2)])
def test_pair_exchange(star, duplex, directions):
    topology = star(6, **{"network.link.duplex": duplex})
    env = simpy.Environment()
    network = FluidNetwork(env, topology)
    hosts = topology.workers
    pairs = [(hosts[i], hosts[i ^ 1]) for i in range(6)]
    env.run(env.all_of([network.send(a, b, BYTES).delivered for a, b in pairs]))
    assert env.now == pytest.approx(LATENCY + directions * BYTES / BANDWIDTH, rel=1e-9)
    assert env.now == pytest.approx(pair_exchange_seconds(BYTES, BANDWIDTH, LATENCY, duplex), rel=1e-9)


def test_several_servers_share_the_load():
    one = parameter_server_seconds(10, BYTES, BANDWIDTH, BANDWIDTH, LATENCY)
    five = parameter_server_seconds(10, BYTES, BANDWIDTH, BANDWIDTH, LATENCY, servers=5)
    assert (one - 2 * LATENCY) / (five - 2 * LATENCY) == pytest.approx(5)


def test_a_group_has_members():
    with pytest.raises(ValueError, match="at least one member"):
        ring_all_reduce_seconds(0, BYTES, BANDWIDTH, LATENCY)
