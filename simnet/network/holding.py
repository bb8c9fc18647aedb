"""Messages that do not get through for a while, though the links on their way work."""

from collections.abc import Callable
from functools import partial

import simpy

from simnet.network.bounds import Bounds
from simnet.network.clock import Alarm
from simnet.network.draining import Draining
from simnet.network.limits import Limits
from simnet.network.transfer import Transfer


class Holding:
    """Holds messages up, and lets them go on.

    What is held has left what it had left, takes no bandwidth, and does not arrive.

    Args:
        env: The simulation.
        draining: Where messages flow.
        limits: What they may get otherwise.
        bounds: What has bound messages, which changes with their limits.
        deliver: Called with a message that arrives.
    """

    def __init__(
        self,
        env: simpy.Environment,
        draining: Draining,
        limits: Limits,
        bounds: Bounds,
        deliver: Callable[[Transfer, simpy.Event], None],
    ) -> None:
        self._env = env
        self._draining = draining
        self._limits = limits
        self._bounds = bounds
        self._deliver = deliver

    def hold(self, transfer: Transfer) -> None:
        """From now on nothing of a message gets through; no effect on one that is held, or has ended."""
        if not transfer.held:
            self._change(transfer, True)

    def release(self, transfer: Transfer) -> None:
        """A message that is held goes on; one that had left arrives a latency from now."""
        if not transfer.held:
            return
        self._change(transfer, False)
        if transfer.status == "sent":
            Alarm(self._env, partial(self._deliver, transfer), transfer.latency)

    def _change(self, transfer: Transfer, held: bool) -> None:
        flows = transfer.status == "flowing"
        if flows:
            self._bounds.settle(transfer)
        transfer.held, transfer.cap, transfer.cap_otherwise = held, transfer.cap_otherwise, transfer.cap
        if flows:
            cap = transfer.cap if self._limits.ideal else self._limits.cap(transfer)
            self._draining.flows.set_cap(transfer.id, cap)
            self._draining.touch()
