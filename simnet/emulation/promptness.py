"""How the fabric comes to act on time: a precise timer, and a priority before all else."""

import ctypes
import os
import time
from math import inf

_PR_SET_TIMERSLACK = 29
_MCL_CURRENT_AND_FUTURE = 3
_TFD_TIMER_ABSTIME = 1
_libc = ctypes.CDLL(None, use_errno=True)


class Timer:
    """A timerfd on the clock of `time.monotonic()`: epoll's own timeout counts milliseconds."""

    def __init__(self) -> None:
        self.descriptor = _libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK)
        if self.descriptor < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        self._setting = (ctypes.c_long * 4)()
        self._reference = ctypes.byref(self._setting)
        self._at = inf

    def ring_at(self, instant: float) -> None:
        """Become readable at an instant; an earlier setting no longer counts."""
        if instant == self._at:
            return
        self._at = instant
        seconds = 0 if instant == inf else int(instant)
        self._setting[2] = seconds
        self._setting[3] = 0 if instant == inf else max(1, int((instant - seconds) * 1e9))
        _libc.timerfd_settime(self.descriptor, _TFD_TIMER_ABSTIME, self._reference, None)

    def rang(self) -> None:
        """It has become readable, and is to be set anew."""
        os.read(self.descriptor, 8)
        self._at = inf


def ask_for_realtime() -> bool:
    """Ask to run before all else; whether that is granted."""
    _libc.prctl(_PR_SET_TIMERSLACK, 1, 0, 0, 0)
    _libc.mlockall(_MCL_CURRENT_AND_FUTURE)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        return False
    return True
