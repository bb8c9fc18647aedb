"""From the simulator's topology to the fabric's numbers, and what is counted on the way."""

import numpy as np
import pytest
from emulated_networks import line, network, star
from hypothesis import given
from hypothesis import strategies as st

from simnet.emulation.addresses import address_range, resolvers
from simnet.emulation.driver import DriverOptions, EmulationError
from simnet.emulation.lateness import Lateness
from simnet.emulation.shaping import is_tree
from simnet.emulation.wiring import train_shift, trains, wiring_of


def test_routes_are_the_topologys() -> None:
    topology = network({"kind": "torus", "dims": [3, 3]}, {"bandwidth": "10 Mbps", "latency": "5 ms"})
    wiring = wiring_of(topology, topology.workers)
    ways, routes = list(wiring.ways), wiring.routes()
    for i, source in enumerate(topology.workers):
        for j, target in enumerate(topology.workers):
            (stages,) = routes[i][j]
            assert [link for link, _ in stages] == list(topology.route(source, target).resources)
            hops = [ways[way][1] for _, way in stages if way >= 0]
            assert [source, *hops] == list(topology.route(source, target).hops)


def test_all_equal_routes_are_there_where_flows_choose() -> None:
    keys = {"ecmp": "flow"}
    topology = network({"kind": "fat-tree", "k": 4}, {"bandwidth": "10 Mbps", "latency": "1 ms"}, **keys)
    wiring = wiring_of(topology, topology.workers)
    alternatives = wiring.routes()[0][-1]
    assert len(alternatives) > 1
    assert len({len(stages) for stages in alternatives}) == 1


def test_rates_are_those_of_the_wire() -> None:
    link = {"bandwidth": "10 Mbps", "latency": "1 ms", "efficiency": 0.5}
    topology = line(2, link, events=[{"at": "2 s", "link": "n0->n1", "bandwidth": "4 Mbps"}])
    wiring = wiring_of(topology, topology.workers)
    assert wiring.rate(0) == pytest.approx(1.25e6)
    assert wiring.changes(10.0) == [(2.0, "rate", 0, pytest.approx(0.5e6))]
    assert wiring.changes(1.0) == []


def test_a_wave_is_followed_to_the_horizon() -> None:
    wave = {"mean": "10 Mbps", "amplitude": 0.5, "period": "10 s", "step": "1 s"}
    topology = line(2, {"bandwidth": wave, "latency": "1 ms"})
    wiring = wiring_of(topology, topology.workers)
    changes = wiring.changes(20.0)
    assert [at for at, _, which, _ in changes if which == 0] == pytest.approx(range(1, 21))
    with pytest.raises(EmulationError, match="horizon"):
        wiring.changes(1e6)


def test_windows_hold_the_longest_route_and_no_queue_of_seconds() -> None:
    topology = star(3, "100 Mbps", "20 ms")
    sending = wiring_of(topology, topology.workers).sending()
    assert {host: one.window for host, one in sending.items()} == dict.fromkeys(
        topology.workers, 4 * int(12.5e6 * 0.080)
    )
    slow = star(3, "1 Mbps", "1 ms")
    assert {one.window for one in wiring_of(slow, slow.workers).sending().values()} == {128 * 1024}


def added(shift: int, rate: float, round_trip: float) -> float:
    """Seconds by which Linux makes trains longer than a millisecond (`tcp_tso_autosize`)."""
    exponent = round(1e6 * round_trip) >> shift
    return (65_536 >> exponent) / rate if exponent < 32 else 0.0


@given(st.floats(1e5, 1e9), st.floats(3e-4, 0.5))
def test_trains_become_as_long_as_they_may(rate: float, round_trip: float) -> None:
    shift = train_shift([(rate, round_trip)])
    assert 0 <= shift < 32
    assert added(shift, rate, round_trip) <= 3e-3
    assert shift == 31 or added(shift + 1, rate, round_trip) > 3e-3


def test_a_number_as_worked_out_by_hand() -> None:
    """50 Mbit/s: 18.75 kB at most, so 64 kB >> 2, and 20,000 us >> 13 is 2."""
    assert train_shift([(6.25e6, 0.020)]) == 13
    assert added(13, 6.25e6, 0.020) == pytest.approx(16_384 / 6.25e6)
    assert train_shift([(1e9, 0.020)]) == 31  # 64 kB take no 3 ms
    assert added(train_shift([(1e3, 0.020)]), 1e3, 0.020) == 0  # no longer than they are
    assert train_shift([]) == 0


def test_without_latency_a_round_trip_is_the_machines() -> None:
    shift = train_shift([(6.25e6, 0.0)])
    assert shift == train_shift([(6.25e6, 200e-6)]) == 6
    assert 0 < added(shift, 6.25e6, 400e-6) < added(shift, 6.25e6, 200e-6) <= 3e-3


@given(st.lists(st.tuples(st.floats(1e5, 1e9), st.floats(3e-4, 0.5)), min_size=1, max_size=5))
def test_no_route_of_a_host_gets_too_long_trains(routes: list[tuple[float, float]]) -> None:
    assert all(added(train_shift(routes), *route) <= 3e-3 for route in routes)


def test_trains_are_chosen_for_the_least_that_links_become() -> None:
    topology = star(3, "50 Mbps", "5 ms")
    wiring = wiring_of(topology, topology.workers)
    assert {one.train_shift for one in wiring.sending().values()} == {13}
    slower = wiring.sending([(1.0, "rate", 0, 1.25e6), (2.0, "rate", 0, 0.0), (3.0, "routes", None, [])])
    assert {one.train_shift for one in slower.values()} == {train_shift([(1.25e6, 0.020)]), 13}
    shorter = wiring.sending([(1.0, "latency", way, 0.001) for way in wiring.ways.values()])
    assert {one.train_shift for one in shorter.values()} == {train_shift([(6.25e6, 0.004)])}


@pytest.mark.parametrize(
    ("link", "queue", "expected"),
    [
        ({}, None, True),
        ({}, 2.0, True),
        ({}, 0.2, False),
        ({"jitter": {"kind": "gamma", "mean": "1 ms"}}, None, False),
    ],
)
def test_packets_travel_in_trains_where_none_is_lost(
    link: dict[str, object], queue: float | None, expected: bool
) -> None:
    topology = line(2, {"bandwidth": "10 Mbps", "latency": "1 ms", **link})
    assert trains(wiring_of(topology, topology.workers), DriverOptions(queue=queue)) is expected


def test_bridges_are_for_trees_of_leaves() -> None:
    assert is_tree(star(4))
    assert not is_tree(
        line(3, {"bandwidth": "1 Mbps", "latency": "0 s"})
    )  # the host in the middle would route
    assert not is_tree(network({"kind": "ring", "nodes": 4}, {"bandwidth": "1 Mbps", "latency": "0 s"}))


def test_addresses_avoid_resolvers_and_ten(tmp_path: object) -> None:
    from ipaddress import IPv4Address, IPv4Network
    from pathlib import Path

    ranges = [address_range(hosts) for hosts in (2, 254, 255, 2046)]
    assert [
        network.num_addresses - 2 >= hosts for network, hosts in zip(ranges, (2, 254, 255, 2046), strict=True)
    ]
    assert not any(network.overlaps(IPv4Network("10.0.0.0/8")) for network in ranges)
    resolver = next(iter(ranges[0].hosts()))
    assert resolver not in address_range(2, [resolver])
    with pytest.raises(EmulationError, match="2046"):
        address_range(5000)
    file = Path(str(tmp_path)) / "resolv.conf"
    file.write_text("# nameserver 1.2.3.4\nnameserver 198.18.40.1\nnameserver ::1\n")
    assert resolvers(file) == [IPv4Address("198.18.40.1")]


@given(st.lists(st.floats(0, 0.3), min_size=1, max_size=200), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_percentiles_are_off_by_a_bin_at_most(values: list[float], share: float) -> None:
    histogram = Lateness()
    for value in values:
        histogram.add(value)
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    found = histogram.percentile(share)
    assert found is not None
    if exact < 0.1:
        assert exact - 1e-12 <= found <= exact + (2e-6 if exact < 1e-3 else 2e-4)
    assert histogram.percentile(1.0) == pytest.approx(max(values), abs=2e-4)
