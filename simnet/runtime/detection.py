"""How nodes find out that another one is gone, and what that costs."""

from collections.abc import Iterable
from functools import partial
from itertools import chain, islice
from math import inf
from typing import TYPE_CHECKING, Protocol

import simpy

from simnet.network.clock import Alarm
from simnet.scenario import Scenario

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun

BEAT_BYTES = 64.0
"""What a heartbeat, or the news that a node is gone, takes on the wire if the scenario does not say."""
MISSES = 3


class Detection(Protocol):
    """When a node that goes is noticed."""

    message_bytes: float
    """What it takes to tell a node that another one is gone."""

    def begin(self) -> None:
        """The run begins."""

    def stop(self) -> None:
        """The run is over."""

    def seconds_until(self, node_id: str) -> float:
        """Seconds from now until it is noticed that a node that goes now is gone."""

    def seconds_until_split(self) -> float:
        """The same for both sides of a partition that begins now."""

    def who_tells(self, node_id: str) -> str | None:
        """The node that notices, and tells the others with a message to each; None if they notice alone."""

    def came(self, node_id: str) -> None:
        """A node is up again."""


class AfterTimeout:
    """Everybody notices by themselves, a fixed time after a node went: their requests are not answered."""

    message_bytes = BEAT_BYTES

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def begin(self) -> None:
        """Nothing happens."""

    def stop(self) -> None:
        """Nothing happens."""

    def seconds_until(self, node_id: str) -> float:
        """The timeout."""
        return self._seconds

    def seconds_until_split(self) -> float:
        """The timeout."""
        return self._seconds

    def who_tells(self, node_id: str) -> str | None:
        """Nobody."""
        return None

    def came(self, node_id: str) -> None:
        """Nothing to remember."""


class Heartbeats:
    """Every node sends a beat to the next one, in a ring, once in a period; that one notices their absence.

    Every beat is a message on the network. The next node is the one after it in the order of nodes that it
    does not know to be lost. A node is noticed to be gone `misses` periods after its last beat arrived; who
    noticed tells all others with a message to each, and when the last of these is there, everybody knows.
    Beats that are late because the network is busy make nobody suspicious.

    Args:
        run: The run.
        period: Seconds between two beats.
        misses: How many beats must be missing.
        message_bytes: Of a beat, and of the news that a node is gone.
    """

    def __init__(
        self, run: "SimulatedRun", period: float, misses: int = MISSES, message_bytes: float = BEAT_BYTES
    ) -> None:
        self._run = run
        self._period = period
        self._misses = misses
        self.message_bytes = message_bytes
        self._last: dict[str, float] = {}
        self._alarm: Alarm | None = None

    def begin(self) -> None:
        """The first beats are sent after one period."""
        self._alarm = Alarm(self._run.env, self._beat, self._period)

    def stop(self) -> None:
        """No more beats."""
        if self._alarm is not None:
            self._alarm.call_off()

    def seconds_until(self, node_id: str) -> float:
        """What is left of the missing beats' time since its last one arrived."""
        last = self._last.get(node_id, 0.0)
        return max(0.0, last + self._misses * self._period - float(self._run.env.now))

    def seconds_until_split(self) -> float:
        """The same, since the last beats were sent."""
        return self._misses * self._period - float(self._run.env.now) % self._period

    def who_tells(self, node_id: str) -> str | None:
        """The node that has watched it."""
        names = list(self._run.nodes)
        place = names.index(node_id)
        return self._watcher(node_id, (*names[place + 1 :], *names[:place]))

    def came(self, node_id: str) -> None:
        """That it is up again is as good as a beat."""
        self._last[node_id] = float(self._run.env.now)

    def _watcher(self, node_id: str, following: Iterable[str]) -> str | None:
        """The first of those that follow whom it can expect to listen."""
        up, is_lost = self._run.lifecycle.is_up, self._run.failures.is_lost
        return next((name for name in following if up(name) and not is_lost(node_id, name)), None)

    def _beat(self, _: simpy.Event) -> None:
        run = self._run
        # Where nothing else is to come, beats alone will not make anything happen.
        if run.env.peek() == inf:
            return
        up = [name for name in run.nodes if run.lifecycle.is_up(name)]
        for place, name in enumerate(up):
            watcher = self._watcher(name, chain(islice(up, place + 1, None), islice(up, place)))
            if watcher is not None:
                node = run.nodes[name]
                transfer = run.network.send(
                    node.host, run.nodes[watcher].host, self.message_bytes, kind="heartbeat"
                )
                run.failures.watch(transfer, name, watcher)
                transfer.delivered.callbacks.append(partial(self._arrived, name))
        self._alarm = Alarm(run.env, self._beat, self._period)

    def _arrived(self, name: str, _: simpy.Event) -> None:
        self._last[name] = float(self._run.env.now)


def detection_of(run: "SimulatedRun", scenario: Scenario) -> Detection:
    """What the scenario says."""
    config = scenario.faults.detection
    if config is None:
        return AfterTimeout(scenario.network.detection_timeout)
    if config.kind == "timeout":
        return AfterTimeout(scenario.network.detection_timeout if config.timeout is None else config.timeout)
    assert config.period is not None, "the schema asks for it"
    misses = MISSES if config.misses is None else config.misses
    return Heartbeats(run, config.period, misses, BEAT_BYTES if config.bytes is None else config.bytes)
