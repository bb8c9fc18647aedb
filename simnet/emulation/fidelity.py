"""Whether what an emulation measured may be believed: what the network did beside what it was asked to do.

An emulation is valid if its packets were on time and none was dropped that the scenario does not lose. That
says nothing of machines: work that competes for the cores of this one takes longer than on its own machines.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simnet.emulation.counters import protocol_counters
from simnet.emulation.driver import Driver, WireStats
from simnet.emulation.namespaces import inside

if TYPE_CHECKING:
    from simnet.network import Topology

MOST_LATENESS = 1e-3
"""Seconds that one packet in a hundred may exceed."""
MOST_LATENESS_SHARE = 0.1
"""The same, as a share of the smallest latency of a link that has one."""
MOST_CPU = 0.7
"""Of a core in the fabric's busiest second: at 95 % the kernel stops a realtime process for a while."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """What an emulation was like, from :meth:`FidelityMonitor.begin` to its report."""

    wire: WireStats
    retransmits: int
    """TCP segments that hosts sent again."""
    timeouts: int
    """How often TCP sent again because nothing came back for a whole timeout."""
    congestion_control: tuple[str, ...]
    """What the hosts use; one name as a rule."""
    load: float
    """The machine's load over the last minute, at the end."""
    steal: float
    """The share of this virtual machine's time that its host gave to others."""
    busy: float
    """The share of all cores that was in use, by anything."""
    hosts_per_core: float
    reasons: tuple[str, ...]
    """Why it is not to be believed."""

    @property
    def valid(self) -> bool:
        """Whether nothing speaks against it."""
        return not self.reasons

    def as_dict(self) -> dict[str, Any]:
        """For JSON: its fields, those of :attr:`wire`, and `valid`."""
        return {"valid": self.valid, **asdict(self)}


class FidelityMonitor:
    """Watches one emulation. Begin after `Driver.start`, report before `Driver.down`."""

    def __init__(self, driver: Driver, topology: "Topology") -> None:
        self._driver = driver
        latencies = [edge["latency"] for _, _, edge in topology.graph.edges(data=True)]
        self._least_latency = min((latency for latency in latencies if latency > 0), default=None)
        self._counters: dict[str, Mapping[str, int]] = {}
        self._ticks: tuple[int, int, int] = (0, 0, 0)

    def begin(self) -> None:
        """Take what there is now for nothing."""
        self._counters = self._protocols()
        self._ticks = _ticks()

    def report(self) -> Fidelity:
        """What happened since :meth:`begin`."""
        wire = self._driver.stats()
        counters = self._protocols()
        controls = tuple(sorted({self._congestion_control(host.pid) for host in self._driver.hosts.values()}))
        total, busy, stolen = (now - then for now, then in zip(_ticks(), self._ticks, strict=True))
        return Fidelity(
            wire,
            self._grown(counters, "Tcp.RetransSegs"),
            self._grown(counters, "TcpExt.TCPTimeouts"),
            controls,
            os.getloadavg()[0],
            stolen / total if total else 0.0,
            busy / total if total else 0.0,
            len(self._driver.hosts) / (os.cpu_count() or 1),
            tuple(reasons(wire, controls, self._least_latency)),
        )

    def _protocols(self) -> dict[str, Mapping[str, int]]:
        return {name: protocol_counters(host.pid) for name, host in self._driver.hosts.items()}

    def _grown(self, counters: Mapping[str, Mapping[str, int]], key: str) -> int:
        return sum(
            found.get(key, 0) - self._counters.get(name, {}).get(key, 0) for name, found in counters.items()
        )

    @staticmethod
    def _congestion_control(pid: int) -> str:
        with inside(pid):
            return Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()


def reasons(wire: WireStats, congestion_control: tuple[str, ...], least_latency: float | None) -> list[str]:
    """Why an emulation is not to be believed; nothing if it is.

    Args:
        wire: How the network fared.
        congestion_control: What the hosts use.
        least_latency: The smallest latency of a link, in seconds, of those that have one; None if none has.
    """
    found = []
    if wire.realtime is False:
        found.append(
            "the fabric ran at normal priority: other work delays its packets (root gives SCHED_FIFO)"
        )
    most = MOST_LATENESS
    if least_latency is not None:
        most = min(most, MOST_LATENESS_SHARE * least_latency)
    if wire.lateness_p99 is not None and wire.lateness_p99 >= most:
        found.append(
            f"one packet in a hundred was {1e3 * wire.lateness_p99:.3g} ms late or more; "
            f"up to {1e3 * most:.3g} ms would do"
        )
    if wire.cpu_share_max is not None and wire.cpu_share_max >= MOST_CPU:
        found.append(
            f"the fabric took {wire.cpu_share_max:.0%} of a core in its busiest second; "
            f"below {MOST_CPU:.0%} it keeps up"
        )
    if wire.queue_drops:
        where = ", ".join(list(wire.link_drops)[:3])
        found.append(
            f"full queues dropped {wire.queue_drops} packets, which the simulator does not ({where})"
        )
    if wire.other_drops:
        found.append(f"hosts dropped {wire.other_drops} packets that no link lost")
    if wire.past_horizon:
        found.append("it ran for longer than the changes of its links were known for")
    if "bbr" in congestion_control:
        found.append("bbr takes the pauses of collectives for a slow path; use reno or cubic")
    return found


def _ticks() -> tuple[int, int, int]:
    """Clock ticks of all cores since boot: in all, busy, stolen."""
    first = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, idle, waiting, interrupts, soft, stolen = map(int, first[:8])
    busy = user + nice + system + interrupts + soft
    return busy + idle + waiting + stolen, busy, stolen
