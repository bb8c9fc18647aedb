"""Mininet's hosts as simnet uses them: what they leave behind is known, and dies with its driver.

Mininet is imported where it is needed: it is not installed everywhere, and ends the process where one of its
programs is missing.
"""

import subprocess
from typing import TYPE_CHECKING, Any

from simnet.emulation import processes

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

    class MarkedHost(Host):  # type: ignore[misc]
        """A network namespace with a shell in it."""

        def _popen(self, command: list[str], **options: Any) -> "subprocess.Popen[Any]":
            # mnexec -d makes the session: before it, this process must not lead a group.
            return processes.start(command, mark, session=False, **options)

    return MarkedHost


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
