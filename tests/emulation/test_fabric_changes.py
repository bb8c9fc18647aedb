"""Links that change while packets are on them, hosts that fail, and what is not possible."""

import time

import pytest
from emulated_networks import CI, PAYLOAD, echoes, network, on, receiving, said, star

from simnet.emulation.driver import DriverOptions, EmulationError, LinkChange
from simnet.emulation.fabric import FabricDriver

pytestmark = pytest.mark.usefixtures("fabric_machine")


def _slope(marks: list[list[float]], begin: float, end: float) -> float:
    inside = [(at, count) for at, count in marks if begin <= at <= end]
    return (inside[-1][1] - inside[0][1]) / (inside[-1][0] - inside[0][0])


def test_a_link_has_another_rate_from_an_instant_on() -> None:
    with FabricDriver() as driver:
        driver.up(star(2, "40 Mbps"))
        receiver = receiving(driver, "n1")
        driver.start()
        on(driver, "n0", "send", driver.hosts["n1"].address, 5000, 7_000_000)
        change = time.monotonic() + 1.0
        driver.set_link("n0", "hub", LinkChange(bandwidth=1.25e6), at=change)
        marks = said(receiver)
    assert _slope(marks, change - 0.5, change) == pytest.approx(5e6 * PAYLOAD, rel=CI)
    # Also what was queued before the change goes at the new rate.
    assert _slope(marks, change + 0.05, change + 1.5) == pytest.approx(1.25e6 * PAYLOAD, rel=CI)


def test_the_scenarios_events_happen_from_the_start_on() -> None:
    event = {"at": "1 s", "link": "n0->hub", "bandwidth": "10 Mbps"}
    with FabricDriver() as driver:
        driver.up(star(2, "40 Mbps", events=[event]))
        receiver = receiving(driver, "n1")
        begin = driver.start()
        on(driver, "n0", "send", driver.hosts["n1"].address, 5000, 6_000_000)
        marks = said(receiver)
    assert _slope(marks, begin + 0.5, begin + 1.0) == pytest.approx(5e6 * PAYLOAD, rel=CI)
    assert _slope(marks, begin + 1.05, begin + 2.0) == pytest.approx(1.25e6 * PAYLOAD, rel=CI)


def test_nothing_passes_a_link_that_is_down_and_nothing_is_lost() -> None:
    with FabricDriver() as driver:
        driver.up(star(2, "40 Mbps"))
        receiver = receiving(driver, "n1")
        driver.start()
        on(driver, "n0", "send", driver.hosts["n1"].address, 5000, 6_000_000)
        down = time.monotonic() + 0.6
        driver.set_link("hub", "n1", LinkChange(up=False), at=down)
        driver.set_link("hub", "n1", LinkChange(up=True), at=down + 0.5)
        marks = said(receiver)
        stats = driver.stats()
    assert marks[-1][1] == 6_000_000
    assert not [at for at, _ in marks if down + 0.05 < at < down + 0.5]
    assert stats.queue_drops == stats.lost == 0


def test_latency_and_loss_change_too() -> None:
    with FabricDriver() as driver:
        driver.up(star(2, "40 Mbps"))
        driver.set_link("n0", "hub", LinkChange(latency=0.045))
        later = [trip for trip in echoes(driver, "n0", "n1") if trip is not None]
        driver.set_link("n0", "hub", LinkChange(loss=1.0))
        assert echoes(driver, "n0", "n1", 5) == [None] * 5
    assert sum(later) / len(later) == pytest.approx(0.060, rel=CI)


def test_routes_avoid_a_failed_link_where_the_scenario_says_so() -> None:
    links = [
        {"between": ["a", "b"], "latency": "5 ms"},
        {"between": ["b", "c"], "latency": "5 ms"},
        {"between": ["a", "c"], "latency": "30 ms"},
    ]
    explicit = {"kind": "explicit", "nodes": ["a", "b", "c"], "links": links}
    with FabricDriver() as driver:
        driver.up(network(explicit, {"bandwidth": "100 Mbps", "latency": "1 ms"}, rerouting=True))
        for a, b in (("a", "b"), ("b", "a")):
            driver.set_link(a, b, LinkChange(up=False))
        trips = [trip for trip in echoes(driver, "a", "c") if trip is not None]
    assert sum(trips) / len(trips) == pytest.approx(0.060, rel=CI)


@pytest.mark.parametrize("silent", [False, True])
def test_peers_of_a_crashed_host_notice_unless_it_is_silent(silent: bool) -> None:
    with FabricDriver() as driver:
        driver.up(star(2))
        receiving(driver, "n1")
        peer = on(driver, "n0", "hold", driver.hosts["n1"].address, 5000)
        assert said(peer) == "ready"
        driver.crash("n1", silent=silent)
        if silent:
            time.sleep(0.3)
            assert peer.poll() is None
            driver.revive("n1")
            assert None not in echoes(driver, "n0", "n1", 3)
        else:
            assert said(peer) == "gone"


def test_what_is_not_there_is_an_error() -> None:
    with FabricDriver(DriverOptions(realtime=False)) as driver:
        with pytest.raises(EmulationError, match="not up"):
            driver.start()
        with pytest.raises(EmulationError, match="nobody"):
            driver.up(star(2), ["nobody"])
        driver.up(star(2))
        with pytest.raises(EmulationError, match="up already"):
            driver.up(star(2))
        with pytest.raises(KeyError, match="no link from n0 to n1"):
            driver.set_link("n0", "n1", LinkChange(up=False))
        with pytest.raises(KeyError):
            driver.popen("nobody", ["true"])
        assert driver.stats().realtime is False
