"""A process that waits until its emulation's driver is gone, however it ends, and tidies up after it.

`python -m simnet.emulation.guard STATE` reads its standard input, of which the driver holds the other end: it
ends when the driver does. If the state file is still there then, what it names is removed.
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

from simnet.emulation import processes
from simnet.emulation.processes import Known
from simnet.emulation.state import State, read
from simnet.emulation.sweeping import sweep


def guarded(state: State) -> "tuple[State, subprocess.Popen[bytes]]":
    """The state with a guard that is started for it; it outlives this process by as long as it takes."""
    guard = subprocess.Popen(
        [sys.executable, "-m", "simnet.emulation.guard", str(state.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**processes.module_environment(), processes.MARK: state.mark},
        start_new_session=True,
    )
    return state.grown(Known(guard.pid, processes.started_at(guard.pid) or 0, "guard")), guard


def main() -> None:
    """Wait for the end of standard input, then sweep."""
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    path = Path(sys.argv[1])
    if path.exists():
        sweep(read(path), spare=(os.getpid(),))


if __name__ == "__main__":
    main()
