"""The driver's side of an emulated run: hosts report, it says when to begin and when all is over."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from simnet.emulation.driver import EmulationError
from simnet.emulation.meetings import Meetings, Report
from simnet.emulation.separation import Separation
from simnet.emulation.standings import Host, Standings
from simnet.faults.churn import Churn, Switch
from simnet.runtime.placement import Placed, members_by_role
from simnet.runtime.world import Progress
from simnet.scenario import StopConfig

START_SECONDS = 0.2
"""So long after the last host is ready the run begins: by then all have been told."""
CAUSE_SECONDS = 0.4
"""A host's error is told so much later: if another process has ended, that is what it comes of."""
PATIENCE_SECONDS = 60.0
"""How long hosts may take to be ready, or to write down what happened."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A host was killed, or started again."""

    time: float
    node: str
    event: str
    cause: str


@dataclass(frozen=True, slots=True)
class Course:
    """How an emulated run went, as its hosts told it."""

    started: float
    """`time.monotonic()` at second 0."""
    seconds: float
    """When the last thing happened."""
    steps: int
    """Of all workers together."""
    hosts: Sequence[str]
    """Those that are up at the end."""
    faults: Sequence[Fault]
    aborted: str
    """Who gave up, when and why, if the method ended the run itself."""


class Coordinator:
    """Takes the hosts through one run.

    Args:
        placed: Every node and its host.
        addresses: Of every host.
        stop: When the run ends.
        budget: Steps of all workers together after which nothing new begins; None: no such limit.
        workers: How many nodes take steps.
        sending: Bytes that a connection's sender may have in the kernel, and bytes per second at which that
            sends them; None: the kernel's choice.
        churn: Which hosts are killed and started again when.
        again: Has a host's process started once more: its nodes' incarnation, steps and batches.
        said: Gives the last of what hosts said on their error output.
        begin: Called when all hosts are ready, right before the start; gives the start's instant.
        watch: Called with where the run stands.
        separations: From when on nodes know that they do not reach each other.
    """

    def __init__(
        self,
        placed: Sequence[Placed],
        addresses: Mapping[str, str],
        stop: StopConfig,
        budget: int | None,
        workers: int,
        sending: Callable[[str, str], tuple[int | None, int | None]],
        churn: Churn | None,
        again: Callable[[str, dict[str, list[int]]], None],
        said: Callable[[], str],
        begin: Callable[[], float] | None = None,
        watch: Callable[[Progress], None] | None = None,
        separations: Sequence[Separation] = (),
    ) -> None:
        self._addresses = addresses
        self._stop = stop
        self._standings = Standings(stop, inf if budget is None else budget)
        self._workers = workers
        self._sending = sending
        self._churn = churn
        self._again = again
        self._said = said
        self._begin = begin
        self._watch = watch
        self._separations = separations
        self._separating = bool(separations)
        self._nodes: dict[str, list[str]] = {}
        for one in placed:
            self._nodes.setdefault(one.host, []).append(one.name)
        self._host_of = {one.name: one.host for one in placed}
        self._hosts = self._standings.hosts  # those that are up
        self._incarnations = dict.fromkeys(addresses, 0)
        self._down: dict[str, set[int]] = {}  # hosts that were killed, and why
        self._joining: dict[str, set[str]] = {}  # hosts that came back, and who has yet to connect to them
        self._changed = asyncio.Event()
        self._failure: str | None = None
        self._started = inf
        self._steps_told = 0
        self._switching = False
        self._finished = False
        self._aborted = ""
        self._faults: list[Fault] = []
        loop = asyncio.get_running_loop()
        self._meetings = Meetings(members_by_role(placed), self._tell_node, loop.call_later)

    async def serve(self, path: Path) -> None:
        """Listen for the hosts on a Unix socket."""
        self._server = await asyncio.start_unix_server(self._host_comes, path, limit=1 << 20)

    def failed(self, why: str) -> None:
        """Something went wrong: the run cannot go on."""
        self._failure = self._failure or why
        self._changed.set()

    def processes_ended(self, status: int) -> None:
        """All hosts' processes have ended; a status other than 0 is that of one that failed."""
        if status and not self._finished:
            self.failed(f"the hosts' processes ended:\n{self._said()}")

    def close(self) -> None:
        """Hang up: hosts that still run end."""
        self._finished = True
        self._server.close()
        for host in self._hosts.values():
            host.writer.close()

    async def run(self) -> Course:
        """From the hosts' first words to their last. Raises :class:`EmulationError` where one fails."""
        await self._until(lambda: len(self._hosts) == len(self._addresses), "to come up", PATIENCE_SECONDS)
        for host in self._hosts.values():
            host.tell(peers=self._peers_of(host))
        await self._until(
            lambda: all(host.connected for host in self._hosts.values()), "to connect", PATIENCE_SECONDS
        )
        self._started = time.monotonic() + START_SECONDS if self._begin is None else self._begin()
        for host in self._hosts.values():
            host.started = True
            host.tell(start=self._started)
        churning = asyncio.ensure_future(self._follow(self._churn)) if self._churn is not None else None
        separating = asyncio.ensure_future(self._separate())
        limit = inf if self._stop.time is None else self._started + self._stop.time - time.monotonic()
        await self._until(self._over, None, limit)
        if churning is not None:
            churning.cancel()
        separating.cancel()
        most = inf if self._stop.time is None else self._stop.time
        ended = min(self._standings.seconds, most) if self._is_over() else most
        self._finished = True
        for host in self._standings.up():
            host.tell(stop=ended)
        await self._until(
            lambda: all(host.finished for host in self._standings.up()),
            "to write down what happened",
            PATIENCE_SECONDS,
        )
        up = tuple(host.name for host in self._standings.up())
        return Course(self._started, ended, self._standings.steps, up, self._faults, self._aborted)

    # -- churn ----------------------------------------------------------------------------------------

    async def _follow(self, churn: Churn) -> None:
        """Kill and start hosts as was drawn, at its times."""
        for switch in churn.switches():
            wait = self._started + switch.time - time.monotonic()
            self._switching = switch.time < inf
            if wait > 0:
                await asyncio.sleep(wait)
            for host in switch.hosts:
                if host in self._nodes:
                    self._switch(host, switch)
        self._switching = False
        self._changed.set()

    async def _separate(self) -> None:
        """Let the sides of partitions that are noticed agree on views each by itself."""
        for one in self._separations:
            await asyncio.sleep(max(0.0, self._started + one.time - time.monotonic()))
            self._standings.cut()
            sides = {name: one.side(host) for name, host in self._host_of.items()}
            self._meetings.separate(sides)
        self._separating = False
        self._changed.set()

    def _switch(self, host: str, switch: Switch) -> None:
        reasons = self._down.setdefault(host, set())
        was_down = bool(reasons)
        if switch.down:
            reasons.add(switch.reason)
        else:
            reasons.discard(switch.reason)
        if reasons and not was_down:
            self._kill(host, switch.cause)
        elif was_down and not reasons:
            self._start_again(host, switch.cause)
        if not reasons:
            del self._down[host]
        self._changed.set()

    def _kill(self, name: str, cause: str) -> None:
        host = self._hosts.pop(name, None)
        if host is None:  # it is on its way up
            self.failed(f"{name} was to be killed before it had started again")
            return
        os.kill(host.pid, signal.SIGKILL)
        self._joining.pop(name, None)
        for other in list(self._joining):
            self._joined(other, name)
        self._standings.kill(host)
        for node in self._nodes[name]:
            self._faults.append(Fault(self._now, node, "down", cause))
            self._meetings.down(node)

    def _start_again(self, name: str, cause: str) -> None:
        self._incarnations[name] += 1
        stood = self._standings.killed[name].get("nodes", {})
        past = {
            node: [self._incarnations[name], *(stood[node][3:] if node in stood else (0, 0))]
            for node in self._nodes[name]
        }
        self._again(name, past)
        for node in self._nodes[name]:
            self._faults.append(Fault(self._now, node, "up", cause))
            self._meetings.up(node)

    def _is_back(self, host: Host) -> None:
        """A host that was killed has connected to the others: they connect to it, and then it begins."""
        others = [other for other in self._standings.up() if other is not host]
        self._joining[host.name] = {other.name for other in others}
        for other in others:
            other.tell(back={host.name: self._address(other, host)})
        self._joined(host.name)

    def _joined(self, name: str, by: str = "") -> None:
        """Once all have connected to a host that came back, it begins: nobody's answer to it is lost."""
        waiting = self._joining.get(name)
        if waiting is None:
            return
        waiting.discard(by)
        if not waiting:
            del self._joining[name]
            host = self._hosts[name]
            host.started = True
            host.tell(start=self._started)

    @property
    def _now(self) -> float:
        return max(0.0, time.monotonic() - self._started)

    # -- what hosts say -------------------------------------------------------------------------------

    def _peers_of(self, host: Host) -> dict[str, Any]:
        return {other.name: self._address(host, other) for other in self._hosts.values() if other is not host}

    def _address(self, host: Host, other: Host) -> tuple[str, int, int | None, int | None]:
        return self._addresses[other.name], other.port, *self._sending(host.name, other.name)

    def _tell_node(self, node: str, news: dict[str, Any]) -> None:
        host = self._hosts.get(self._host_of[node])
        if host is not None:
            self._standings.awake()  # it may do something now
            host.tell(**news)

    async def _host_comes(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.CancelledError):  # the run is over, and a host has not closed its end yet
            await self._hear(reader, writer)

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        host: Host | None = None
        with suppress(ConnectionError):
            while line := await reader.readline():
                news = json.loads(line)
                if "host" in news:
                    name = news["host"]
                    host = self._hosts[name] = Host(name, writer, news["port"], news["pid"])
                    if name in self._standings.killed:
                        host.tell(peers=self._peers_of(host), clock=self._started)
                assert host is not None, "a host says its name first"
                if self._hosts.get(host.name) is host:
                    self._heard(host, news)
                self._changed.set()
        if host is not None and not host.finished and self._hosts.get(host.name) is host:
            await asyncio.sleep(CAUSE_SECONDS / 2)  # its last words come by another way
            self.failed(f"the process of {host.name} ended before the run did:\n{self._said()}")

    def _heard(self, host: Host, news: dict[str, Any]) -> None:
        if "connected" in news:
            host.connected = True
            if host.name in self._standings.killed:
                self._is_back(host)
        if "error" in news:
            why = f"{host.name}: {news['error']}\n{news['trace']}"
            asyncio.get_running_loop().call_later(CAUSE_SECONDS, self.failed, why)
        if "joined" in news:
            for name in news["joined"]:
                self._joined(name, host.name)
        if "aborted" in news:
            self._aborted = self._aborted or news["aborted"]
        if "waiting" in news:
            host.waiting = news["waiting"]
        if "finished" in news:
            host.finished = True
        if "regroup" in news:
            report, quorum = _report(news["standing"]), news["quorum"]
            self._meetings.comes(news["regroup"], report, quorum, news["deadline"])
        if "ended" in news:
            self._meetings.ended(news["ended"], _report(news["standing"]))
        if "idle" in news:
            host.standing, host.waiting = news, None
            for node, stands in news["nodes"].items():
                self._meetings.stands(node, _report(stands))

    async def _until(self, holds: Callable[[], bool], what: str | None, seconds: float) -> None:
        """Wait until something holds; raises `EmulationError` after too long, if `what` says for what."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            if self._failure is not None:
                raise EmulationError(self._failure)
            if holds():
                return
            self._changed.clear()
            left = deadline - loop.time()
            if left <= 0:
                if what is None:
                    return
                silent = [name for name in self._addresses if name not in self._hosts]
                raise EmulationError(
                    f"waited {seconds:g} s in vain for hosts {what}"
                    + (f": nothing was heard of {', '.join(silent)}" if silent else "")
                )
            wait = min(left, max(0.01, self._standings.rest_ends - loop.time()))
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), None if wait == inf else wait)

    # -- whether all is over --------------------------------------------------------------------------

    def _over(self) -> bool:
        steps = self._standings.steps
        if steps != self._steps_told:
            self._steps_told = steps
            for host in self._standings.up():
                host.tell(steps=steps)
        if self._watch is not None:
            self._watch(Progress(self._now, steps / self._workers, steps, self._standings.bytes_sent, inf))
        return self._is_over()

    def _is_over(self) -> bool:
        """Whether nothing can happen any more, or it is enough. Raises for a deadlock."""
        down = {name: self._nodes.get(name, []) for name in self._down}
        changing = self._switching or self._steps_told != self._standings.steps
        return bool(self._aborted) or self._standings.over(
            down, changing=changing, separating=self._separating
        )


def _report(standing: Sequence[int]) -> Report:
    return Report(standing[0], standing[1], in_view=bool(standing[2]))
