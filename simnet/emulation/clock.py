"""SimPy's clock, kept to real time by asyncio."""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf

from simnet.network.clock import Clock


class RealTimeClock(Clock):
    """An environment whose `now` is the seconds since a common start, on the machine's monotonic clock.

    Events happen when their time has come: :meth:`serve` lets asyncio sleep until the next one. What comes
    from outside (a message, a finished computation) is put in by :meth:`inject`, at the time when it comes.
    Hosts of one emulation share a kernel, and so its monotonic clock: their times can be compared.

    Args:
        started: `time.monotonic()` at second 0; may lie in the future.
    """

    def __init__(self, started: float) -> None:
        super().__init__()
        self.started = started
        self.worst_lateness = 0.0
        """The longest that an event came after its time, in seconds."""
        self._changed: asyncio.Event | None = None
        self._error: BaseException | None = None

    @property
    def real_now(self) -> float:
        """Seconds since the start, now."""
        return time.monotonic() - self.started

    def inject(self, action: Callable[[], object]) -> None:
        """Do something now that no event of the clock has brought about, and let its events follow."""
        try:
            self._catch_up()
            action()
            self._catch_up()
        except BaseException as error:
            self._error = error
        if self._changed is not None:
            self._changed.set()

    async def serve(self, done: Callable[[], bool]) -> None:
        """Let events happen in real time until `done()`; it is asked after each instant's events.

        Raises what an event raised: the error of a coroutine that nobody awaits.
        """
        self._changed = asyncio.Event()
        while not done():
            self._changed.clear()
            wait = self.peek() - self.real_now
            if wait > 0:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), None if wait == inf else wait)
            else:
                await asyncio.sleep(0)  # sockets have their turn between the events of a busy instant
            if self._error is not None:
                raise self._error
            self._catch_up()

    def _catch_up(self) -> None:
        """Process what is due, and move `now` to the present."""
        present = self.real_now
        while (due := self.peek()) <= present:
            self.worst_lateness = max(self.worst_lateness, present - due)
            self.step()
        if present > self._now:
            self._now = present
