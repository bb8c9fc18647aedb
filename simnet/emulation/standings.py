"""Where the hosts of a run stand, as far as they have told, and whether anything can happen any more."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from simnet.emulation.driver import EmulationError
from simnet.scenario import StopConfig

REST_SECONDS = 1.0
"""After a crash or a cut frames are missing, so that nothing can be told from how many have arrived: all is
over when nobody has done anything for so long."""


class EmulatedDeadlock(EmulationError):
    """Nothing can happen any more, yet some coroutine waits; the message says which node waits for what."""


@dataclass
class Host:
    """A host's process, as the driver knows it."""

    name: str
    writer: asyncio.StreamWriter
    port: int
    pid: int
    connected: bool = False
    started: bool = False
    standing: dict[str, Any] = field(default_factory=dict)
    """What it told last of itself: see `HostRun.tell_standing`."""
    finished: bool = False
    waiting: list[str] | None = None
    """Which of its nodes wait for what, where it was asked and has done nothing since."""

    def tell(self, **news: Any) -> None:
        """Send it a line."""
        if not self.writer.is_closing():
            self.writer.write(json.dumps(news).encode() + b"\n")


class Standings:
    """What all hosts have told.

    Args:
        stop: When the run ends.
        budget: Steps of all workers together after which nothing new begins.
    """

    def __init__(self, stop: StopConfig, budget: float) -> None:
        self._stop = stop
        self._budget = budget
        self.hosts: dict[str, Host] = {}
        """Those that are up."""
        self.killed: dict[str, dict[str, Any]] = {}
        """The standings of processes that were killed, as of then."""
        self._bytes_of_killed = 0.0
        self._was_cut = False
        self._rested_since = inf

    def up(self) -> list[Host]:
        """The hosts that are up now, while which they are may change."""
        return list(self.hosts.values())

    def kill(self, host: Host) -> None:
        """A process was killed: what it told last stands."""
        self.killed[host.name] = host.standing
        self._bytes_of_killed += float(host.standing.get("bytes", 0.0))

    def cut(self) -> None:
        """Hosts cut connections to others, or make them anew: frames may be missing from now on."""
        self._was_cut = True
        self.awake()

    def awake(self) -> None:
        """Some host may do something now of which it has not told yet."""
        self._rested_since = inf

    @property
    def bytes_sent(self) -> float:
        """By all processes, those that were killed too."""
        return self._bytes_of_killed + sum(float(host.standing.get("bytes", 0.0)) for host in self.up())

    @property
    def steps(self) -> int:
        """Of all workers together; of those that are down or have only just come back, as of when they were
        killed."""
        standings = self.killed | {host.name: host.standing for host in self.up() if host.standing}
        return sum(int(standing.get("steps", 0)) for standing in standings.values())

    @property
    def seconds(self) -> float:
        """When the last thing happened."""
        return max((host.standing.get("active", 0.0) for host in self.up()), default=0.0)

    @property
    def rest_ends(self) -> float:
        """When to look again whether all is over, if nobody says anything until then; on the loop's clock."""
        return self._rested_since + REST_SECONDS

    def over(self, down: Mapping[str, Sequence[str]], *, changing: bool, separating: bool) -> bool:
        """Whether nothing can happen any more, or enough bytes were sent.

        Args:
            down: The nodes of each host that is down, to be named in an error.
            changing: Whether something is about to happen that no host knows of.
            separating: Whether partitions are yet to be noticed or to heal, on which some may wait.

        Raises :class:`EmulatedDeadlock` where all wait for ever.
        """
        hosts = self.up()
        if not all(host.standing and host.started for host in hosts):
            return False
        if self._stop.bytes is not None and self.bytes_sent >= self._stop.bytes:
            return True
        if not self._at_rest(hosts):
            return False
        if self.steps >= self._budget:
            return True
        if changing:
            return False
        if all(host.standing["done"] for host in hosts):
            return True
        return not separating and self._deadlocked(hosts, down)

    def _at_rest(self, hosts: Sequence[Host]) -> bool:
        """Whether no host computes or has a timer, and no frame is under way."""
        standings = [host.standing for host in hosts]
        if not all(one["idle"] for one in standings):
            self._rested_since = inf
            return False
        if not self.killed and not self._was_cut:
            return sum(one["sent"] for one in standings) == sum(one["received"] for one in standings)
        now = asyncio.get_running_loop().time()
        self._rested_since = min(self._rested_since, now)
        return now >= self.rest_ends

    def _deadlocked(self, hosts: Sequence[Host], down: Mapping[str, Sequence[str]]) -> bool:
        """Ask everybody what they wait for; once all have answered and nothing has changed, that is it."""
        if any(host.waiting is None for host in hosts):
            for host in hosts:
                host.tell(who=True)
            return False
        lines = [f"  {line}" for host in hosts for line in host.waiting or ()]
        lines += [f"  {node} is down" for nodes in down.values() for node in nodes]
        raise EmulatedDeadlock(
            f"nothing can happen after {self.seconds:.6g} s, but nodes have not finished:\n"
            + "\n".join(lines)
        )
