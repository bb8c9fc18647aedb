"""Processes that do not outlive their emulation: how they are started, recognised and ended.

A process is known by its pid and the time it started, since pids are used again; and by a mark in its
environment, which its own children inherit.
"""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MARK = "SIMNET_EMULATION"
"""The environment variable that names the emulation a process belongs to."""
EARLY = -15
"""The niceness of emulated hosts."""
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Known:
    """A process that is surely this one and no later one of the same pid."""

    pid: int
    started: int
    """In clock ticks since the machine booted (`/proc/<pid>/stat`, field 22)."""
    what: str = ""

    @property
    def alive(self) -> bool:
        """Whether it runs; a process that has ended and was not waited for does not."""
        return started_at(self.pid) == self.started


def started_at(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is none, or if it only waits to be
    reaped."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def known(pid: int, what: str = "") -> Known:
    """A process that runs now. Raises `ProcessLookupError` if there is none."""
    started = started_at(pid)
    if started is None:
        raise ProcessLookupError(f"there is no process {pid}")
    return Known(pid, started, what)


def die_with_parent(parent: int | None = None) -> None:
    """Have this process killed when the thread that made it ends.

    To be called in the child after a fork; the setting survives `exec`, but is not handed on to children.
    `parent` is the pid that the parent had: if it is gone already, this process ends at once.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if parent is not None and os.getppid() != parent:
        os._exit(1)


def before_others() -> None:
    """Have this process, and what it forks, computed before other work of this machine, where allowed.

    An emulated host whose messages wait for someone else's computation is no host with a core of its own.
    """
    with suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, EARLY)


def start(
    argv: Sequence[str], mark: str, env: Mapping[str, str] | None = None, session: bool = True, **options: Any
) -> "subprocess.Popen[Any]":
    """Start a process that dies with this thread and bears the mark; by default in a session of its own."""
    parent = os.getpid()
    return subprocess.Popen(
        argv,
        env={**os.environ, **(env or {}), MARK: mark},
        start_new_session=session,
        preexec_fn=lambda: die_with_parent(parent),
        **options,
    )


def marked(mark: str) -> list[Known]:
    """All processes of this machine that bear the mark, apart from this one."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 - thousands of entries, names are enough
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            environment = Path(f"/proc/{entry}/environ").read_bytes()
            if wanted in environment.split(b"\0"):
                found.append(known(int(entry)))
        except OSError:
            continue  # it has ended meanwhile, or belongs to someone else
    return found


def kill(processes: Iterable[Known], patience: float = 2.0) -> list[Known]:
    """Send SIGKILL to those of them that still run, and wait until they are gone; gives those that stay."""
    remaining = [process for process in processes if process.alive]
    for process in remaining:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    deadline = time.monotonic() + patience
    while remaining and time.monotonic() < deadline:
        remaining = [process for process in remaining if process.alive]
        if remaining:
            time.sleep(0.005)
    return remaining


def module_environment() -> dict[str, str]:
    """This process's environment, with which another Python finds the same simnet."""
    here = str(Path(__file__).parents[2])
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{others}" if others else here}
