"""The mininet driver against the same closed forms, where the kernel can."""

from statistics import median

import pytest
from emulated_networks import CI, PAYLOAD, echoes, network, on, rate, receiving, said, star, transfer

from simnet.emulation.doctor import capabilities
from simnet.emulation.driver import EmulationError, LinkChange
from simnet.emulation.kernel import MininetDriver

pytestmark = pytest.mark.usefixtures("mininet_machine")


def test_bridges_carry_a_tree_at_its_rates() -> None:
    with MininetDriver() as driver:
        driver.up(star(3, "40 Mbps", "0 s"))
        driver.start()
        measured = rate(transfer(driver, "n0", "n2", 8_000_000))
        stats = driver.stats()
    assert measured == pytest.approx(5e6 * PAYLOAD, rel=CI)
    assert stats.link_bytes["hub->n2"] == pytest.approx(8_000_000 / PAYLOAD, rel=0.1)
    assert stats.link_bytes["hub->n1"] < 10_000


def test_hosts_route_where_there_are_loops() -> None:
    """The way over b is the faster one, and it is the one that is taken."""
    links = [
        {"between": ["a", "b"], "bandwidth": "40 Mbps"},
        {"between": ["b", "c"], "bandwidth": "40 Mbps"},
        {"between": ["a", "c"], "bandwidth": "5 Mbps"},
    ]
    explicit = {"kind": "explicit", "nodes": ["a", "b", "c"], "links": links}
    topology = network(explicit, {"bandwidth": "1 Mbps", "latency": "0 s"}, routing="bandwidth")
    assert topology.route("a", "c").hops == ("a", "b", "c")
    with MininetDriver() as driver:
        driver.up(topology)
        driver.start()
        assert rate(transfer(driver, "a", "c", 6_000_000)) == pytest.approx(5e6 * PAYLOAD, rel=CI)
        carried = driver.stats().link_bytes
        for _ in range(2):  # what is down forgets its routes
            driver.set_link("a", "b", LinkChange(up=False))
            assert echoes(driver, "a", "c", 2) == [None, None]
            driver.set_link("a", "b", LinkChange(up=True))
            assert None not in echoes(driver, "a", "c", 3)
    assert carried["b->c"] > 6_000_000
    assert carried["a->c"] < 10_000


def test_bandwidth_changes_while_it_runs() -> None:
    with MininetDriver() as driver:
        driver.up(star(2, "40 Mbps", "0 s"))
        receiver = receiving(driver, "n1")
        driver.set_link("n0", "hub", LinkChange(bandwidth=1.25e6))
        on(driver, "n0", "send", driver.hosts["n1"].address, 5000, 2_000_000)
        marks = [(at, count) for at, count in said(receiver)]
    assert rate(marks) == pytest.approx(1.25e6 * PAYLOAD, rel=CI)


def test_latency_is_netems_or_an_error_that_names_the_fabric() -> None:
    topology = star(2, "40 Mbps", "10 ms")
    (netem,) = capabilities(["netem"])
    with MininetDriver() as driver:
        if netem.available:
            driver.up(topology)
            trips = [trip for trip in echoes(driver, "n0", "n1") if trip is not None]
            assert median(trips) == pytest.approx(0.040, rel=CI)
        else:
            with pytest.raises(EmulationError, match=r"netem.*fabric driver can"):
                driver.up(topology)
            assert driver.hosts == {}


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ({"duplex": "half"}, "half-duplex"),
        ({"sharing": "fatpipe"}, "not shared"),
        ({"bandwidth": "2 Gbps"}, "1000 Mbit/s"),
    ],
)
def test_what_the_kernel_cannot_is_an_error(keys: dict[str, str], what: str) -> None:
    link = {"bandwidth": "10 Mbps", "latency": "0 s", **keys}
    with MininetDriver() as driver, pytest.raises(EmulationError, match=what):
        driver.up(network({"kind": "star", "nodes": 2}, link))
