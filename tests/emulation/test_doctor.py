"""What the doctor says, and what an emulation says that lacks something."""

import json
import os
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from simnet.cli.main import app, exit_code
from simnet.emulation import doctor
from simnet.emulation.driver import EmulationError, WireStats, open_driver
from simnet.emulation.fidelity import FidelityMonitor, reasons


def test_everything_is_looked_for_and_nothing_is_left() -> None:
    before = set(os.listdir("/sys/class/net"))  # noqa: PTH208
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0
    found = {entry["name"]: entry for entry in json.loads(result.stdout)}
    wanted = ("root", "namespaces", "TUN", "netem", "htb", "SCHED_FIFO", "mininet", "mnexec", "CUDA", "ray")
    assert {*wanted, "Open vSwitch", "cgroups v1", "cgroups v2"} <= set(found)
    assert all(entry["enables"] and entry["remedy"] for entry in found.values())
    assert found["numba"]["available"]  # simnet depends on it
    assert found["root"]["available"] == (os.geteuid() == 0)
    assert set(os.listdir("/sys/class/net")) == before  # noqa: PTH208


def test_the_table_says_which_driver_can_run() -> None:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0
    assert "fabric driver: can" in result.stdout


def test_what_is_missing_ends_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    probes = tuple(
        replace(probe, look=lambda: (False, "not here")) if probe.name == "TUN" else probe
        for probe in doctor.PROBES
    )
    monkeypatch.setattr(doctor, "PROBES", probes)
    assert "TUN" in [capability.name for capability in doctor.missing_for("fabric")]
    assert "TUN" not in [capability.name for capability in doctor.missing_for("mininet")]
    with pytest.raises(
        EmulationError, match=r"(?s)fabric driver cannot run.*TUN.*not here.*modprobe tun"
    ) as caught:
        open_driver("fabric")
    assert exit_code(caught.value) == 2


GOOD = WireStats(10.0, True, True, 5e-5, 2e-4, 1e-3, 0.2, 0.3, packets=1000)


@pytest.mark.parametrize(
    ("stats", "latency", "word"),
    [
        (GOOD, 5e-3, None),
        (GOOD, None, None),
        (GOOD, 1e-3, "late"),
        (replace(GOOD, lateness_p99=2e-3), 0.1, "late"),
        (replace(GOOD, cpu_share_max=0.8), 0.1, "busiest"),
        (replace(GOOD, realtime=False), 0.1, "priority"),
        (replace(GOOD, queue_drops=1, link_drops={"a->b": 1}), 0.1, "a->b"),
        (replace(GOOD, other_drops=1), 0.1, "no link lost"),
        (replace(GOOD, past_horizon=True), 0.1, "longer"),
        (WireStats(1.0), 0.1, None),
    ],
)
def test_an_emulation_is_valid_unless_something_speaks_against_it(
    stats: WireStats, latency: float | None, word: str | None
) -> None:
    found = reasons(replace(stats, lateness_p99=stats.lateness_p99), ("reno",), latency)
    assert [word in reason for reason in found] == ([] if word is None else [True])
    assert any("bbr" in reason for reason in reasons(stats, ("bbr",), latency))


@pytest.mark.usefixtures("fabric_machine")
def test_a_real_emulation_is_reported() -> None:
    from emulated_networks import star, transfer

    from simnet.emulation.fabric import FabricDriver

    topology = star(2, "20 Mbps", "10 ms")
    with FabricDriver() as driver:
        driver.up(topology)
        monitor = FidelityMonitor(driver, topology)
        driver.start()
        monitor.begin()
        transfer(driver, "n0", "n1", 1_000_000)
        report = monitor.report()
    assert report.congestion_control == ("reno",)
    assert report.hosts_per_core == 2 / (os.cpu_count() or 1)
    assert 0 <= report.steal <= 1
    assert 0 < report.busy <= 1
    assert report.wire.packets > 0
    assert report.retransmits >= 0
    assert json.loads(json.dumps(report.as_dict()))["valid"] == report.valid
