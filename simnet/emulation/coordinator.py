"""The driver's side of an emulated run: hosts report, it says when to begin and when all is over."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from simnet.emulation.driver import EmulationError
from simnet.runtime.world import Progress
from simnet.scenario import StopConfig

START_SECONDS = 0.2
"""So long after the last host is ready the run begins: by then all have been told."""
PATIENCE_SECONDS = 60.0
"""How long hosts may take to be ready, or to write down what happened."""


class EmulatedDeadlock(EmulationError):
    """Nothing can happen any more, yet some coroutine waits; the message says which node waits for what."""


@dataclass
class _Host:
    name: str
    writer: asyncio.StreamWriter
    port: int
    connected: bool = False
    standing: dict[str, Any] = field(default_factory=dict)
    finished: dict[str, Any] | None = None
    waiting: list[str] | None = None

    def tell(self, **news: Any) -> None:
        if not self.writer.is_closing():
            self.writer.write(json.dumps(news).encode() + b"\n")


@dataclass(frozen=True, slots=True)
class Course:
    """How an emulated run went, as its hosts told it."""

    started: float
    """`time.monotonic()` at second 0."""
    seconds: float
    """When the last thing happened."""
    steps: int
    """Of all workers together."""
    hosts: Mapping[str, dict[str, Any]]
    """What each host counted, by its name; one that crashed is missing."""


class Coordinator:
    """Takes the hosts through one run.

    Args:
        addresses: Of every host.
        stop: When the run ends.
        budget: Steps of all workers together after which nothing new begins; None: no such limit.
        workers: How many nodes take steps.
        buffers: Bytes that a connection's sender may have in the kernel; None: the kernel's choice.
        begin: Called when all hosts are ready, right before the start; gives the start's instant.
        watch: Called with where the run stands.
    """

    def __init__(
        self,
        addresses: Mapping[str, str],
        stop: StopConfig,
        budget: int | None,
        workers: int,
        buffers: Callable[[str, str], int | None],
        begin: Callable[[], float] | None = None,
        watch: Callable[[Progress], None] | None = None,
    ) -> None:
        self._addresses = addresses
        self._stop = stop
        self._budget = inf if budget is None else budget
        self._workers = workers
        self._buffers = buffers
        self._begin = begin
        self._watch = watch
        self._hosts: dict[str, _Host] = {}
        self._crashed: set[str] = set()
        self._changed = asyncio.Event()
        self._failure: str | None = None
        self._started = inf
        self._steps_told = 0
        self._finished = False

    async def serve(self, path: Path) -> None:
        """Listen for the hosts on a Unix socket."""
        self._server = await asyncio.start_unix_server(self._host_comes, path, limit=1 << 20)

    def failed(self, why: str) -> None:
        """Something outside went wrong: the run cannot go on."""
        self._failure = self._failure or why
        self._changed.set()

    def processes_ended(self, status: int, said: str) -> None:
        """All hosts' processes have ended; a status other than 0 is that of one that failed."""
        if status and not self._finished:
            self.failed(f"the hosts' processes ended:\n{said}")

    def close(self) -> None:
        """Hang up: hosts that still run end."""
        self._server.close()
        for host in self._hosts.values():
            host.writer.close()

    def crashed(self, host: str) -> None:
        """A host was killed on purpose: that it is silent now is no failure."""
        self._crashed.add(host)
        self._changed.set()

    async def run(self) -> Course:
        """From the hosts' first words to their last. Raises :class:`EmulationError` where one fails."""
        await self._until(lambda: len(self._hosts) == len(self._addresses), "to come up", PATIENCE_SECONDS)
        for host in self._hosts.values():
            others = [other for other in self._hosts.values() if other is not host]
            host.tell(
                peers={
                    other.name: (
                        self._addresses[other.name],
                        other.port,
                        self._buffers(host.name, other.name),
                    )
                    for other in others
                }
            )
        await self._until(
            lambda: all(host.connected for host in self._hosts.values()), "to connect", PATIENCE_SECONDS
        )
        self._started = time.monotonic() + START_SECONDS if self._begin is None else self._begin()
        for host in self._hosts.values():
            host.tell(start=self._started)
        limit = inf if self._stop.time is None else self._started + self._stop.time - time.monotonic()
        await self._until(self._over, None, limit)
        ended = min(self._seconds(), inf if self._stop.time is None else self._stop.time)
        if not self._is_over():
            ended = self._stop.time or ended
        for host in self._alive():
            host.tell(stop=ended)
        await self._until(
            lambda: all(host.finished is not None for host in self._alive()),
            "to write down what happened",
            PATIENCE_SECONDS,
        )
        self._finished = True
        counted = {host.name: host.finished for host in self._hosts.values() if host.finished is not None}
        return Course(self._started, ended, self._steps(), counted)

    # -- the inside -----------------------------------------------------------------------------------

    async def _host_comes(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):  # the run is over, and a host has not closed its end yet
            await self._hear(reader, writer)

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host: _Host | None = None
        while line := await reader.readline():
            news = json.loads(line)
            if "host" in news:
                host = self._hosts[news["host"]] = _Host(news["host"], writer, news["port"])
            assert host is not None, "a host says its name first"
            if "connected" in news:
                host.connected = True
            if "error" in news:
                self.failed(f"{host.name}: {news['error']}\n{news['trace']}")
            if "waiting" in news:
                host.waiting = news["waiting"]
            if "finished" in news:
                host.finished = news["finished"]
            if "idle" in news:
                host.standing, host.waiting = news, None
            self._changed.set()
        if host is not None and host.finished is None and host.name not in self._crashed:
            self.failed(f"the process of {host.name} ended before the run did")

    async def _until(self, holds: Callable[[], bool], what: str | None, seconds: float) -> None:
        """Wait until something holds; raises `EmulationError` after too long, if `what` says for what."""
        deadline = asyncio.get_running_loop().time() + seconds
        while True:
            if self._failure is not None:
                raise EmulationError(self._failure)
            if holds():
                return
            self._changed.clear()
            left = deadline - asyncio.get_running_loop().time()
            try:
                if left <= 0:
                    raise TimeoutError
                await asyncio.wait_for(self._changed.wait(), None if left == inf else left)
            except TimeoutError:
                if what is None:
                    return
                silent = [name for name in self._addresses if name not in self._hosts]
                raise EmulationError(
                    f"waited {seconds:g} s in vain for hosts {what}"
                    + (f": nothing was heard of {', '.join(silent)}" if silent else "")
                ) from None

    def _alive(self) -> list[_Host]:
        return [host for host in self._hosts.values() if host.name not in self._crashed]

    def _steps(self) -> int:
        return sum(host.standing.get("steps", 0) for host in self._hosts.values())

    def _seconds(self) -> float:
        return max((host.standing.get("active", 0.0) for host in self._hosts.values()), default=0.0)

    def _over(self) -> bool:
        steps = self._steps()
        if steps != self._steps_told:
            self._steps_told = steps
            for host in self._alive():
                host.tell(steps=steps)
        if self._watch is not None:
            seconds = max(0.0, time.monotonic() - self._started)
            sent = sum(host.standing.get("bytes", 0.0) for host in self._hosts.values())
            self._watch(Progress(seconds, steps / self._workers, steps, sent, inf))
        return self._is_over()

    def _is_over(self) -> bool:
        """Whether nothing can happen any more, or enough bytes were sent. Raises for a deadlock."""
        standings = [host.standing for host in self._alive()]
        if not all(standings):
            return False
        if self._stop.bytes is not None and sum(one["bytes"] for one in standings) >= self._stop.bytes:
            return True
        at_rest = all(one["idle"] for one in standings)
        under_way = sum(one["sent"] for one in standings) != sum(one["received"] for one in standings)
        if not at_rest or (under_way and not self._crashed):
            return False
        if all(one["done"] for one in standings) or self._steps() >= self._budget:
            return True
        if self._crashed or self._steps_told != self._steps():
            return False
        return self._deadlocked()

    def _deadlocked(self) -> bool:
        """Ask everybody what they wait for; once all have answered and nothing has changed, that is it."""
        hosts = self._alive()
        if any(host.waiting is None for host in hosts):
            for host in hosts:
                host.tell(who=True)
            return False
        lines = [f"  {line}" for host in hosts for line in host.waiting or ()]
        raise EmulatedDeadlock(
            f"nothing can happen after {self._seconds():.6g} s, but nodes have not finished:\n"
            + "\n".join(lines)
        )
