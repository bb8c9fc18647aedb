"""The `mininet` driver: Mininet hosts and links, shaped by the kernel.

Trees are bridges, graphs with loops are hosts that route; both live in namespaces of their own, so nothing is
in the root namespace. Bandwidths are HTB's; delay, jitter and loss are netem's, where the kernel has it.
"""

import json
import subprocess
import threading
import time
from collections.abc import Mapping
from ipaddress import IPv4Interface
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any

from simnet.emulation import hosts as mininet_hosts
from simnet.emulation import shaping
from simnet.emulation.addresses import address_range, resolvers
from simnet.emulation.counters import interface_counts
from simnet.emulation.driver import (
    INTERFACE,
    DriverOptions,
    EmulatedHost,
    EmulationError,
    LinkChange,
    WireStats,
)
from simnet.emulation.namespaces import apply_settings, bring_up, inside, settings
from simnet.emulation.running import MininetHostsDriver
from simnet.emulation.wiring import Hop, Wiring, wiring_of

if TYPE_CHECKING:
    from simnet.network import Topology

_BURST = "15k"
"""Mininet's own; a change keeps it."""


class MininetDriver(MininetHostsDriver):
    """Shapes links by the kernel's queues; needs root, network namespaces, veth, bridges and HTB."""

    name = "mininet"

    def __init__(self, options: DriverOptions | None = None, seed: int = 0) -> None:
        super().__init__(options, seed)
        self._wiring: Wiring | None = None
        self._interfaces: dict[Hop, Any] = {}
        """Mininet's interface at the beginning of each way over a link."""
        self._routes: dict[str, list[str]] = {}
        """The routes of each node, as `ip` takes them; none where bridges forward."""
        self._changes: list[tuple[float, str, Any, Any]] = []
        self._began = 0.0
        self._before: dict[str, tuple[int, int, int]] = {}
        self._drops_before: dict[str, int] = {}
        self._ending = threading.Event()

    def _build(self, topology: "Topology", names: tuple[str, ...]) -> Mapping[str, EmulatedHost]:
        wiring = self._wiring = wiring_of(topology, names)
        shaping.refuse(wiring)
        tree = shaping.is_tree(topology)
        passing = tuple(node for node in topology.graph if node not in names)
        needed = topology.switches if tree else passing
        addressed = names if tree else tuple(topology.graph)
        network = address_range(len(addressed), resolvers())
        addresses = dict(zip(addressed, map(str, network.hosts()), strict=False))
        self._network = mininet_hosts.new_network()
        self._add_hosts(names)
        if tree:
            self._add_switches(needed)
        else:
            self._add_hosts(needed)
        self._join(wiring)
        changes = wiring.changes(self.options.horizon)
        sending = wiring.sending(changes)
        hosts = {}
        for name in names:
            node = self._nodes[name]
            window = self.options.window or sending[name].window
            with inside(node.pid):
                apply_settings(settings(self.options.congestion_control, window, sending[name].train_shift))
                bring_up("lo")
                bring_up(INTERFACE, None, self.options.mtu)
            hosts[name] = EmulatedHost(name, addresses[name], INTERFACE, node.pid)
        if tree:
            for name in names:
                self._set_address(name, IPv4Interface(f"{addresses[name]}/{network.prefixlen}"))
            for name in needed:
                self._nodes[name].start([])
        else:
            self._route(wiring, addresses)
        self._changes = changes
        self._began = time.monotonic()
        return hosts

    def _add_switches(self, names: tuple[str, ...]) -> None:
        kind = mininet_hosts.bridge_class(self.state.mark)
        made = {
            name: self._network.addSwitch(name, cls=kind, inNamespace=True, dpid=f"{index + 1:x}")
            for index, name in enumerate(names)
        }
        self._nodes.update(made)
        self._remember_shells(made.values())

    def _join(self, wiring: Wiring) -> None:
        """Make a `TCLink` of every cable; a host's first interface is called `sim0`, others `sn...`."""
        from mininet.link import TCLink

        shaped = mininet_hosts.shaped_interface()
        numbers = count()
        named: set[str] = set()
        for a, b in wiring.ways:
            if (a, b) in self._interfaces or a not in self._nodes or b not in self._nodes:
                continue
            ends = []
            for node in (a, b):
                ends.append(f"{self.state.prefix}{next(numbers):x}" if node in named else INTERFACE)
                named.add(node)
            link = self._network.addLink(
                self._nodes[a],
                self._nodes[b],
                cls=TCLink,
                cls1=shaped,
                cls2=shaped,
                intfName1=ends[0],
                intfName2=ends[1],
                params1=shaping.parameters(wiring, (a, b)),
                params2=shaping.parameters(wiring, (b, a)),
            )
            self._interfaces[a, b], self._interfaces[b, a] = link.intf1, link.intf2

    def _set_address(self, name: str, address: IPv4Interface) -> None:
        node = self._nodes[name]
        with inside(node.pid):
            bring_up(INTERFACE, address)
        interface = node.nameToIntf[INTERFACE]
        interface.ip, interface.prefixLen = str(address.ip), str(address.network.prefixlen)

    def _route(self, wiring: Wiring, addresses: Mapping[str, str]) -> None:
        """Give each node one address, and a route to every host over the neighbour that is next on the way.

        A neighbour's address needs no route to it (`onlink`): it answers for it on every interface.
        """
        for name in addresses:
            self._set_address(name, IPv4Interface(f"{addresses[name]}/32"))
            self._routes[name] = []
        for source in wiring.hosts:
            for target in wiring.hosts:
                hops = wiring.topology.route(source, target).hops
                for here, following in pairwise(hops):
                    route = (
                        f"route replace {addresses[target]}/32 via {addresses[following]} "
                        f"dev {self._interfaces[here, following].name} onlink src {addresses[here]}"
                    )
                    if route not in self._routes[here]:
                        self._routes[here].append(route)
        for name in addresses:
            with inside(self._nodes[name].pid):
                apply_settings(
                    {
                        "ipv4/ip_forward": "1",
                        "ipv4/conf/all/rp_filter": "0",
                        "ipv4/conf/default/rp_filter": "0",
                    }
                )
                bring_up("lo")
            self._restore_routes(name)

    def _restore_routes(self, node: str) -> None:
        if self._routes.get(node):
            self._ip(node, self._routes[node])

    def _ip(self, node: str, commands: list[str]) -> None:
        done = subprocess.run(
            mininet_hosts.entering(self._nodes[node].pid, ["ip", "-batch", "-"]),
            input="\n".join(commands),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise EmulationError(f"{node}: {done.stderr.strip()}")

    # -- changes --------------------------------------------------------------------------------------

    def start(self) -> float:
        """See :meth:`Driver.start`. Links that change do so within some milliseconds."""
        self._up_wiring()
        self._before, self._drops_before = self._counts(), self._queue_drops()
        self._began = time.monotonic()
        if self._changes:
            threading.Thread(target=self._follow, args=(self._began,), daemon=True).start()
        return self._began

    def _follow(self, begin: float) -> None:
        wiring = self._up_wiring()
        ways = list(wiring.ways)
        owners: dict[int, Hop] = {
            edge["resource"]: (a, b) for a, b, edge in wiring.topology.graph.edges(data=True)
        }
        for at, kind, which, value in self._changes:
            if self._ending.wait(max(0.0, begin + at - time.monotonic())):
                return
            if kind == "rate":
                (a, b), change = owners[which], LinkChange(bandwidth=value)
            else:
                (a, b), change = ways[which], LinkChange(latency=value)
            self._apply(a, b, change)

    def set_link(self, a: str, b: str, change: LinkChange, *, at: float | None = None) -> None:
        """See :meth:`Driver.set_link`. Here `up` takes both directions, and drops what waits."""
        if (a, b) not in self._interfaces:
            raise KeyError(f"there is no link from {a} to {b}")
        if (change.latency is not None or change.loss is not None) and not self._has_netem(a, b):
            raise EmulationError(
                f"{a}->{b} has no netem: the mininet driver changes latency and loss only of links that "
                "begin with some. The fabric driver can: --driver fabric"
            )
        delay = 0.0 if at is None else at - time.monotonic()
        if delay > 0:
            timer = threading.Timer(delay, self._apply, (a, b, change))
            timer.daemon = True
            timer.start()
        else:
            self._apply(a, b, change)

    def _has_netem(self, a: str, b: str) -> bool:
        return "delay" in shaping.parameters(self._up_wiring(), (a, b))

    def _apply(self, a: str, b: str, change: LinkChange) -> None:
        interface = self._interfaces[a, b].name
        pid = self._nodes[a].pid
        if change.bandwidth == 0.0:
            change = LinkChange(latency=change.latency, loss=change.loss, up=False)
        if change.bandwidth is not None:
            rate = f"{change.bandwidth * 8:.0f}bit"
            self._tc(pid, "class", interface, f"classid 5:1 htb rate {rate} ceil {rate} burst {_BURST}")
        if change.latency is not None or change.loss is not None:
            edge = self._up_wiring().topology.graph.edges[a, b]
            latency = edge["latency"] if change.latency is None else change.latency
            loss = edge["loss"] if change.loss is None else change.loss
            netem = f"parent 5:1 handle 10: netem delay {latency * 1e6:.0f}us loss {100 * loss:.5f}%"
            self._tc(pid, "qdisc", interface, f"{netem} limit {shaping.NETEM_LIMIT}")
        if change.up is not None:
            self._ip(a, [f"link set {interface} {'up' if change.up else 'down'}"])
            if change.up:  # the kernel has forgotten the routes of an interface that was down
                self._restore_routes(a)
                self._restore_routes(b)

    def _tc(self, pid: int, what: str, interface: str, change: str) -> None:
        command = ["tc", what, "change", "dev", interface, *change.split()]
        done = subprocess.run(
            mininet_hosts.entering(pid, command), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise EmulationError(f"{' '.join(command)}: {done.stderr.strip()}")

    def _connect(self, host: str, connected: bool) -> None:
        for (a, b), interface in self._interfaces.items():
            if a == host:
                self._ip(host, [f"link set {interface.name} {'up' if connected else 'down'}"])
                if connected:
                    self._restore_routes(b)
        self._restore_routes(host)

    # -- statistics -----------------------------------------------------------------------------------

    def stats(self) -> WireStats:
        """See :meth:`Driver.stats`; the kernel does not say how late it is."""
        wiring = self._up_wiring()
        counts, drops = self._counts(), self._queue_drops()
        moved = {
            name: tuple(
                now - then for now, then in zip(counts[name], self._before.get(name, (0, 0, 0)), strict=True)
            )
            for name in counts
        }
        edges = wiring.topology.graph.edges
        dropped = {name: number - self._drops_before.get(name, 0) for name, number in drops.items()}
        names = wiring.topology.resource_names
        sent = {
            names[edges[way]["resource"]]: float(moved[f"{way[0]}->{way[1]}"][0]) for way in self._interfaces
        }
        received = {way[0] for way in self._interfaces} & set(self.hosts)
        return WireStats(
            time.monotonic() - self._began,
            bytes=sum(sent[names[edges[a, b]["resource"]]] for a, b in self._interfaces if b in received),
            packets=sum(moved[f"{a}->{b}"][1] for a, b in self._interfaces if b in received),
            other_drops=sum(numbers[2] for numbers in moved.values()),
            queue_drops=sum(dropped.values()),
            past_horizon=bool(self._changes) and time.monotonic() - self._began > self.options.horizon,
            link_bytes=sent,
            link_drops={name: number for name, number in dropped.items() if number},
        )

    def _counts(self) -> dict[str, tuple[int, int, int]]:
        """Bytes and packets sent over each way, and what its interface dropped."""
        return {
            f"{a}->{b}": interface_counts(self._nodes[a].pid, interface.name)
            for (a, b), interface in self._interfaces.items()
        }

    def _queue_drops(self) -> dict[str, int]:
        found: dict[str, int] = {}
        names = self._up_wiring().topology.resource_names
        by_node: dict[str, dict[str, Hop]] = {}
        for way, interface in self._interfaces.items():
            by_node.setdefault(way[0], {})[interface.name] = way
        for node, interfaces in by_node.items():
            command = mininet_hosts.entering(self._nodes[node].pid, ["tc", "-s", "-j", "qdisc", "show"])
            said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for queue in json.loads(said or "[]"):
                if queue.get("root") and queue.get("dev") in interfaces:
                    resource = self._up_wiring().topology.graph.edges[interfaces[queue["dev"]]]["resource"]
                    found[names[resource]] = queue.get("drops", 0)
        return found

    def _up_wiring(self) -> Wiring:
        if self._wiring is None:
            raise EmulationError("this driver is not up")
        return self._wiring

    def _before_down(self) -> None:
        self._ending.set()
        self._interfaces, self._changes = {}, []
