"""One run, one process: a lock that a process holds while it runs something, and loses when it dies.

The locks are `flock`s on files in ``.locks`` beside the run folders. On one machine they hold between all
processes; between machines they hold where the file system carries them over (NFS 4, Lustre with `flock`).
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCKS = ".locks"
PAUSE_SECONDS = 0.1


@contextmanager
def claimed(folder: Path, patience_seconds: float = 0.0) -> Iterator[bool]:
    """Whether the run in ``folder`` is ours until the end of the block; False while another one has it.

    Raises `OSError` where the lock file cannot be made.
    """
    file = folder.parent / LOCKS / folder.name
    until = time.monotonic() + patience_seconds
    while (descriptor := _locked(file)) is None and time.monotonic() < until:
        time.sleep(PAUSE_SECONDS)
    if descriptor is None:
        yield False
        return
    try:
        yield True
    finally:
        with suppress(
            OSError
        ):  # while it is held: whoever opened it before sees that it is gone, and retries
            file.unlink()
        os.close(descriptor)
        with suppress(OSError):  # others hold locks
            file.parent.rmdir()


def _locked(file: Path) -> int | None:
    """A descriptor of ``file`` that holds its lock; None while another one holds it."""
    while True:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except FileExistsError:  # it was there, and somebody else has removed it before it was looked at
            if file.parent.exists() and not file.parent.is_dir():
                raise
            continue
        try:
            descriptor = os.open(file, os.O_CREAT | os.O_RDWR, 0o644)
        except FileNotFoundError:  # somebody else removed the folder just now
            continue
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        try:
            if file.stat().st_ino == os.fstat(descriptor).st_ino:
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)  # the file of an owner that is done
