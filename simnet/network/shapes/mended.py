"""Graphs from files made fit for a network: names that differ, one link between two nodes, one piece."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import networkx as nx

from simnet.network.files.graph import FileEdge, FileGraph, FileNode
from simnet.network.shapes.shape import TOPOLOGY_PATH
from simnet.scenario import ScenarioError

Pieces = Literal["refuse", "largest"]
OneWay = Literal["refuse", "duplex", "simplex"]
Attributes = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Edges:
    """What the file says about the link between two nodes: all edges there, and those back in a directed
    graph.
    """

    a: str
    b: str
    there: tuple[Attributes, ...]
    back: tuple[Attributes, ...]
    """Empty where the edges of `there` hold for both ways."""
    simplex: bool


@dataclass(frozen=True, slots=True)
class MendedGraph:
    """Nodes by name with their attributes, the edges between each two, and what was mended."""

    nodes: Mapping[str, Attributes]
    between: Mapping[tuple[str, str], Edges]
    repairs: tuple[str, ...]
    notes: tuple[str, ...]

    def degree(self, name: str) -> int:
        """How many nodes it is linked to."""
        return sum(name in pair for pair in self.between)


def mended(graph: FileGraph, one_way: OneWay, pieces: Pieces, file: str) -> MendedGraph:
    """`graph` with every repair that it needs.

    Raises:
        ScenarioError: It is in pieces, or edges of a directed graph lead one way only, and the options do not
        say
            what to do about it.
    """
    names, repairs = _names(graph.nodes)
    loops = [edge for edge in graph.edges if edge.source == edge.target]
    if loops:
        repairs.append(
            f"left out {_count(loops, 'edge')} from a node to itself: "
            f"{listed([names[edge.source] for edge in loops])}"
        )
    edges = [edge for edge in graph.edges if edge.source != edge.target]
    between: dict[tuple[str, str], Edges] = {}
    together: dict[tuple[str, str], list[FileEdge]] = {}
    for edge in edges:
        a, b = names[edge.source], names[edge.target]
        together.setdefault((b, a) if (b, a) in together else (a, b), []).append(edge)
    lonely = []
    for (a, b), group in together.items():
        there = tuple(e.attributes for e in group if names[e.source] == a)
        back = tuple(e.attributes for e in group if names[e.source] != a)
        if not graph.directed:
            there, back = (*there, *back), ()
        elif not back:
            lonely.append(f"{a} to {b}")
        between[a, b] = Edges(a, b, there, back, simplex=graph.directed and not back and one_way == "simplex")
    if lonely and one_way == "refuse":
        raise ScenarioError.at(
            (*TOPOLOGY_PATH, "path"),
            f"{file}: a directed graph with {_count(lonely, 'edge')} that {_have(lonely)} none in return: "
            f"{listed(lonely)}",
            expected="one_way: duplex (links go both ways) or one_way: simplex",
        )
    if lonely and one_way == "duplex":
        repairs.append(
            f"{_count(lonely, 'one-way edge')} taken for links in both directions: {listed(lonely)}"
        )
    kept, left_out = _one_piece(list(names.values()), between, pieces, file)
    if left_out:
        repairs.append(
            f"left out {_count(left_out, 'node')} that {_have(left_out)} no path to the rest: "
            f"{listed(left_out)}"
        )
    by_name = {names[node.id]: node.attributes for node in graph.nodes}
    return MendedGraph(
        {name: attributes for name, attributes in by_name.items() if name in kept},
        {pair: found for pair, found in between.items() if pair[0] in kept},
        tuple(f"{file}: {repair}" for repair in repairs),
        (),
    )


def _names(nodes: Sequence[FileNode]) -> tuple[dict[str, str], list[str]]:
    """A name for each id: its label, with the id added where other nodes have that label too."""
    labels = {node.id: str(node.attributes.get("label") or "").strip() for node in nodes}
    counts = Counter(labels.values())
    names, shared = {}, []
    for identity, label in labels.items():
        if not label:
            names[identity] = identity
        elif counts[label] == 1:
            names[identity] = label
        else:
            names[identity] = f"{label} ({identity})"
            shared.append(names[identity])
    clashes = [name for name, count in Counter(names.values()).items() if count > 1]
    if clashes:  # a label that reads like another node's id
        names = {
            identity: f"{label} ({identity})" if label else identity for identity, label in labels.items()
        }
        shared = list(names.values())
    repairs = []
    if shared:
        repairs.append(
            f"added the ids to the names of {_count(shared, 'node')} that share a label: {listed(shared)}"
        )
    unnamed = [identity for identity, label in labels.items() if not label]
    if unnamed and len(unnamed) < len(nodes):
        repairs.append(
            f"called {_count(unnamed, 'node')} without a label by {_its(unnamed)} id: {listed(unnamed)}"
        )
    return names, repairs


def _one_piece(
    names: Sequence[str], between: Mapping[tuple[str, str], Edges], pieces: Pieces, file: str
) -> tuple[set[str], list[str]]:
    """The nodes of the network, and those that are left out."""
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(names)
    graph.add_edges_from(between)
    found = sorted(nx.connected_components(graph), key=len, reverse=True)
    if len(found) == 1:
        return found[0], []
    outside = [name for name in names if name not in found[0]]
    if pieces == "refuse":
        raise ScenarioError.at(
            (*TOPOLOGY_PATH, "path"),
            f"{file}: the graph is in {len(found)} pieces: there is no path from the {len(found[0])} nodes "
            f"of the largest to {listed(outside)}",
            expected="pieces: largest, to leave these out",
        )
    return found[0], outside


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names for a message, the first few of many."""
    return ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "")


def _count(things: Sequence[object], what: str) -> str:
    return f"{len(things)} {what}{'' if len(things) == 1 else 's'}"


def _have(things: Sequence[object]) -> str:
    return "has" if len(things) == 1 else "have"


def _its(things: Sequence[object]) -> str:
    return "its" if len(things) == 1 else "their"
