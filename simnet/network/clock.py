"""Events of SimPy that can be called off, and a clock that never waits for one that is."""

from collections.abc import Callable
from heapq import heappop
from math import inf

import simpy
from simpy.events import NORMAL, EventPriority


class Alarm(simpy.Event):
    """An event that happens by itself after a delay.

    Unlike a `Timeout` it has a priority and can be called off: it then does nothing, and a :class:`Clock`
    does not advance to its time.
    """

    def __init__(
        self,
        env: simpy.Environment,
        callback: Callable[[simpy.Event], None],
        delay: float,
        priority: EventPriority = NORMAL,
    ) -> None:
        super().__init__(env)
        self._ok, self._value = True, None
        self.callbacks.append(callback)
        self.called_off = False
        env.schedule(self, priority, delay)

    def call_off(self) -> None:
        """Let it not happen; no effect once it has."""
        self.called_off = True
        if self.callbacks is not None:
            self.callbacks.clear()


class Clock(simpy.Environment):
    """SimPy's environment, whose next event is never an alarm that was called off.

    So a change that nobody waits for any more neither prolongs a simulation nor looks like something that can
    still happen in one that is stuck.
    """

    def peek(self) -> float:
        """The time of the next event that was not called off; infinite if there is none."""
        queue = self._queue
        while queue:
            event = queue[0][3]
            if type(event) is not Alarm or not event.called_off:
                return float(queue[0][0])
            heappop(queue)
        return inf
