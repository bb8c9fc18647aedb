"""Slow start: the windows of messages that have not found their pace double with every round trip."""

from functools import partial

import simpy

from simnet.network.bounds import Bounds
from simnet.network.clock import Alarm
from simnet.network.draining import Draining
from simnet.network.limits import Limits
from simnet.network.transfer import Transfer


class SlowStart:
    """Wakes up after each round trip of those that are held back by their window.

    Args:
        env: The simulation.
        draining: Where messages flow.
        limits: Whose windows grow.
        bounds: Of the messages.
    """

    def __init__(self, env: simpy.Environment, draining: Draining, limits: Limits, bounds: Bounds) -> None:
        self._env = env
        self._draining = draining
        self._limits = limits
        self._bounds = bounds

    def begin(self, transfer: Transfer) -> None:
        """A message begins to flow, or goes on."""
        if transfer.slow_start:
            self._ring(transfer, transfer.ramp)

    def _ring(self, transfer: Transfer, ramp: int) -> None:
        Alarm(self._env, partial(self._round_trip, transfer, ramp), self._limits.now(transfer).rtt)

    def _round_trip(self, transfer: Transfer, ramp: int, _: simpy.Event) -> None:
        """A round trip is over: the window has doubled, and may be large enough by now."""
        if transfer.status != "flowing" or not transfer.slow_start or transfer.ramp != ramp:
            return
        self._bounds.settle(transfer)
        if self._limits.next_round(transfer, transfer.rate, transfer.remaining):
            self._ring(transfer, ramp)
        self._draining.flows.set_cap(transfer.id, self._limits.cap(transfer))
        self._draining.touch()
