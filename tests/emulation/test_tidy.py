"""Nothing is left of an emulation, however it ends, and two of them do not meet."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from emulated_networks import echoes, on, receiving, said, star, transfer
from typer.testing import CliRunner

from simnet.cli.main import app
from simnet.emulation import processes
from simnet.emulation.fabric import FabricDriver
from simnet.emulation.kernel import MininetDriver
from simnet.emulation.state import State, states

pytestmark = pytest.mark.usefixtures("fabric_machine")

_OWNER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # also where tests run in the background
sys.path.insert(0, {folder!r})
from emulated_networks import star
from simnet.emulation.{module} import {driver}
driver = {driver}()
try:
    driver.up(star(2, "20 Mbps", "0 s"))
    driver.popen("n0", ["sh", "-c", "sleep 600 & setsid sleep 600 & wait"])
    driver.popen(None, ["sleep", "600"])
    print(driver.state.mark, flush=True)
    time.sleep(600)
finally:
    driver.down()
"""


def _owner(module: str, driver: str) -> "subprocess.Popen[str]":
    code = _OWNER.format(folder=str(Path(__file__).parent), module=module, driver=driver)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def _mark(owner: "subprocess.Popen[str]") -> str:
    assert owner.stdout is not None
    return owner.stdout.readline().strip()


def _soon(what: Callable[[], bool], seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return what()


def _gone(mark: str) -> bool:
    return not processes.marked(mark) and all(state.mark != mark for state in states())


def _devices() -> set[str]:
    return set(os.listdir("/sys/class/net"))  # noqa: PTH208


@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize(("module", "driver"), [("fabric", "FabricDriver"), ("kernel", "MininetDriver")])
def test_nothing_is_left_when_the_driver_is_killed(
    module: str, driver: str, signal_: signal.Signals, request: pytest.FixtureRequest
) -> None:
    if module == "kernel":
        request.getfixturevalue("_missing")["mininet"] and pytest.skip("the mininet driver cannot run")
    before = _devices()
    with _owner(module, driver) as owner:
        mark = _mark(owner)
        assert len(processes.marked(mark)) >= 7  # two shells, a guard, and what was started
        owner.send_signal(signal_)
        owner.wait()
    assert _soon(lambda: _gone(mark))
    assert _devices() == before


def test_clean_removes_what_guard_and_driver_left_and_nothing_else() -> None:
    with _owner("fabric", "FabricDriver") as owner, FabricDriver() as other:
        other.up(star(2))
        mark = _mark(owner)
        (state,) = [state for state in states() if state.mark == mark]
        guard = next(process for process in state.processes if process.what == "guard")
        os.kill(guard.pid, signal.SIGKILL)
        owner.kill()
        owner.wait()
        assert _soon(lambda: not state.owner.alive)
        assert processes.marked(mark)  # what the shell put into sessions of their own
        said_ = CliRunner().invoke(app, ["clean"])
        assert said_.exit_code == 0
        assert f"{mark}: removed" in said_.output
        assert f"{other.state.mark}: runs as process {os.getpid()}, left alone" in said_.output
        assert _gone(mark)
        assert None not in echoes(other, "n0", "n1", 3)


def test_a_pid_that_is_used_again_is_not_killed() -> None:
    """A state file names this very process, but as one that started at another time."""
    this = processes.known(os.getpid())
    gone = processes.Known(this.pid, this.started - 1, "driver")
    state = State("0123456789abcdef", "fabric", gone, (gone,)).write()
    result = CliRunner().invoke(app, ["clean"])
    assert "0123456789abcdef: removed 0 processes" in result.output
    assert not state.path.exists()


def test_two_emulations_at_once_do_not_meet() -> None:
    """The same addresses and ports in both, and each has its own."""
    with FabricDriver() as one, FabricDriver() as two:
        one.up(star(2))
        two.up(star(2))
        assert one.hosts["n0"].address == two.hosts["n0"].address
        assert one.state.prefix != two.state.prefix
        first, second = receiving(one, "n1"), receiving(two, "n1")
        on(one, "n0", "send", one.hosts["n1"].address, 5000, 1000)
        on(two, "n0", "send", two.hosts["n1"].address, 5000, 2000)
        assert said(first)[-1][1] == 1000
        assert said(second)[-1][1] == 2000
        one.down()
        assert None not in echoes(two, "n0", "n1", 3)


@pytest.mark.usefixtures("mininet_machine_too")
def test_both_drivers_at_once() -> None:
    with FabricDriver() as one, MininetDriver() as two:
        one.up(star(2, "20 Mbps", "0 s"))
        two.up(star(2, "20 Mbps", "0 s"))
        for driver in (one, two):
            assert transfer(driver, "n0", "n1", 100_000)[-1][1] == 100_000


@pytest.fixture
def mininet_machine_too(_missing: dict[str, str]) -> None:
    if _missing["mininet"]:
        pytest.skip(f"the mininet driver needs {_missing['mininet']}: see simnet doctor")


def test_a_failed_start_leaves_nothing() -> None:
    from simnet.emulation.driver import DriverOptions

    before = {state.mark for state in states()}
    with pytest.raises(Exception, match="no-such-control"):
        FabricDriver(DriverOptions(congestion_control="no-such-control")).up(star(2))
    assert {state.mark for state in states()} == before


def test_hosts_are_set_up_as_documented() -> None:
    with FabricDriver() as driver:
        driver.up(star(2))
        read = "import json; print(json.dumps([open('/proc/sys/net/ipv4/'+k).read().strip() for k in "
        read += (
            "('tcp_congestion_control', 'tcp_slow_start_after_idle')] + [open('/proc/net/if_inet6').read()]))"
        )
        process = driver.popen("n0", [sys.executable, "-S", "-c", read], stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == ["reno", "0", ""]
        assert not driver.hosts["n0"].address.startswith("10.")
        assert driver.hosts["n0"].interface == "sim0"
        assert "sim0" not in _devices()
