"""`simnet topology`."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from simnet.cli.options import Overrides

if TYPE_CHECKING:
    from simnet.network import Summary, Topology
    from simnet.scenario import Scenario


def topology(
    scenario: Annotated[
        str,
        typer.Argument(
            help="A scenario or network file, or the name of one of the library (such as networks/wan-100m)."
        ),
    ],
    overrides: Overrides = None,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="DIR", help="Where the map goes, as PNG and PDF.")
    ] = Path("figures"),
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="For a network file, which has none: how many workers are on it. If not given, one on "
            "every host, or 8 where the file leaves the number of hosts open.",
        ),
    ] = None,
    draw: Annotated[bool, typer.Option("--map/--no-map", help="Whether to draw the map.")] = True,
) -> None:
    """Show a scenario's network without running anything: sizes, distances, bottlenecks, mixing, and a map.

    Of a sweep the first point is shown.
    """
    from simnet.network import NetworkWarning, summarise

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NetworkWarning)  # they are among the notes
        loaded, built = _built(scenario, overrides or (), workers)
    summary = summarise(built)
    for line in lines(loaded, built, summary):
        typer.echo(line)
    if draw:
        for path in _map(loaded, built, summary, output):
            typer.echo(f"map:          {path}")


def _built(name: str, overrides: Sequence[str], workers: int | None) -> "tuple[Scenario, Topology]":
    from simnet.network import build_topology
    from simnet.scenario import ScenarioError, load_network

    loaded = load_network(name, overrides, workers)
    try:
        return loaded, build_topology(loaded, with_server=loaded.server is not None)
    except ScenarioError as error:
        open_number = ("network", "topology", "nodes")
        if workers is None and any(problem.path == open_number for problem in error.problems):
            again = load_network(name, overrides, 8)
            if again != loaded:  # a network file, whose workers are made up
                return again, build_topology(again, with_server=again.server is not None)
        raise ScenarioError(error.problems, error.source or loaded.source) from None


def lines(scenario: "Scenario", topology: "Topology", summary: "Summary") -> list[str]:
    """The summary for people, a line per question."""
    from simnet.units import format_bandwidth, format_seconds

    switches = f", {summary.switches} switches" if summary.switches else ""
    of_pairs = " (of a sample of pairs)" if summary.sampled else ""
    narrow, wide = format_bandwidth(summary.least_bandwidth), format_bandwidth(summary.greatest_bandwidth)
    told = [
        f"topology:     {scenario.network.topology.kind}",
        f"nodes:        {summary.hosts} hosts{switches}; {summary.workers} workers"
        + (f", server on {topology.server}" if topology.server else ""),
        f"links:        {summary.links}",
        f"distance:     {summary.hops} hops, {format_seconds(summary.latency)} one way at most; "
        f"median {format_seconds(summary.median_latency)}{of_pairs}",
        f"idle pair:    {narrow if narrow == wide else f'{narrow} to {wide}'}{of_pairs}",
    ]
    if summary.loads:
        told.append(f"bottlenecks:  if every worker sends to every other one{of_pairs}")
        told += [
            f"    {load.name}: {format_bandwidth(load.bandwidth)} for {load.pairs:.1%} of the pairs"
            for load in summary.loads[:5]
        ]
        alike = sum(load.each <= summary.loads[0].each * (1 + 1e-9) for load in summary.loads[5:])
        told += [f"    and {alike} more that are as narrow as the first"] if alike else []
    if summary.cut is not None and summary.cut.links:
        cut = summary.cut
        links = ", ".join(cut.links[:4]) + (f", ... ({len(cut.links)} in all)" if len(cut.links) > 4 else "")
        told.append(
            f"narrowest:    {format_bandwidth(cut.bandwidth)} over all paths "
            f"from {cut.source} to {cut.target}: {links}"
        )
    least, most = summary.degrees
    told.append(f"neighbours:   {least if least == most else f'{least} to {most}'} per worker")
    if summary.spectral_gap is not None:
        told.append(
            f"spectral gap: {summary.spectral_gap:.4g} of the Metropolis matrix (1 averages in one round)"
        )
    told += [f"note:         {note}" for note in topology.notes]
    return told


def _map(scenario: "Scenario", topology: "Topology", summary: "Summary", folder: Path) -> list[Path]:
    from simnet_analysis import MapLink, MapNode, save_figure, topology_figure

    workers = set(topology.workers)
    worst = summary.loads[0].each if summary.loads else 0.0
    narrow = {load.resource for load in summary.loads if load.each <= worst * 1.02}
    if len(narrow) > len(topology.capacities) / 2:
        narrow = set()  # where everything is as narrow as everything else there is no bottleneck to show
    nodes = [
        MapNode(
            name,
            "server"
            if name == topology.server and name not in workers
            else "worker"
            if name in workers
            else "switch"
            if attributes["switch"]
            else "host",
            attributes.get("position"),
        )
        for name, attributes in topology.graph.nodes(data=True)
    ]
    links = {}
    for a, b in topology.graph.edges:
        resources = topology.resources_of(a, b)
        links[frozenset((a, b))] = MapLink(
            a, b, max(topology.capacities[r] for r in resources), not narrow.isdisjoint(resources)
        )
    title = f"{scenario.name}: {scenario.network.topology.kind}, {summary.workers} workers"
    figure = topology_figure(
        nodes, list(links.values()), geographic=topology.graph.graph["geographic"], title=title
    )
    return save_figure(figure, folder / f"topology-{scenario.name}")
