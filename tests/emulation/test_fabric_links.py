"""The fabric against closed forms: rates, delays, several hops, loss, jitter, queues."""

from math import sqrt
from pathlib import Path
from statistics import median

import pytest
from emulated_networks import CI, PAYLOAD, echoes, line, network, on, rate, receiving, said, star, transfer

from simnet.emulation.driver import DriverOptions
from simnet.emulation.fabric import FabricDriver
from simnet.emulation.namespaces import inside
from simnet.emulation.wiring import wiring_of

pytestmark = pytest.mark.usefixtures("fabric_machine")


def test_a_transfer_goes_at_the_links_rate_less_headers() -> None:
    with FabricDriver() as driver:
        driver.up(star(2, "40 Mbps"))
        driver.start()
        measured = rate(transfer(driver, "n0", "n1", 8_000_000))
        stats = driver.stats()
    assert measured == pytest.approx(5e6 * PAYLOAD, rel=CI)
    assert measured < 5e6 * PAYLOAD * 1.01
    # What the link says it carried is the payload with its headers and nothing else.
    assert stats.link_bytes["n0->hub"] == pytest.approx(8_000_000 / PAYLOAD, rel=0.01)
    assert stats.queue_drops == stats.other_drops == stats.lost == 0


def test_hosts_are_told_how_long_trains_may_be() -> None:
    topology = star(2, "50 Mbps")
    sending = wiring_of(topology, topology.workers).sending()
    with FabricDriver() as driver:
        driver.up(topology)
        for host in driver.hosts.values():
            with inside(host.pid):
                file = Path("/proc/sys/net/ipv4/tcp_tso_rtt_log")
                if not file.exists():
                    pytest.skip("this kernel has no tcp_tso_rtt_log")
                assert int(file.read_text()) == sending[host.name].train_shift


def test_efficiency_is_left_to_real_headers() -> None:
    """A link of which the simulator counts 80 % is the same wire."""
    link = {"bandwidth": "40 Mbps", "latency": "1 ms", "efficiency": 0.8}
    with FabricDriver() as driver:
        driver.up(network({"kind": "star", "nodes": 2}, link))
        assert rate(transfer(driver, "n0", "n1", 6_000_000)) == pytest.approx(5e6 * PAYLOAD, rel=CI)


def test_a_round_trip_takes_the_latencies_of_its_hops() -> None:
    """A line of four: three hops there and back; and of two ways the simulator's."""
    with FabricDriver() as driver:
        topology = line(4, {"bandwidth": "100 Mbps", "latency": "8 ms"})
        driver.up(topology)
        trips = [trip for trip in echoes(driver, "n0", "n3") if trip is not None]
    assert len(trips) == 20
    assert min(trips) >= topology.route("n0", "n3").rtt
    assert median(trips) == pytest.approx(topology.route("n0", "n3").rtt, rel=CI)


def test_packets_take_the_simulators_routes_through_a_graph_with_loops() -> None:
    links = [
        {"between": ["a", "b"], "latency": "5 ms"},
        {"between": ["b", "c"], "latency": "5 ms"},
        {"between": ["a", "c"], "latency": "40 ms"},
    ]
    explicit = {"kind": "explicit", "nodes": ["a", "b", "c"], "links": links}
    with FabricDriver() as driver:
        topology = network(explicit, {"bandwidth": "100 Mbps", "latency": "1 ms"})
        driver.up(topology)
        trips = [trip for trip in echoes(driver, "a", "c") if trip is not None]
        carried = driver.stats().link_bytes
    assert topology.route("a", "c").hops == ("a", "b", "c")
    assert median(trips) == pytest.approx(0.020, rel=CI)
    assert carried["a->b"] > 0
    assert carried["a->c"] == 0


def test_two_transfers_share_a_link() -> None:
    """Both end at the same server: together they get its link, and neither gets much more than half."""
    with FabricDriver() as driver:
        driver.up(star(3, "40 Mbps"))
        receivers = [receiving(driver, "n0", port) for port in (5001, 5002)]
        address = driver.hosts["n0"].address
        for index, source in enumerate(("n1", "n2")):
            on(driver, source, "send", address, 5001 + index, 5_000_000)
        marks = [said(receiver) for receiver in receivers]
    begin = max(mark[0][0] for mark in marks) + 0.3
    end = min(mark[-1][0] for mark in marks)
    got = [_between(mark, begin, end) for mark in marks]
    assert sum(got) / (end - begin) == pytest.approx(5e6 * PAYLOAD, rel=CI)
    assert max(got) < 0.75 * sum(got)


def _between(marks: list[list[float]], begin: float, end: float) -> float:
    inside = [count for at, count in marks if begin <= at <= end]
    return inside[-1] - inside[0]


def test_a_half_duplex_link_has_one_rate_for_both_directions() -> None:
    link = {"bandwidth": "40 Mbps", "latency": "2 ms", "duplex": "half"}
    with FabricDriver() as driver:
        driver.up(line(2, link))
        receivers = {host: receiving(driver, host) for host in ("n0", "n1")}
        for source, target in (("n0", "n1"), ("n1", "n0")):
            on(driver, source, "send", driver.hosts[target].address, 5000, 3_000_000)
        marks = [said(receiver) for receiver in receivers.values()]
    seconds = max(mark[-1][0] for mark in marks) - min(mark[0][0] for mark in marks)
    # Twice that long than with a direction each; the link's acknowledgements come on top.
    assert seconds == pytest.approx(6_000_000 / (5e6 * PAYLOAD), rel=CI)


def test_connections_do_not_share_a_fatpipe() -> None:
    link = {"bandwidth": "20 Mbps", "latency": "2 ms", "sharing": "fatpipe"}
    with FabricDriver() as driver:
        driver.up(line(2, link))
        receivers = [receiving(driver, "n1", port) for port in (5001, 5002)]
        for port in (5001, 5002):
            on(driver, "n0", "send", driver.hosts["n1"].address, port, 2_500_000)
        rates = [rate([tuple(mark) for mark in said(receiver)]) for receiver in receivers]
    assert rates == pytest.approx([2.5e6 * PAYLOAD] * 2, rel=CI)


def test_links_lose_the_share_that_they_are_to_lose() -> None:
    count, share = 1500, 0.1
    link = {"bandwidth": "100 Mbps", "latency": "1 ms", "loss": share}
    keys = {"model": {"loss": "reno"}}
    with FabricDriver(seed=1) as driver:
        driver.up(line(2, link, **keys))
        driver.start()
        counter = on(driver, "n1", "count", driver.hosts["n1"].address, 6000, 0.5)
        assert said(counter) == "ready"
        on(driver, "n0", "blast", driver.hosts["n1"].address, 6000, count, 100).wait()
        arrived = said(counter)
        stats = driver.stats()
    assert stats.lost == count - arrived
    assert stats.segmentation_offload is False
    assert abs(stats.lost / count - share) < 4 * sqrt(share * (1 - share) / count)


def test_full_queues_drop_and_say_so() -> None:
    """A queue holds two trains at least; of 500 kB at once to a link of 1 Mbit/s that is what arrives."""
    with FabricDriver(DriverOptions(queue=0.1)) as driver:
        driver.up(line(2, {"bandwidth": "2 Mbps", "latency": "1 ms"}))
        driver.start()
        counter = on(driver, "n1", "count", driver.hosts["n1"].address, 6000, 0.5)
        assert said(counter) == "ready"
        on(driver, "n0", "blast", driver.hosts["n1"].address, 6000, 500, 1000).wait()
        arrived = said(counter)
        stats = driver.stats()
    assert arrived + stats.queue_drops == 500
    assert stats.link_drops == {"n0->n1": stats.queue_drops}
    assert arrived == pytest.approx(2 * 65_536 / 1042, rel=CI)


def test_jitter_delays_and_keeps_the_order() -> None:
    link = {"bandwidth": "100 Mbps", "latency": "5 ms", "jitter": {"kind": "uniform", "high": "20 ms"}}
    with FabricDriver() as driver:
        driver.up(line(2, link))
        trips = [trip for trip in echoes(driver, "n0", "n1", 60, 0.03) if trip is not None]
    assert len(trips) == 60
    assert min(trips) >= 0.010
    # Two uniform delays of up to 20 ms on top of 10 ms: 30 ms on average.
    assert sum(trips) / len(trips) == pytest.approx(0.030, rel=CI)
