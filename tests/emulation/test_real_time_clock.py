"""SimPy's clock in real time: events come at their time, what comes from outside is put in between."""

import asyncio
import time
from collections.abc import Generator

import pytest
import simpy

from simnet.emulation.clock import RealTimeClock


def test_events_come_at_their_times_and_not_before() -> None:
    clock = RealTimeClock(time.monotonic())
    seen: list[tuple[float, float]] = []

    def ticking() -> Generator[simpy.Event, None, None]:
        for _ in range(4):
            yield clock.timeout(0.02)
            seen.append((clock.now, clock.real_now))

    process = clock.process(ticking())
    asyncio.run(asyncio.wait_for(clock.serve(lambda: process.triggered), 5))
    assert [now for now, _ in seen] == pytest.approx([0.02, 0.04, 0.06, 0.08], abs=1e-12)
    assert all(real >= now for now, real in seen)
    assert 0 <= clock.worst_lateness < 1


def test_what_is_injected_happens_at_the_present() -> None:
    clock = RealTimeClock(time.monotonic())
    event = clock.event()
    moments: list[float] = []

    def waiting() -> Generator[simpy.Event, None, None]:
        yield event
        moments.append(clock.now)

    process = clock.process(waiting())

    async def both() -> None:
        asyncio.get_running_loop().call_later(0.03, clock.inject, event.succeed)
        await asyncio.wait_for(clock.serve(lambda: process.triggered), 5)

    asyncio.run(both())
    assert 0.03 <= moments[0] <= clock.real_now


def test_an_error_in_an_event_ends_the_serving() -> None:
    clock = RealTimeClock(time.monotonic())

    def failing() -> Generator[simpy.Event, None, None]:
        yield clock.timeout(0.01)
        raise LookupError("as it should")

    clock.process(failing())
    with pytest.raises(LookupError, match="as it should"):
        asyncio.run(asyncio.wait_for(clock.serve(lambda: False), 5))


def test_nothing_happens_before_the_start() -> None:
    clock = RealTimeClock(time.monotonic() + 5)
    clock.inject(lambda: None)
    assert clock.now == 0
    assert clock.real_now < 0
