"""The process of one emulated host: connects to its peers, runs its nodes, and writes down what happened."""

import asyncio
import json
import os
import sys
import traceback
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import inf
from pathlib import Path
from typing import Any

from simnet.compute import Engine, TimingEngine
from simnet.emulation.clock import RealTimeClock
from simnet.emulation.connections import Address, Connections
from simnet.emulation.host_run import HostRun, Past
from simnet.emulation.node import Pace
from simnet.emulation.rows import FLUSH_SECONDS, Rows
from simnet.runtime.node import Aborted
from simnet.runtime.placement import placements
from simnet.runtime.world import Method, World


@dataclass(frozen=True)
class HostTask:
    """What a host's process is given."""

    world: World
    method: Method
    engine: Engine | TimingEngine
    host: str
    ip: str
    """Where it listens."""
    pace: Pace
    control: str
    """Path of the driver's Unix socket: it is in the file system, so namespaces of networks share it."""
    folder: Path
    """Where its results go."""
    past: Mapping[str, Past]
    """How far its nodes had come when its last process was killed; empty for the first."""

    @property
    def incarnation(self) -> int:
        """How many processes of this host were there before."""
        return max((past.incarnation for past in self.past.values()), default=0)


class Control:
    """JSON lines to and from the driver, beside the emulated network."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._last: dict[str, Any] | None = None

    def tell(self, news: dict[str, Any]) -> None:
        """Send news; the same news again is none."""
        if news != self._last:
            self._last = news
            self.say(news)

    def say(self, words: dict[str, Any]) -> None:
        """Send a line."""
        self._writer.write(json.dumps(words).encode() + b"\n")

    async def told(self) -> dict[str, Any]:
        """The next line; raises `EOFError` when the driver is gone."""
        line = await self._reader.readline()
        if not line:
            raise EOFError("the driver is gone")
        news: dict[str, Any] = json.loads(line)
        return news


def main(task: HostTask) -> int:
    """Run a host to its end; gives the exit status. Errors go to the driver as text."""
    try:
        asyncio.run(_main(task))
    except EOFError:
        return 1
    except BaseException:
        traceback.print_exc(file=sys.stderr)
        return 1
    return 0


async def _main(task: HostTask) -> None:
    reader, writer = await asyncio.open_unix_connection(task.control)
    control = Control(reader, writer)
    clock = RealTimeClock(started=inf)
    task.folder.mkdir(parents=True, exist_ok=True)
    rows = Rows(task.folder / f"rows-{task.incarnation}.jsonl")
    placed = placements(task.method.roles(), task.world.topology, task.world.pipeline)
    wire = Connections(
        task.host,
        lambda arrival: run.arrived(arrival),
        lambda host: run.lost(host),
        lambda error: run.fails(error),
    )
    run = HostRun(
        task.world,
        task.method,
        task.engine,
        rows,
        clock,
        wire,
        placed,
        task.host,
        task.pace,
        control.tell,
        control.say,
        task.past,
    )
    try:
        control.say({"host": task.host, "port": await wire.listen(task.ip), "pid": os.getpid()})
        first = await control.told()
        clock.started = float(first.get("clock", inf))  # of a run that goes on already: messages may come
        await wire.connect(_addresses(first["peers"]))
        await run.warm_up()
        control.say({"connected": True})
        while "start" not in (news := await control.told()):
            await _join(news.get("back", {}), control, run, wire)
        clock.started = float(news["start"])
        await asyncio.sleep(max(0.0, -clock.real_now))
        over = asyncio.Event()
        listening = asyncio.ensure_future(_listen(control, run, wire, over))
        keeping = asyncio.ensure_future(_keep(rows, run))
        try:
            await run.run(over)
        except Aborted as aborted:
            control.say({"aborted": str(aborted)})
            await over.wait()
        except Exception as error:
            control.say({"error": _plain(error), "trace": traceback.format_exc()})
        listening.cancel()
        keeping.cancel()
        rows.flush(_totals(run))
        rows.close()
        run.snapshots.write(task.folder, with_values=run.engine.has_values)
        control.say({"finished": True})
        with suppress(ConnectionError):  # the driver is gone
            await writer.drain()
    finally:
        wire.close()
        writer.close()


async def _listen(control: Control, run: HostRun, wire: Connections, over: asyncio.Event) -> None:
    """Do what the driver says while the run goes on."""
    try:
        while True:
            news = await control.told()
            if "steps" in news:
                run.steps_everywhere(news["steps"])
            if "who" in news:
                control.say({"waiting": run.waiting()})
            if "ask" in news or "view" in news or "no_view" in news:
                run.env.inject(partial(run.views.told, news))
            if "back" in news:
                await _join(news["back"], control, run, wire)
            if "stop" in news:
                run.ended = news["stop"]
                over.set()
    except (EOFError, ConnectionError):  # reset, where the driver had not read all of this host's news
        over.set()


async def _keep(rows: Rows, run: HostRun) -> None:
    """Have what is recorded outlive this process."""
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        rows.flush(_totals(run))


async def _join(peers: Mapping[str, list[Any]], control: Control, run: HostRun, wire: Connections) -> None:
    """Connect to hosts that came back."""
    await wire.connect(_addresses(peers))
    for host in peers:
        run.back(host)
    control.say({"joined": list(peers)})


def _addresses(peers: Mapping[str, list[Any]]) -> dict[str, Address]:
    return {host: Address(*address) for host, address in peers.items()}


def _totals(run: HostRun) -> dict[str, Any]:
    return {
        "host": run.host,
        "counts": dict(run.counts),
        "busy": {name: node.computing.busy_seconds for name, node in run.nodes.items()},
        "bytes_sent": run.bytes_sent,
        "raw_bytes_sent": run.raw_bytes_sent,
    }


def _plain(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
