"""Mininet's hosts as simnet uses them: what they leave behind is known, and dies with its driver.

Mininet is imported where it is needed: it is not installed everywhere, and ends the process where one of its
programs is missing.
"""

import subprocess
from typing import TYPE_CHECKING, Any

from simnet.emulation import processes
from simnet.emulation.driver import EmulationError

if TYPE_CHECKING:
    from mininet.net import Mininet


def new_network(**options: Any) -> "Mininet":
    """A Mininet without anything in it yet, and without a controller.

    Mininet's own preparation is left out: it raises limits of this machine for good, and asks for 10.0.0.0/8.
    """
    from mininet.net import Mininet

    Mininet.inited = True
    return Mininet(build=False, controller=None, ipBase="198.18.40.0/21", **options)


def host_class(mark: str) -> type[Any]:
    """Mininet's `Host` whose shell dies with this thread and bears the emulation's mark."""
    from mininet.node import Host

    return _marked(Host, mark)


def bridge_class(mark: str) -> type[Any]:
    """Mininet's `LinuxBridge` in a namespace of its own, made with `ip` instead of `brctl`."""
    from mininet.nodelib import LinuxBridge

    class Bridge(LinuxBridge):
        """A switch that forwards at once: it knows no spanning tree, so its network must be a tree."""

        controlIntf = None  # noqa: N815 - Mininet's name

        @classmethod
        def setup(cls) -> None:
            """Nothing is asked of this machine: `doctor` has."""

        def start(self, _controllers: object) -> None:
            """Join the interfaces."""
            self.cmd("ip link add bridge0 type bridge")
            for interface in self.intfNames():
                if interface != "lo":
                    self.cmd(f"ip link set {interface} master bridge0 up")
            self.cmd("ip link set bridge0 up")

        def stop(self, deleteIntfs: bool = True) -> None:  # noqa: N803 - Mininet's name
            """Nothing: it is gone with its namespace."""

    return _marked(Bridge, mark)


def _marked(kind: type[Any], mark: str) -> type[Any]:
    class Marked(kind):
        """A Mininet node whose shell dies with this thread and bears the emulation's mark."""

        def _popen(self, command: list[str], **options: Any) -> "subprocess.Popen[Any]":
            # mnexec -d makes the session: before it, this process must not lead a group.
            return processes.start(command, mark, session=False, **options)

    return Marked


def shaped_interface() -> type[Any]:
    """Mininet's `TCIntf`, which raises `EmulationError` where `tc` refuses."""
    from mininet.link import TCIntf

    class Shaped(TCIntf):
        """An interface with a rate."""

        def tc(self, cmd: str, tc: str = "tc") -> str:
            """Run one command of `tc`; its advice on HTB's quantum does not matter for one class."""
            said: str = super().tc(cmd, tc)
            if " qdisc show " not in cmd and said and "quantum of class" not in said:
                raise EmulationError(f"{cmd % (tc, self.name)}: {said.strip()}")
            return said if " qdisc show " in cmd else ""

    return Shaped


def attach(host: Any, interface: str, address: str, prefix: int) -> None:
    """Tell a Mininet host of an interface that is there or will be, so that its command line knows it."""
    from mininet.link import Intf

    known = Intf(interface, node=host, moveIntfFn=lambda *_: None, up=False)
    known.ip, known.prefixLen = address, str(prefix)


def entering(pid: int, argv: list[str]) -> list[str]:
    """The command that runs `argv` in the namespaces of a host's process."""
    return ["mnexec", "-a", str(pid), *argv]


def command_line(network: "Mininet") -> None:
    """Open Mininet's command line on a network; returns when it is left."""
    from mininet.cli import CLI

    CLI(network)
