"""What every way of emulating a network offers: hosts with addresses, processes on them, links that change.

A driver is used from one thread that outlives it, since what it starts dies with the thread that started it::

    with open_driver("fabric") as driver:
        hosts = driver.up(build_topology(scenario))
        server = driver.popen("n0", ["iperf3", "-s", "-1"])
        driver.start()                                  # the clock of `network.events` begins
        driver.set_link("n0", "hub", LinkChange(bandwidth=2.5e6))
        print(driver.stats())
"""

import subprocess
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

if TYPE_CHECKING:
    from simnet.network import Topology

DriverName = Literal["fabric", "mininet"]
INTERFACE = "sim0"
"""What a host's interface is called with the fabric, in every namespace alike."""


class EmulationError(Exception):
    """A network could not be emulated: what was asked for, what stands in the way, what would do instead."""


@dataclass(frozen=True, slots=True)
class EmulatedHost:
    """One host: a network namespace of its own, held open by a process of the driver."""

    name: str
    """What the scenario calls it."""
    address: str
    """Its IPv4 address, the same under which all other hosts reach it."""
    interface: str
    """The interface that has the address; what `GLOO_SOCKET_IFNAME` takes."""
    pid: int
    """A process in its namespace that lives as long as the emulation: `enter_namespace(pid)`, for a process
    that was forked and has one thread, or `/proc/<pid>/net` to read from outside."""


@dataclass(frozen=True, slots=True)
class DriverOptions:
    """How a network is emulated, where the scenario does not say it."""

    overhead_bytes: int = 14
    """Bytes that a link is charged per packet beside the IP packet: an Ethernet header, as the kernel counts
    it. 38 counts checksum, preamble and gap as well."""
    mtu: int = 1500
    queue: float | None = None
    """Seconds of its nominal rate that a link queues before it drops; None: as much as there is. (fabric)"""
    sparse_first: bool = True
    """Whether sparse packets overtake what their own host has queued on its first link: TCP acknowledgements,
    and single packets of connections that have nothing queued there. Linux hosts do so (fq_codel, RFC 8290,
    the default queue of most distributions), and their TCP keeps that queue short; here it would hold whole
    windows, and whoever sends and receives at once, or asks while it sends, would wait. (fabric)"""
    congestion_control: str = "reno"
    """`net.ipv4.tcp_congestion_control` in every host. Not bbr, which loses a fifth in collectives."""
    window: int | None = None
    """Bytes of a connection's buffers (`tcp_wmem`, half of `tcp_rmem`). None: four times what the host's
    longest route holds, between 128 KiB and the kernel's own 4 MiB. Larger ones fill queues for seconds, and
    acknowledgements wait in them."""
    segmentation_offload: bool | None = None
    """Whether packets travel in trains; None: where no link loses any and queues hold a second. (fabric)"""
    realtime: bool = True
    """Whether the fabric asks for SCHED_FIFO. Without it results are indicative at best."""
    horizon: float = 3600.0
    """Seconds after :meth:`Driver.start` up to which links follow the scenario's changes. (fabric)"""


@dataclass(frozen=True, slots=True)
class LinkChange:
    """What becomes of one way over a link; what is None stays as it is."""

    bandwidth: float | None = None
    """Bytes per second on the wire, headers included."""
    latency: float | None = None
    """Seconds."""
    loss: float | None = None
    """The probability that a packet is lost."""
    up: bool | None = None
    """False: nothing passes; what waits there goes on when it is up again."""


@dataclass(frozen=True, slots=True)
class WireStats:
    """How the network fared since :meth:`Driver.start` (or `up`). What a driver cannot know is None."""

    seconds: float
    """How long that is."""
    realtime: bool | None = None
    """Whether the fabric ran at SCHED_FIFO."""
    segmentation_offload: bool | None = None
    lateness_p50: float | None = None
    """Seconds by which packets were delivered later than their links say: median."""
    lateness_p99: float | None = None
    lateness_max: float | None = None
    cpu_share: float | None = None
    """The part of one core that the fabric took, over all."""
    cpu_share_max: float | None = None
    """The same in its busiest second."""
    packets: int = 0
    """Packets delivered; one train counts once."""
    bytes: float = 0.0
    """Bytes delivered, headers included."""
    lost: int = 0
    """Packets lost since links lose some: planned."""
    queue_drops: int = 0
    """Packets dropped by full queues."""
    other_drops: int = 0
    """Packets that hosts dropped before or after the wire: never planned."""
    past_horizon: bool = False
    """Whether it ran for longer than `DriverOptions.horizon`, and links that change no longer did."""
    link_bytes: Mapping[str, float] = field(default_factory=dict)
    """Bytes carried by each link, by the resource names of the topology."""
    link_drops: Mapping[str, int] = field(default_factory=dict)
    """What each link dropped in its queue, where that is not 0."""


class Driver(ABC):
    """One emulated network, from :meth:`up` to :meth:`down`; a context manager that calls `down`.

    Everything that it makes is written to a state file first (`simnet.emulation.state`), every process that
    it starts dies with this one, and a guard process removes the rest if this one is killed.
    """

    name: ClassVar[DriverName]

    def __init__(self, options: DriverOptions | None = None, seed: int = 0) -> None:
        self.options = options or DriverOptions()
        self.seed = seed
        """For jitter and loss."""
        self.hosts: Mapping[str, EmulatedHost] = {}
        """As :meth:`up` gave them; empty before."""

    @abstractmethod
    def begin(self) -> None:
        """Write down that there is an emulation: from now on :meth:`popen` can start processes that are on
        no host. :meth:`up` does it where nobody has."""

    @abstractmethod
    def up(self, topology: "Topology", hosts: Iterable[str] | None = None) -> Mapping[str, EmulatedHost]:
        """Build the network of `topology`: its links, routes and rates as the simulator has them.

        Args:
            topology: What `build_topology` made.
            hosts: Which of its hosts get a namespace; by default those of workers and server.

        Raises:
            EmulationError: This driver cannot emulate it, or not on this machine. Nothing is left then.
        """

    @abstractmethod
    def start(self) -> float:
        """Begin the clock by which links change as the scenario says, and count statistics anew.

        Gives the instant, on the clock of `time.monotonic()`, which is the same in all processes here.
        """

    @abstractmethod
    def popen(
        self,
        host: str | None,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: Any = subprocess.DEVNULL,
        stdout: Any = None,
        stderr: Any = None,
        text: bool = False,
    ) -> "subprocess.Popen[Any]":
        """Start a process on a host; in the root namespace if `host` is None (a zygote).

        It leads a session and process group of its own, gets SIGKILL when this thread ends, and finds the
        emulation's mark in its environment, by which `simnet clean` knows it and what it forks. `env` is
        added to this process's environment. A process that forks children into hosts calls
        `simnet.emulation.processes.die_with_parent()` in each and `enter_namespace(host.pid)`.

        Raises `KeyError` for an unknown host, `OSError` if it cannot be started.
        """

    @abstractmethod
    def own_folder(self, folder: Path) -> None:
        """Have a folder removed with the emulation, however that ends."""

    @abstractmethod
    def set_link(self, a: str, b: str, change: LinkChange, *, at: float | None = None) -> None:
        """Change the link between two neighbours in the direction from a to b.

        Where one resource serves both directions (half duplex) bandwidth and `up` hold for both. `at` is an
        instant on the clock of `time.monotonic()`; None: now. The fabric keeps such an instant exactly.

        Raises `KeyError` where there is no such link, `EmulationError` for what the driver cannot do.
        """

    def separate(self, groups: Sequence[Mapping[str, int]], *, at: float | None = None) -> None:
        """Let only hosts that have the same number in all `groups` reach each other.

        What is sent to others stands still until they do; what is on its way arrives. An empty sequence: all
        reach each other. `at` as of :meth:`set_link`. Raises `EmulationError` for a driver that cannot.
        """
        raise EmulationError(f"the {self.name} driver has no partitions: take the driver fabric")

    @abstractmethod
    def crash(self, host: str, *, silent: bool = False) -> None:
        """Kill every process that was started on a host, with SIGKILL.

        Its kernel closes connections, so peers notice at once. With `silent` it is cut off first, as if the
        power had failed: peers notice by their own timeouts.
        """

    @abstractmethod
    def revive(self, host: str) -> None:
        """Connect a host again that crashed silently."""

    @abstractmethod
    def stats(self) -> WireStats:
        """How the network has fared so far."""

    @abstractmethod
    def cli(self) -> None:
        """Open Mininet's command line on the running network; returns when it is left."""

    @abstractmethod
    def down(self) -> None:
        """Take everything away: processes, namespaces, devices, the state file. Again is no error."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.down()


def open_driver(name: DriverName, options: DriverOptions | None = None, seed: int = 0) -> Driver:
    """The driver of that name; raises `EmulationError` with the table of `simnet doctor` if it cannot run."""
    from simnet.emulation.doctor import as_text, missing_for

    if missing := missing_for(name):
        raise EmulationError(f"the {name} driver cannot run on this machine:\n\n{as_text(missing)}")
    if name == "fabric":
        from simnet.emulation.fabric import FabricDriver

        return FabricDriver(options, seed)
    from simnet.emulation.kernel import MininetDriver

    return MininetDriver(options, seed)
