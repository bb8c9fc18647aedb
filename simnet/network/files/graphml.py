"""GraphML (Brandes et al., 2002): nodes, edges and typed data of one graph."""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import NamedTuple

from simnet.network.files.graph import FileEdge, FileGraph, FileNode, UnreadableError


def _truth(text: str) -> bool:
    return text.strip().lower() in ("true", "1")


_TYPES: dict[str, Callable[[str], object]] = {
    "int": int,
    "integer": int,
    "long": int,
    "float": float,
    "double": float,
    "boolean": _truth,
    "string": str,
}


class _Key(NamedTuple):
    name: str
    kind: str
    domain: str
    default: str | None


def parse_graphml(data: bytes) -> FileGraph:
    """The graph of a GraphML file; raises `UnreadableError` where it is none, or has nested or several
    graphs.

    An edge's own `directed` is kept as the graph's where all edges agree; a value that its type does not fit
    is kept as text.
    """
    try:
        root = ET.fromstring(data)
    except ET.ParseError as error:
        raise UnreadableError(f"not XML: {error}") from None
    graphs = [element for element in root if _tag(element) == "graph"]
    if _tag(root) != "graphml" or len(graphs) != 1:
        raise UnreadableError(f"not GraphML with one graph: <{_tag(root)}> with {len(graphs)} of them")
    keys = {}
    for element in root:
        if _tag(element) == "key":
            default = next((child.text for child in element if _tag(child) == "default"), None)
            identity = element.get("id", "")
            name, kind = element.get("attr.name", identity), element.get("attr.type", "string")
            keys[identity] = _Key(name, kind, element.get("for", "all"), default)
    return _graph(graphs[0], keys)


def _graph(graph: ET.Element, keys: dict[str, _Key]) -> FileGraph:
    by_default = graph.get("edgedefault") == "directed"
    nodes, edges, directed = [], [], set()
    for element in graph:
        tag = _tag(element)
        if any(_tag(child) == "graph" for child in element):
            raise UnreadableError(
                f"a graph inside the {tag} {element.get('id')}: nested graphs are no network"
            )
        if tag == "hyperedge":
            raise UnreadableError("a hyperedge: a link has two ends")
        if tag == "node":
            nodes.append(FileNode(_needed(element, "id"), _data(element, keys)))
        elif tag == "edge":
            own = element.get("directed")
            directed.add(by_default if own is None else own == "true")
            edges.append(
                FileEdge(_needed(element, "source"), _needed(element, "target"), _data(element, keys))
            )
    if len(directed) > 1:
        raise UnreadableError("some edges are directed and some are not")
    return FileGraph(tuple(nodes), tuple(edges), directed == {True})


def _data(element: ET.Element, keys: dict[str, _Key]) -> dict[str, object]:
    found: dict[str, object] = {
        key.name: _typed(key, key.default)
        for key in keys.values()
        if key.default is not None and key.domain in ("all", _tag(element))
    }
    for child in element:
        if _tag(child) == "data":
            identity = child.get("key", "")
            key = keys.get(identity, _Key(identity, "string", "all", None))
            found[key.name] = _typed(key, child.text or "")
    return found


def _typed(key: _Key, text: str) -> object:
    try:
        return _TYPES.get(key.kind, str)(text)
    except ValueError:
        return text


def _needed(element: ET.Element, attribute: str) -> str:
    value = element.get(attribute)
    if value is None:
        raise UnreadableError(f"a <{_tag(element)}> without {attribute}")
    return value


def _tag(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]
