"""Networks for the tests of emulation, and what runs on their hosts."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from simnet.emulation.driver import Driver
from simnet.network import Topology, build_topology
from simnet.scenario import Scenario

PAYLOAD = 1448 / 1514
"""What TCP with timestamps carries of an Ethernet frame."""
CI = 0.2
"""How far real time may be off on a machine that does other things at once."""
_TRAFFIC = str(Path(__file__).with_name("traffic_program.py"))


def network(topology: Any, link: dict[str, Any] | None, seed: int = 0, **keys: Any) -> Topology:
    section = {"topology": topology, **({"link": link} if link else {}), **keys}
    return build_topology(
        Scenario.model_validate(
            {
                "name": "test",
                "seed": seed,
                "network": section,
                "workers": {"device": "cpu"},
                "task": {"name": "quadratic", "batch_size": 1, "optimizer": "sgd"},
                "algorithms": ["allreduce"],
                "stop": {"steps": 1},
            }
        )
    )


def star(nodes: int, bandwidth: str = "20 Mbps", latency: str = "5 ms", **keys: Any) -> Topology:
    link = {"bandwidth": bandwidth, "latency": latency}
    return network({"kind": "star", "nodes": nodes}, link, **keys)


def line(nodes: int, link: dict[str, Any], **keys: Any) -> Topology:
    """Hosts in a row, n0 to the last one."""
    names = [f"n{index}" for index in range(nodes)]
    links = [{"between": [a, b]} for a, b in pairwise(names)]
    return network({"kind": "explicit", "nodes": names, "links": links}, link, **keys)


def on(driver: Driver, host: str, *arguments: object) -> "subprocess.Popen[str]":
    """The traffic program on a host."""
    argv = [sys.executable, "-S", _TRAFFIC, *map(str, arguments)]
    return driver.popen(host, argv, stdout=subprocess.PIPE, text=True)


def said(process: "subprocess.Popen[str]") -> Any:
    """The next line of what a process prints."""
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, f"{process.args} ended with {process.wait()}"
    return json.loads(line)


def receiving(driver: Driver, host: str, port: int = 5000) -> "subprocess.Popen[str]":
    process = on(driver, host, "receive", driver.hosts[host].address, port)
    assert said(process) == "ready"
    return process


def transfer(
    driver: Driver, source: str, target: str, size: int, port: int = 5000
) -> list[tuple[float, int]]:
    """Send so many bytes over TCP; gives (instant, bytes so far) at the receiver."""
    receiver = receiving(driver, target, port)
    sender = on(driver, source, "send", driver.hosts[target].address, port, size)
    marks = said(receiver)
    sender.wait()
    return [(at, count) for at, count in marks]


def rate(marks: list[tuple[float, int]], begin: float = 0.25) -> float:
    """Payload bytes per second, without the first part, in which TCP gathers speed."""
    whole = marks[-1][1]
    first = next(mark for mark in marks if mark[1] >= begin * whole)
    last = marks[-1]
    return (last[1] - first[1]) / (last[0] - first[0])


def echoes(
    driver: Driver, source: str, target: str, count: int = 20, gap: float = 0.005
) -> list[float | None]:
    """Round trips of small UDP packets in seconds; None for those that were lost."""
    server = on(driver, target, "echo", driver.hosts[target].address, 6000)
    assert said(server) == "ready"
    found: list[float | None] = said(
        on(driver, source, "ping", driver.hosts[target].address, 6000, count, gap)
    )
    server.kill()
    return found
