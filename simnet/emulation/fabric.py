"""The `fabric` driver: one process carries every packet over the simulator's own graph, in real time.

Hosts are Mininet's. Each has one interface, `sim0`, whose other end the fabric holds: there is no bridge, no
router and no name outside the hosts' namespaces, and any graph will do, also one with loops.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simnet.emulation import hosts as mininet_hosts
from simnet.emulation import processes
from simnet.emulation.addresses import address_range, resolvers
from simnet.emulation.counters import interface_drops
from simnet.emulation.driver import (
    INTERFACE,
    DriverOptions,
    EmulatedHost,
    EmulationError,
    LinkChange,
    WireStats,
)
from simnet.emulation.namespaces import settings
from simnet.emulation.running import MininetHostsDriver
from simnet.emulation.wiring import Wiring, trains, wiring_of

if TYPE_CHECKING:
    from simnet.network import Topology


class FabricDriver(MininetHostsDriver):
    """Carries packets in user space; needs root, TUN devices and network namespaces."""

    name = "fabric"

    def __init__(self, options: DriverOptions | None = None, seed: int = 0) -> None:
        super().__init__(options, seed)
        self._wire: subprocess.Popen[bytes] | None = None
        self._wiring: Wiring | None = None
        self._down_resources: frozenset[int] = frozenset()
        self._dropped_before: dict[str, int] = {}
        self._asking = threading.Lock()

    def _build(self, topology: "Topology", names: tuple[str, ...]) -> Mapping[str, EmulatedHost]:
        network = address_range(len(names), resolvers())
        addresses = dict(zip(names, map(str, network.hosts()), strict=False))
        self._network = mininet_hosts.new_network()
        self._add_hosts(names)
        hosts = {}
        for name, node in self._nodes.items():
            mininet_hosts.attach(node, INTERFACE, addresses[name], network.prefixlen)
            hosts[name] = EmulatedHost(name, addresses[name], INTERFACE, node.pid)
        wiring = self._wiring = wiring_of(topology, names)
        options = self.options
        changes = wiring.changes(options.horizon)
        sending = wiring.sending(changes)
        plan = {
            "interface": INTERFACE,
            "mtu": options.mtu,
            "overhead": options.overhead_bytes,
            "queue": options.queue,
            "trains": trains(wiring, options),
            "sparse_first": options.sparse_first,
            "realtime": options.realtime,
            "seed": self.seed,
            "prefix": network.prefixlen,
            "hosts": [
                {
                    "address": host.address,
                    "pid": host.pid,
                    "settings": settings(
                        options.congestion_control,
                        options.window or sending[host.name].window,
                        sending[host.name].train_shift,
                    ),
                }
                for host in hosts.values()
            ],
            "links": wiring.links(),
            "ways": wiring.descriptions(),
            "routes": wiring.routes(),
            "changes": changes,
            "horizon": options.horizon,
        }
        self._wire = processes.start(
            [sys.executable, "-m", "simnet.emulation.wire"],
            self.state.mark,
            processes.module_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._remember(self._wire, "fabric")
        self._ask(plan)
        self.hosts = hosts
        return hosts

    def start(self) -> float:
        """See :meth:`Driver.start`."""
        begin: float = self._ask({"start": True})["start"]
        self._dropped_before = self._drops()
        return begin

    def set_link(self, a: str, b: str, change: LinkChange, *, at: float | None = None) -> None:
        """See :meth:`Driver.set_link`."""
        wiring = self._up_wiring()
        if (a, b) not in wiring.ways:
            raise KeyError(f"there is no link from {a} to {b}")
        resource, way = wiring.topology.graph.edges[a, b]["resource"], wiring.ways[a, b]
        changes: list[tuple[float | None, str, int | None, Any]] = []
        if change.bandwidth is not None:
            changes.append((at, "rate", resource, change.bandwidth))
        if change.latency is not None:
            changes.append((at, "latency", way, change.latency))
        if change.loss is not None:
            changes.append((at, "loss", way, change.loss))
        if change.up is not None:
            changes.append((at, "up", resource, change.up))
            if wiring.topology.rerouting:
                down = self._down_resources
                self._down_resources = down - {resource} if change.up else down | {resource}
                changes.append((at, "routes", None, wiring.routes(self._down_resources)))
        self._tell({"changes": changes})

    def separate(self, groups: Sequence[Mapping[str, int]], *, at: float | None = None) -> None:
        """See :meth:`Driver.separate`."""
        numbers = [[group.get(host) for host in self.hosts] for group in groups]
        self._tell({"changes": [(at, "apart", None, numbers)]})

    def _connect(self, host: str, connected: bool) -> None:
        self._tell({"changes": [(None, "connected", list(self.hosts).index(host), connected)]})

    def stats(self) -> WireStats:
        """See :meth:`Driver.stats`."""
        stats = WireStats(**self._ask({"stats": True}))
        before = self._dropped_before
        dropped = sum(count - before.get(name, 0) for name, count in self._drops().items())
        return replace(stats, other_drops=stats.other_drops + dropped)

    def _drops(self) -> dict[str, int]:
        """What hosts dropped since the fabric did not read it in time, or on its way in."""
        return {name: interface_drops(host.pid, host.interface) for name, host in self.hosts.items()}

    def _up_wiring(self) -> Wiring:
        if self._wiring is None or self._wire is None:
            raise EmulationError("this driver is not up")
        return self._wiring

    def _tell(self, command: dict[str, Any]) -> None:
        if self._wire is None or self._wire.stdin is None:
            raise EmulationError("this driver is not up")
        with suppress(BrokenPipeError):  # why it ended is told when it is asked
            self._wire.stdin.write(json.dumps(command).encode() + b"\n")
            self._wire.stdin.flush()

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        """Raises `EmulationError`, with what it said last, if the fabric has ended."""
        with self._asking:
            self._tell(command)
            wire = self._wire
            assert wire is not None
            assert wire.stdout is not None
            assert wire.stderr is not None
            line = wire.stdout.readline()
            if not line:
                said = wire.stderr.read().decode(errors="replace").strip()
                raise EmulationError(f"the fabric process ended (exit code {wire.wait()})\n{said}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise EmulationError(answer["error"])
        return answer

    def _before_down(self) -> None:
        if self._wire is None:
            return
        wire, self._wire = self._wire, None
        for stream in (wire.stdin, wire.stdout, wire.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        with suppress(subprocess.TimeoutExpired):
            wire.wait(timeout=1.0)


def tun_is_there() -> bool:
    """Whether the device file is there by which TUN devices are made."""
    return Path("/dev/net/tun").exists()
