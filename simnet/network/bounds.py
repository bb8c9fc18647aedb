"""What has bound each message, and for how long: links that it shared, or a limit of its own."""

from collections.abc import Sequence

import simpy

from simnet.network.draining import Draining
from simnet.network.flows import OWN_CAP
from simnet.network.transfer import Transfer


class Bounds:
    """Seconds by what held messages back while they flowed.

    Args:
        env: The simulation.
        draining: Where messages flow.
        names: Of the resources.
    """

    def __init__(self, env: simpy.Environment, draining: Draining, names: Sequence[str]) -> None:
        self._env = env
        self._draining = draining
        self._names = names

    def of(self, transfer: Transfer) -> dict[str, float]:
        """What has bound a message for how many seconds until now."""
        found = dict(transfer.bound_before)
        if transfer.status == "flowing":
            self._add(transfer, found)
        return found

    def settle(self, transfer: Transfer) -> None:
        """What binds a message by itself may be something else from now on."""
        seconds = self._draining.flows.bound_seconds(transfer.id, self._env.now).get(OWN_CAP, 0.0)
        transfer.own_seconds = transfer.own_bounds(seconds)

    def end(self, transfer: Transfer) -> None:
        """A message is about to take no bandwidth any more."""
        self._add(transfer, transfer.bound_before)
        transfer.own_seconds = {}

    def _add(self, transfer: Transfer, found: dict[str, float]) -> None:
        for bound, seconds in self._draining.flows.bound_seconds(transfer.id, self._env.now).items():
            if bound != OWN_CAP:
                name = self._names[bound]
                found[name] = found.get(name, 0.0) + seconds
                continue
            for name, part in transfer.own_bounds(seconds).items():
                if part > 0.0:
                    found[name] = found.get(name, 0.0) + part
