"""A network out of a file: what its attributes mean, what has to be mended, what the scenario must add."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from simnet.network.files.graph import FileGraph, UnreadableError, read_graph
from simnet.network.files.rtt import RttMatrix, read_rtt
from simnet.network.shapes.mended import MendedGraph, Pieces, listed, mended
from simnet.network.shapes.reading import Reading
from simnet.network.shapes.shape import (
    TOPOLOGY_PATH,
    Cable,
    Setting,
    Shape,
    TopologyKind,
    changed,
)
from simnet.scenario import LinkConfig, ScenarioError, nearest
from simnet.scenario.fields import Number

Format = Literal["graphml", "gml", "node-link", "rtt"]
_SUFFIXES: dict[str, Format] = {
    ".graphml": "graphml",
    ".xml": "graphml",
    ".gml": "gml",
    ".json": "node-link",
    ".csv": "rtt",
}
TimeUnit = Literal["us", "ms", "s"]
Hosts = Annotated[
    Annotated[Literal["all", "leaves"], Tag("<word>")]
    | Annotated[tuple[str, ...], Tag("<names>"), Field(min_length=1)]
    | Annotated[dict[str, str | int | float | bool], Tag("<attributes>"), Field(min_length=1)],
    Discriminator(
        lambda value: (
            "<attributes>" if isinstance(value, dict) else "<word>" if isinstance(value, str) else "<names>"
        )
    ),
]
_OF_GRAPHS = ("hosts", "parallel", "one_way", "pieces", "detour")


class GraphFile(TopologyKind):
    """A network from a file: GraphML, GML (both as in the Topology Zoo), node-link JSON, or a CSV of round
    trips.

    An edge's bandwidth is its `bandwidth` (text with a unit) or its `LinkSpeedRaw` (bit/s), its latency its
    `latency` (text with a unit) or what its ends' coordinates give; what a file does not say is
    `network.link`'s.
    """

    path: str = Field(description="The file, relative to the scenario.", min_length=1)
    format: Format | None = Field(
        None,
        description="graphml, gml, node-link, rtt; by the suffix (.graphml, .gml, .json, .csv) if not given.",
    )
    hosts: Hosts = Field(
        "all",
        description="Which nodes can carry workers: all, leaves (with one neighbour), names, or attributes "
        "they have, such as {type: Edge Node}. Others are switches, and nodes with `switch` true.",
    )
    parallel: Literal["add", "one"] = Field(
        "add",
        description="Several links between two nodes become one: bandwidths added, or just one of them.",
    )
    one_way: Literal["refuse", "duplex", "simplex"] = Field(
        "refuse",
        description="What an edge of a directed graph is that has none back: an error, duplex or simplex.",
    )
    pieces: Pieces = Field(
        "refuse", description="A graph that is not connected is refused, or reduced to its largest piece."
    )
    detour: Annotated[Number, Field(ge=1)] = Field(
        1.4,
        description="How much longer a cable is than the great circle between its ends, at 200 km per ms.",
    )
    unit: TimeUnit = Field("ms", description="For round trips: the unit of values that have none.")

    def shape(self, setting: Setting) -> Shape:
        """What the file describes; raises `ScenarioError` where it cannot be read or leaves gaps."""
        file = (setting.folder or Path()) / self.path
        form = self.format or _SUFFIXES.get(file.suffix.lower())
        if form is None:
            raise ScenarioError.at(
                (*TOPOLOGY_PATH, "path"),
                f"the suffix {file.suffix or '(none)'} says no format",
                given=self.path,
                expected="a file that ends in .graphml, .gml, .json or .csv, or `format:` beside it",
            )
        self._check_options(form)
        try:
            read = read_rtt(file, self.unit) if form == "rtt" else read_graph(file, form)
        except UnreadableError as error:
            raise ScenarioError.at(
                (*TOPOLOGY_PATH, "path"), f"{file.name}: {error}", given=self.path
            ) from None
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ScenarioError.at(
                (*TOPOLOGY_PATH, "path"), f"{file} cannot be read: {reason}", given=self.path
            ) from None
        return (
            _from_rtt(read, setting) if isinstance(read, RttMatrix) else self._from_graph(read, file, setting)
        )

    def _check_options(self, form: Format) -> None:
        useless = _OF_GRAPHS if form == "rtt" else ("unit",)
        for key in useless:
            if key in self.model_fields_set:
                raise ScenarioError.at(
                    (*TOPOLOGY_PATH, key),
                    f"says nothing about a file of the format {form}",
                    expected="no such key",
                )

    def _from_graph(self, read: FileGraph, file: Path, setting: Setting) -> Shape:
        graph = mended(read, self.one_way, self.pieces, file.name)
        reading = Reading(graph, setting.link, self.detour, self.parallel, file.name)
        cables = tuple(Cable(a, b, *reading.ways(edges)) for (a, b), edges in graph.between.items())
        switches = self._switches(graph)
        return Shape(
            tuple(name for name in graph.nodes if name not in switches),
            tuple(name for name in graph.nodes if name in switches),
            cables,
            spare_hosts=True,
            positions=reading.positions,
            geographic=True,
            repairs=(*graph.repairs, *reading.repairs()),
            notes=(*graph.notes, *reading.notes()),
        )

    def _switches(self, graph: MendedGraph) -> frozenset[str]:
        marked = {
            name for name, attributes in graph.nodes.items() if attributes.get("switch") in (True, 1, "true")
        }
        if self.hosts == "all":
            chosen = set(graph.nodes)
        elif self.hosts == "leaves":
            chosen = {name for name in graph.nodes if graph.degree(name) == 1}
        elif isinstance(self.hosts, Mapping):
            wanted = {key: str(value) for key, value in self.hosts.items()}
            chosen = {
                name
                for name, attributes in graph.nodes.items()
                if all(str(attributes.get(key)) == value for key, value in wanted.items())
            }
        else:
            for i, name in enumerate(self.hosts):
                if name not in graph.nodes:
                    raise ScenarioError.at(
                        (*TOPOLOGY_PATH, "hosts", i),
                        "the file has no node of this name",
                        given=name,
                        expected=f"one of {listed(list(graph.nodes), 12)}",
                        suggestion=nearest(name, graph.nodes),
                    )
            chosen = set(self.hosts)
        if not chosen - marked:
            keys = dict.fromkeys(key for attributes in graph.nodes.values() for key in attributes)
            raise ScenarioError.at(
                (*TOPOLOGY_PATH, "hosts"),
                "no node of the file is a host",
                given=self.hosts,
                expected=f"all, leaves, names of nodes, or attributes of theirs ({listed(list(keys), 12)})",
            )
        return frozenset(set(graph.nodes) - (chosen - marked))


def _from_rtt(matrix: RttMatrix, setting: Setting) -> Shape:
    """A host per site and a link between every two, with half the round trip as its latency."""
    if setting.link is None:
        raise ScenarioError.at(
            ("network", "link"),
            "missing key: round trips say nothing about bandwidths",
            expected="link: {bandwidth: 100 Mbps, latency: 0 s}",
        )
    link: LinkConfig = setting.link
    cables = []
    for i, a in enumerate(matrix.names):
        for b in matrix.names[i + 1 :]:
            there, back = matrix.latency(a, b), matrix.latency(b, a)
            same = there == back or link.duplex != "full"
            cables.append(
                Cable(
                    a,
                    b,
                    changed(link, latency=(there + back) / 2 if link.duplex != "full" else there),
                    None if same else changed(link, latency=back),
                )
            )
    notes = (*matrix.notes, "latencies are half the round trips; network.link.latency is not used")
    return Shape(
        matrix.names,
        (),
        tuple(cables),
        spare_hosts=True,
        routing="hops",
        positions=matrix.places,
        geographic=True,
        repairs=matrix.repairs,
        notes=notes,
    )
