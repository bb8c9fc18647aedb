"""The map of a run's network, out of what its links carried, with those that held messages up."""

from __future__ import annotations

import re
from dataclasses import dataclass

from matplotlib.figure import Figure

from simnet.results import ResultsError, Run
from simnet_analysis.quantities import say_seconds
from simnet_analysis.style import inches
from simnet_analysis.topology_map import MapLink, MapNode, Role, topology_figure

_LINK = re.compile(r"(?P<a>.+?)(?:->|--)(?P<b>.+)")


@dataclass(frozen=True)
class RunMap:
    """Nodes and links that carried something."""

    nodes: tuple[MapNode, ...]
    links: tuple[MapLink, ...]
    held_up: float
    """Message-seconds for which the bottlenecks bound messages."""


def run_map(run: Run, share: float = 0.5) -> RunMap:
    """The network as far as it carried anything. Bottlenecks: the links that together bound messages for a
    ``share`` of the time for which any link did, the worst first.

    Raises:
        ResultsError: The run sent nothing, or its links are not known.
    """
    table = run.links
    if table.empty:
        raise ResultsError(f"{run.folder} has no link use: nothing was sent, or it is of an old schema")
    totals = table.assign(length=table["end"] - table["start"]).groupby("resource", sort=False)
    rates = totals["capacity"].sum() / totals["length"].sum()
    bound = {name: seconds for name, seconds in run.bound_seconds().items() if name in rates.index}
    marked, held = set(), 0.0
    for name, seconds in bound.items():
        if held >= share * sum(bound.values()):
            break
        marked.add(name)
        held += seconds
    links: dict[frozenset[str], MapLink] = {}
    for resource, rate in rates.items():
        name = str(resource)
        match = _LINK.fullmatch(name)
        if match is None:  # an uplink or downlink that stands beside its node's links
            continue
        ends = frozenset((match["a"], match["b"]))
        before = links.get(ends)
        slower = min(float(rate), before.bandwidth if before else float("inf"))
        bad = name in marked or (before is not None and before.bottleneck)
        links[ends] = MapLink(match["a"], match["b"], slower, bad)
    working = {node for node in run.spans["node"].unique() if node != "server"}
    names = dict.fromkeys(end for link in links.values() for end in (link.a, link.b))
    talking = set(run.transfers["source"]) | set(run.transfers["target"])
    nodes = tuple(MapNode(name, _role(name, working, talking)) for name in names)
    return RunMap(nodes, tuple(links.values()), held)


def run_map_figure(run: Run, *, width: str | float = "column") -> Figure:
    """The network of a run as a map; bottlenecks are red and dashed (see `run_map`).

    Hosts that neither worked nor sent count as switches, since a run does not say what they are.
    ``simnet topology`` draws a scenario's whole network, with places.

    Raises:
        ResultsError: The run sent nothing, or its links are not known.
    """
    found = run_map(run)
    title = f"{run.label}; bottlenecks held messages up for {say_seconds(found.held_up)} in all"
    return topology_figure(found.nodes, found.links, title=title, width=inches(width))


def _role(name: str, working: set[str], talking: set[str]) -> Role:
    if name == "server":
        return "server"
    return "worker" if name in working else "host" if name in talking else "switch"
