"""The kernel's counters, read from outside a namespace through a process that is in it."""

from collections.abc import Mapping
from pathlib import Path


def interface_drops(pid: int, interface: str) -> int:
    """Packets that an interface dropped on its way in and out; 0 if there is none of this name."""
    return interface_counts(pid, interface)[2]


def interface_counts(pid: int, interface: str) -> tuple[int, int, int]:
    """Bytes and packets that an interface has sent, and what it dropped; zeros if there is none."""
    for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == interface:
            counts = list(map(int, numbers.split()))
            return counts[8], counts[9], counts[3] + counts[11]
    return 0, 0, 0


def protocol_counters(pid: int) -> Mapping[str, int]:
    """What `/proc/net/snmp` and `/proc/net/netstat` count: `Tcp.RetransSegs`, `TcpExt.TCPTimeouts`, ..."""
    found: dict[str, int] = {}
    for name in ("snmp", "netstat"):
        path = Path(f"/proc/{pid}/net/{name}")
        lines = path.read_text().splitlines() if path.exists() else []
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            kind, _, rest = names.partition(":")
            for key, value in zip(rest.split(), values.split()[1:], strict=True):
                found[f"{kind}.{key}"] = int(value)
    return found
