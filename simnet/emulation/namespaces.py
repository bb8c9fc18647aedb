"""Network namespaces from inside: entering one, its settings, its addresses, and TUN devices in it.

Everything here acts on the namespace that the calling thread is in, by system calls alone.
"""

import ctypes
import fcntl
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import IPv4Interface
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
_SIOCSIFMTU, _SIOCSIFTXQLEN = 0x8922, 0x8943
_IFF_UP = 0x1
_TUNSETIFF, _TUNSETOFFLOAD = 0x400454CA, 0x400454D0
_IFF_TUN, _IFF_NO_PI, _IFF_VNET_HDR = 0x1, 0x1000, 0x4000
_CHECKSUM, _TSO4 = 1, 2
_MAY_BE_ABSENT = ("ipv6/", "ipv4/tcp_tso_rtt_log")
QUEUED_PACKETS = 10_000
"""How many packets a TUN device holds for the fabric; the kernel's 500 would drop what a burst brings."""


def enter_namespace(pid: int) -> None:
    """Move the calling thread to the network namespace of a process; needs root, `OSError` else.

    For a whole process to be there it must have one thread, as after a fork.
    """
    descriptor = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    try:
        _enter(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def inside(pid: int) -> Iterator[None]:
    """Be in the network namespace of a process for a while; only this thread is."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        enter_namespace(pid)
        yield
    finally:
        _enter(home)
        os.close(home)


def _enter(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"setns: {os.strerror(error)}")


def settings(congestion_control: str, window: int, train_shift: int) -> dict[str, str]:
    """What hosts have under `/proc/sys/net`, so that transfers neither depend on what came before nor on
    this machine's defaults."""
    return {
        "ipv6/conf/all/disable_ipv6": "1",
        "ipv6/conf/default/disable_ipv6": "1",
        "ipv4/tcp_congestion_control": congestion_control,
        "ipv4/tcp_slow_start_after_idle": "0",
        "ipv4/tcp_no_metrics_save": "1",
        # A socket that asks for a pace has TCP spread young windows over half a round trip: not this slowly.
        "ipv4/tcp_pacing_ss_ratio": "1000",
        "ipv4/tcp_pacing_ca_ratio": "1000",
        "ipv4/tcp_tso_rtt_log": str(train_shift),
        "ipv4/tcp_wmem": f"4096 {min(window, 16384)} {window}",
        # Half of a receive buffer is for the kernel's own bookkeeping.
        "ipv4/tcp_rmem": f"4096 {min(2 * window, 131072)} {2 * window}",
    }


def apply_settings(chosen: Mapping[str, str]) -> None:
    """Write settings; those of IPv6 and the length of trains are passed over where the kernel has none.

    Raises `OSError` that names the setting where the kernel refuses one.
    """
    for key, value in chosen.items():
        file = Path("/proc/sys/net", key)
        if key.startswith(_MAY_BE_ABSENT) and not file.exists():
            continue
        try:
            file.write_text(value)
        except OSError as error:
            raise OSError(error.errno, f"net.{key.replace('/', '.')} = {value}: {error.strerror}") from None


def bring_up(interface: str, address: IPv4Interface | None = None, mtu: int | None = None) -> None:
    """Give an interface its address and MTU, and take it up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        name = interface.encode()
        if mtu is not None:
            fcntl.ioctl(control, _SIOCSIFMTU, struct.pack("16si20x", name, mtu))
        if address is not None:
            for request, packed in (
                (_SIOCSIFADDR, address.ip.packed),
                (_SIOCSIFNETMASK, address.netmask.packed),
            ):
                fcntl.ioctl(control, request, struct.pack("16sHH4s16x", name, socket.AF_INET, 0, packed))
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", name, _IFF_UP))


def open_tun(interface: str, address: IPv4Interface, mtu: int, trains: bool) -> int:
    """Make a TUN device in this namespace that is up and has the address; gives its descriptor.

    What is read and written are IPv4 packets behind the ten bytes of a virtio header; with `trains` the
    kernel leaves it to that header to say how a TCP packet of up to 64 kB is to be cut.
    """
    descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    flags = _IFF_TUN | _IFF_NO_PI | _IFF_VNET_HDR
    fcntl.ioctl(descriptor, _TUNSETIFF, struct.pack("16sH22x", interface.encode(), flags))
    set_trains(descriptor, trains)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SIOCSIFTXQLEN, struct.pack("16si20x", interface.encode(), QUEUED_PACKETS))
    bring_up(interface, address, mtu)
    return descriptor


def set_trains(descriptor: int, trains: bool) -> None:
    """Whether TCP packets come in trains from now on; checksums are left to the reader in any case."""
    fcntl.ioctl(descriptor, _TUNSETOFFLOAD, _CHECKSUM | _TSO4 if trains else _CHECKSUM)
