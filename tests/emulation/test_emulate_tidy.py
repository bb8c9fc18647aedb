"""Nothing is left of `simnet emulate`, however it ends, and it ends in a message where a host fails."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from simnet.emulation import processes
from simnet.emulation.state import State, states

pytestmark = pytest.mark.usefixtures("fabric_machine")

_LONG = """
name: long
threads: 1
network:
  topology: {kind: star, nodes: 3}
  link: {bandwidth: 20 Mbps, latency: 5 ms}
workers: {count: 3, device: cpu}
task:
  name: classification
  dataset: digits
  model: {name: mlp, hidden: [16]}
  batch_size: 16
  optimizer: {name: sgd, lr: 0.1}
algorithms: [allreduce]
stop: {steps: 1000000, time: 10 min}
"""


class Emulation:
    """`simnet emulate` as its own process, in a folder for temporary files of its own."""

    def __init__(self, folder: Path, driver: str) -> None:
        (folder / "long.yaml").write_text(_LONG)
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        argv = [
            "emulate",
            str(folder / "long.yaml"),
            "--driver",
            driver,
            "--results",
            str(folder / "results"),
        ]
        code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        code += "from simnet.cli.main import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *argv],
            env={**processes.module_environment(), "TMPDIR": str(self.temporary)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert soon(lambda: bool(self.states()), 20), self.process.poll()
        (self.state,) = self.states()

    def states(self) -> list[State]:
        """Its own; others may run on this machine."""
        return [state for state in states() if state.owner.pid == self.pid]

    def workers(self) -> list[int]:
        """The processes of hosts: children of the zygote."""
        marked = {process.pid for process in processes.marked(self.state.mark)}
        zygotes = {
            pid for pid in marked if b"simnet.emulation.zygote" in command(pid) and parent(pid) == self.pid
        }
        return [pid for pid in marked if parent(pid) in zygotes]

    @property
    def pid(self) -> int:
        return self.process.pid

    def runs(self) -> None:
        """Return once all hosts train."""
        if not soon(lambda: len(self.workers()) == 3, 40):
            self.process.kill()
            raise AssertionError(self.process.communicate()[1])
        time.sleep(2.0)

    def left(self) -> list[object]:
        there: list[object] = [state for state in states() if state.mark == self.state.mark]
        return [*there, *processes.marked(self.state.mark), *self.temporary.iterdir()]


def command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def soon(what: Callable[[], bool], seconds: float = 8.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.05)
    return what()


@pytest.mark.parametrize("driver", ["fabric", "loopback"])
@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_when_it_is_killed(tmp_path: Path, driver: str, signal_: signal.Signals) -> None:
    devices = os.listdir("/sys/class/net")  # noqa: PTH208
    emulation = Emulation(tmp_path, driver)
    emulation.runs()
    assert emulation.left()
    emulation.process.send_signal(signal_)
    said = emulation.process.communicate(timeout=30)[1]
    assert emulation.process.returncode == (-signal.SIGKILL if signal_ == signal.SIGKILL else 130), said
    assert soon(lambda: not emulation.left()), emulation.left()
    assert os.listdir("/sys/class/net") == devices  # noqa: PTH208
    assert not list((tmp_path / "results").rglob("manifest.json"))


@pytest.mark.parametrize("driver", ["fabric", "loopback"])
def test_a_killed_worker_ends_the_run_with_one_message(tmp_path: Path, driver: str) -> None:
    emulation = Emulation(tmp_path, driver)
    emulation.runs()
    os.kill(emulation.workers()[0], signal.SIGKILL)
    said = emulation.process.communicate(timeout=30)[1]
    assert emulation.process.returncode == 2
    assert "Traceback" not in said
    (error,) = [line for line in said.splitlines() if line.startswith("error:")]
    (cause,) = [line for line in said.splitlines() if line.endswith("its process was killed by SIGKILL")]
    assert error == f"error: the process of {cause.partition(':')[0]} ended before the run did:"
    assert soon(lambda: not emulation.left()), emulation.left()


def test_a_state_file_of_an_earlier_release_is_read() -> None:
    """It knew no folders."""
    state = State.new("fabric").write()
    told = json.loads(state.path.read_text())
    del told["folders"]
    state.path.write_text(json.dumps(told))
    try:
        (again,) = [one for one in states() if one.mark == state.mark]
        assert again.folders == ()
    finally:
        state.forget()
