"""How a host of an emulation finds out that a node elsewhere is gone; as `simnet.runtime.detection` has it.

That a connection has ended is only the beginning: it is acted on after a timeout, or when beats stay away.
"""

import asyncio
from itertools import chain, islice
from typing import TYPE_CHECKING, Protocol

from simnet.emulation.frames import Beat, beat_frame
from simnet.runtime.detection import BEAT_BYTES, MISSES
from simnet.scenario import Scenario
from simnet.scenario.churn import DetectionConfig

if TYPE_CHECKING:
    from simnet.emulation.connections import Connections
    from simnet.emulation.host_run import HostRun


class Noticing(Protocol):
    """When a host acts on it that a node is gone, and whom it tells."""

    def begin(self) -> None:
        """The run begins."""

    def end(self) -> None:
        """The run is over."""

    def seconds_until(self, node_id: str) -> float | None:
        """Seconds from now until this host notices a node whose connection has ended; None: it is told."""

    def found(self, node_id: str) -> None:
        """This host has noticed that a node is gone."""

    def came(self, node_id: str) -> None:
        """A node is there again."""

    def arrived(self, beat: Beat) -> None:
        """A beat came."""


def noticing_of(run: "HostRun", wire: "Connections", scenario: Scenario) -> Noticing:
    """What the scenario says."""
    config = scenario.faults.detection
    if config is not None and config.kind == "heartbeats":
        return HostHeartbeats(run, wire, config)
    return AfterTimeout(seconds_until_split(scenario, 0.0))


def seconds_until_split(scenario: Scenario, at: float) -> float:
    """Seconds until a partition is noticed that begins at a time."""
    config = scenario.faults.detection
    if config is None or (config.kind == "timeout" and config.timeout is None):
        return scenario.network.detection_timeout
    if config.timeout is not None:
        return config.timeout
    assert config.period is not None, "the schema asks for it"
    return _patience(config) - at % config.period


def _patience(config: DetectionConfig) -> float:
    """Seconds without a beat after which a node is taken for gone."""
    assert config.period is not None, "the schema asks for it"
    return config.period * (MISSES if config.misses is None else config.misses)


class AfterTimeout:
    """Every host notices by itself, so many seconds after a connection has ended."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def begin(self) -> None:
        """Nothing happens."""

    def end(self) -> None:
        """Nothing happens."""

    def seconds_until(self, node_id: str) -> float | None:
        """The timeout."""
        return self._seconds

    def found(self, node_id: str) -> None:
        """Others find out by themselves."""

    def came(self, node_id: str) -> None:
        """Nothing to remember."""

    def arrived(self, beat: Beat) -> None:
        """There are none."""


class HostHeartbeats:
    """The beats that one host sends and gets.

    Every node sends a beat to the next one in the order of nodes once in a period, and that one listens. A
    beat is a frame on the connection that messages take, as long as the scenario says. Only a node whose
    connection has ended is suspected, so that beats that are late make nobody so.

    Args:
        run: The host's run.
        wire: Its connections.
        config: What the scenario says.
    """

    def __init__(self, run: "HostRun", wire: "Connections", config: DetectionConfig) -> None:
        assert config.period is not None, "the schema asks for it"
        self._run = run
        self._wire = wire
        self._period = config.period
        self._patience = _patience(config)
        self._bytes = BEAT_BYTES if config.bytes is None else config.bytes
        self._last: dict[str, float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Beats are sent at every whole period of the run's time."""
        self._next(int(self._run.env.real_now / self._period) + 1)

    def end(self) -> None:
        """No more beats."""
        if self._timer is not None:
            self._timer.cancel()

    def seconds_until(self, node_id: str) -> float | None:
        """What is left of the missing beats' time since the last one; None where another host listens."""
        if self._watcher(node_id) not in self._run.nodes:
            return None
        return max(0.0, self._last.get(node_id, 0.0) + self._patience - float(self._run.env.now))

    def found(self, node_id: str) -> None:
        """A node that this host has listened to is gone: all others are told, by a message to each."""
        teller = self._watcher(node_id)
        assert teller is not None, "who listens is there"
        for name in self._run.hosts:
            if name != node_id and self._is_there(teller, name):
                self._send(teller, name, node_id)

    def came(self, node_id: str) -> None:
        """That it is up again is as good as a beat."""
        self._last[node_id] = float(self._run.env.now)

    def arrived(self, beat: Beat) -> None:
        """A beat, or the news that a node is gone."""
        if beat.gone is None:
            self._last[beat.sender] = float(self._run.env.now)
        else:
            self._run.failures.told(beat.gone)

    def _next(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        when = loop.time() + number * self._period - self._run.env.real_now
        self._timer = loop.call_at(when, self._beat, number)

    def _beat(self, number: int) -> None:
        for name in self._run.nodes:
            watcher = self._watcher(name)
            if watcher is not None:
                self._send(name, watcher, None)
        self._next(number + 1)

    def _watcher(self, node_id: str) -> str | None:
        """The first node after it that is there, as far as is known here."""
        names = list(self._run.hosts)
        place = names.index(node_id)
        following = chain(islice(names, place + 1, None), islice(names, place))
        return next((name for name in following if self._is_there(node_id, name)), None)

    def _is_there(self, observer: str, name: str) -> bool:
        failures = self._run.failures
        return not failures.is_down(name) and not failures.is_lost(observer, name)

    def _send(self, source: str, to: str, gone: str | None) -> None:
        host = self._run.hosts[to]
        if host == self._run.host:
            return
        beat = Beat(to, source, gone, self._run.env.real_now, self._bytes)
        self._run.bytes_sent += self._bytes
        self._run.raw_bytes_sent += self._bytes
        self._wire.send(host, beat_frame(beat), _nothing)


def _nothing() -> None:
    """Nobody waits until a beat has left."""
