"""Export for SimGrid: a platform as XML, flows as text, to hold simnet's times against SimGrid's.

Every resource becomes a link of its own (a full-duplex link is two), with its latency; capacities that
change become profile files. `flows.txt` has one line per flow: id, source, target, bytes, start, and the
flows that it waits for (`-` if none), separated by tabs. Replay it with actors that wait, sleep until the
start, and put `bytes` into a mailbox of the target. For max-min fairness without SimGrid's calibrated
corrections run with `--cfg=network/model:CM02
--cfg=network/crosstraffic:0 --cfg=network/TCP-gamma:1e30 --cfg=network/weight-S:0`; latency comes first
there, and shares go with the inverse of latency (that is `simnet transfers --model cm02_rtt_weighted`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pandas as pd

from simnet.network.cases import FlowCase
from simnet.network.topology import Topology
from simnet.scenario import ScenarioError


@dataclass(frozen=True)
class Link:
    """A link in one direction (or both, if they share it)."""

    bandwidth: float
    latency: float
    fatpipe: bool = False
    changes: tuple[tuple[float, float], ...] = ()
    """(time, bandwidth) in order."""


@dataclass(frozen=True)
class Flow:
    """A message."""

    id: str
    source: str
    target: str
    bytes: float
    start: float
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Platform:
    """What SimGrid needs to know."""

    hosts: tuple[str, ...]
    links: Mapping[str, Link]
    routes: Mapping[tuple[str, str], tuple[str, ...]]
    flows: Sequence[Flow] = field(default=())


def platform_of_case(case: FlowCase) -> Platform:
    """The platform of a flow case.

    Raises:
        ScenarioError: Two flows between the same nodes take different routes, which SimGrid does not know.
    """
    links = {}
    for name, link in case.resources.items():
        changes = sorted(
            (event.time, event.bandwidth) for event in case.bandwidth_events if event.link == link.id
        )
        links[name] = Link(link.bandwidth, link.latency, link.policy == "fatpipe", tuple(changes))
    routes: dict[tuple[str, str], tuple[str, ...]] = {}
    for index, flow in enumerate(case.flows):
        way = tuple(case.way(flow))
        if routes.setdefault((flow.src, flow.dst), way) != way:
            raise ScenarioError.at(
                ("flows", index, "route"),
                f"another route from {flow.src} to {flow.dst} than before: SimGrid has one",
            )
    flows = [Flow(flow.id, flow.src, flow.dst, flow.bytes, flow.start, flow.after) for flow in case.flows]
    return Platform(case.nodes, links, routes, flows)


def platform_of_run(topology: Topology, transfers: pd.DataFrame) -> Platform:
    """The platform of a scenario's network, with the transfers of a run at the times when they started."""
    latencies = dict.fromkeys(range(len(topology.capacities)), 0.0)
    for _, _, link in topology.graph.edges(data=True):
        latencies[link["resource"]] = link["latency"]
    names = topology.resource_names
    links = {
        names[index]: Link(capacity, latencies[index], index in topology.fatpipes)
        for index, capacity in enumerate(topology.capacities)
    }
    routes, flows = {}, []
    for row in transfers.sort_values(["start", "id"]).to_dict("records"):
        source, target = row["source"], row["target"]
        if source != target:
            routes[source, target] = tuple(names[index] for index in topology.route(source, target).resources)
            flows.append(Flow(str(row["id"]), source, target, row["bytes"], row["start"]))
    return Platform(tuple(topology.graph), links, routes, flows)


def folder_name(name: str) -> str:
    """A case's name as that of a folder."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "case"


def write_platform(platform: Platform, folder: Path) -> None:
    """Write `platform.xml`, `flows.txt` and the profiles of links that change into `folder`, which is
    made."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [
        "<?xml version='1.0'?>",
        '<!DOCTYPE platform SYSTEM "https://simgrid.org/simgrid.dtd">',
        '<platform version="4.1">',
        '  <zone id="network" routing="Full">',
        *(f'    <host id={quoteattr(host)} speed="1Gf"/>' for host in platform.hosts),
    ]
    for number, (name, link) in enumerate(platform.links.items()):
        profile = ""
        if link.changes:
            file = f"bandwidth-{number}.profile"
            profile = f' bandwidth_file="{file}"'
            (folder / file).write_text("".join(f"{time!r} {rate!r}\n" for time, rate in link.changes))
        policy = "FATPIPE" if link.fatpipe else "SHARED"
        lines.append(
            f'    <link id={quoteattr(name)} bandwidth="{link.bandwidth!r}Bps" latency="{link.latency!r}s" '
            f'sharing_policy="{policy}"{profile}/>'
        )
    for (source, target), names in platform.routes.items():
        if source != target:
            lines.append(f'    <route src={quoteattr(source)} dst={quoteattr(target)} symmetrical="NO">')
            lines += [f"      <link_ctn id={quoteattr(name)}/>" for name in names]
            lines.append("    </route>")
    lines += ["  </zone>", "</platform>", ""]
    (folder / "platform.xml").write_text("\n".join(lines), encoding="utf-8")
    rows = [
        "\t".join(
            (
                flow.id,
                flow.source,
                flow.target,
                repr(flow.bytes),
                repr(flow.start),
                ",".join(flow.after) or "-",
            )
        )
        for flow in platform.flows
    ]
    (folder / "flows.txt").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
