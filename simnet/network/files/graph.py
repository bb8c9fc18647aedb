"""What a graph file says, before anything is made of it: nodes and edges with attributes, in their order."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


class UnreadableError(ValueError):
    """A file does not say what its format demands; the message says what and where."""


@dataclass(frozen=True, slots=True)
class FileNode:
    """A node: its identity in the file, as text, and what else the file says about it."""

    id: str
    attributes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class FileEdge:
    """An edge between two nodes, by their identities."""

    source: str
    target: str
    attributes: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class FileGraph:
    """Nodes and edges as they stand in the file: edges may repeat, and lead from a node to itself."""

    nodes: tuple[FileNode, ...]
    edges: tuple[FileEdge, ...]
    directed: bool = False

    def __post_init__(self) -> None:
        """Raises `UnreadableError` where two nodes have one identity, or an edge's end is no node."""
        known: set[str] = set()
        for node in self.nodes:
            if node.id in known:
                raise UnreadableError(f"two nodes have the id {node.id}")
            known.add(node.id)
        for edge in self.edges:
            for end in (edge.source, edge.target):
                if end not in known:
                    raise UnreadableError(f"the edge {edge.source} - {edge.target}: there is no node {end}")
        if not self.nodes:
            raise UnreadableError("the file has no nodes")


def read_graph(file: Path, form: str) -> FileGraph:
    """The graph in a file of the format `graphml`, `gml` or `node-link`.

    Raises:
        UnreadableError: It is not what the format demands.
        OSError: It cannot be read.
    """
    from simnet.network.files.gml import parse_gml
    from simnet.network.files.graphml import parse_graphml
    from simnet.network.files.node_link import parse_node_link

    if form == "graphml":
        return parse_graphml(file.read_bytes())
    parsers: dict[str, Callable[[str], FileGraph]] = {"gml": parse_gml, "node-link": parse_node_link}
    return parsers[form](read_text(file))


def read_text(file: Path) -> str:
    """Text in UTF-8, or in Latin-1 where it is not UTF-8: older files of the Topology Zoo are."""
    data = file.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")
