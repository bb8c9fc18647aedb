"""A process that waits until its emulation's driver is gone, however it ends, and tidies up after it.

`python -m simnet.emulation.guard STATE` reads its standard input, of which the driver holds the other end: it
ends when the driver does. If the state file is still there then, what it names is removed.
"""

import os
import signal
import sys
from pathlib import Path

from simnet.emulation.state import read
from simnet.emulation.sweeping import sweep


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
