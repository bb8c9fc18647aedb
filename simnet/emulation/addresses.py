"""Addresses for the hosts of an emulation."""

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from simnet.emulation.driver import EmulationError

_RANGES = ("198.18.40.0/21", "192.168.232.0/21", "172.30.232.0/21")
"""Never 10.0.0.0/8, in which resolvers are found: a host that believes them near waits for their answer.
The first is set aside for benchmarks of networks (RFC 2544)."""


def address_range(hosts: int, avoid: Iterable[IPv4Address] = ()) -> IPv4Network:
    """A range for so many hosts, as small as a /24 where that is enough, in which none of `avoid` lies.

    Raises `EmulationError` for more hosts than a range holds (2046).
    """
    avoided = tuple(avoid)
    for text in _RANGES:
        whole = IPv4Network(text)
        for network in whole.subnets(new_prefix=24) if hosts <= 254 else (whole,):
            if hosts <= network.num_addresses - 2 and not any(address in network for address in avoided):
                return network
    raise EmulationError(f"no range of addresses is left for {hosts} hosts: 2046 are the most")


def resolvers(configuration: Path = Path("/etc/resolv.conf")) -> list[IPv4Address]:
    """The IPv4 addresses of this machine's name servers."""
    if not configuration.exists():
        return []
    found = re.findall(r"^\s*nameserver\s+(\d+\.\d+\.\d+\.\d+)\s*$", configuration.read_text(), re.MULTILINE)
    return [IPv4Address(address) for address in found]
