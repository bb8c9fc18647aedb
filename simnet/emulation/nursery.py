"""The driver's side of the zygote: it is started early, and told what to build and whom to fork."""

import json
import subprocess
import sys
import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

from simnet.emulation import processes
from simnet.emulation.driver import Driver, EmulationError
from simnet.emulation.guard import guarded
from simnet.emulation.processes import module_environment
from simnet.emulation.state import State
from simnet.emulation.zygote import COMMAND, Build
from simnet.plan import Plan


class Nursery:
    """A zygote for the hosts of several runs, one after the other; a context manager.

    Made before the network is up it takes no time of its own: the zygote imports torch, and builds the first
    run where :meth:`build` says so, while the driver makes the network.

    Args:
        driver: Which has its network up before hosts are born. None: all processes are on this machine's
            loopback, unshaped.
    """

    def __init__(self, driver: Driver | None) -> None:
        self.driver = driver
        self._folder = tempfile.TemporaryDirectory(prefix="simnet-")
        self.folder = Path(self._folder.name)
        """For what belongs to these runs; removed with them, also where this process is killed."""
        argv = [sys.executable, "-c", COMMAND]
        environment = {**module_environment(), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._log = (self.folder / "log").open("wb")
        self._guard: subprocess.Popen[bytes] | None = None
        self._state: State | None = None
        self._built: Plan | None = None
        if driver is None:
            state, self._guard = guarded(State.new("loopback").write())
            self._state = state.grown(folders=(str(self.folder),))
            start = partial(processes.start, mark=state.mark)
        else:
            driver.begin()
            driver.own_folder(self.folder)
            start = partial(driver.popen, None)
        self.zygote: subprocess.Popen[bytes] = start(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment
        )

    def build(self, plan: Plan) -> None:
        """Have the zygote build a run, unless it is the last that it was told to."""
        if self._built is not plan:
            self._built = plan
            self.tell(Build.of(plan, Path(tempfile.mkdtemp(prefix="files-", dir=self.folder))).to_json())

    def tell(self, line: str) -> None:
        """Give the zygote a line."""
        assert self.zygote.stdin is not None
        try:
            self.zygote.stdin.write(line.encode() + b"\n")
            self.zygote.stdin.flush()
        except BrokenPipeError:
            raise EmulationError(f"the hosts' processes ended:\n{self.said}") from None

    def end(self) -> None:
        """Kill the hosts of a run that nobody wants any more."""
        with suppress(EmulationError):
            self.tell(json.dumps({"end": True}))

    def ended(self) -> int:
        """Wait for the hosts of a run to end; the worst of their exit statuses."""
        assert self.zygote.stdout is not None
        line = self.zygote.stdout.readline()
        return int(json.loads(line)["status"]) if line else 1

    @property
    def said(self) -> str:
        """The last lines of what the processes said, for an error."""
        return "\n".join((self.folder / "log").read_text(errors="replace").strip().splitlines()[-12:])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.zygote.stdin is not None
        with suppress(BrokenPipeError):
            self.zygote.stdin.close()
        try:
            self.zygote.wait(5)
        except subprocess.TimeoutExpired:
            self.zygote.kill()  # and with it its children
            self.zygote.wait()
        self._log.close()
        self._folder.cleanup()
        if self._state is not None:
            self._state.forget()
        if self._guard is not None and self._guard.stdin is not None:
            self._guard.stdin.close()
            self._guard.wait()
