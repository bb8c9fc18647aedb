"""Node-link JSON, as networkx, d3 and others write it: `{"nodes": [{"id": ...}], "links": [{"source":
...}]}`.
"""

import json
from typing import Any

from simnet.network.files.graph import FileEdge, FileGraph, FileNode, UnreadableError


def parse_node_link(text: str) -> FileGraph:
    """The graph of a file, whose edges may be called `links` or `edges`; raises `UnreadableError`."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise UnreadableError(f"not JSON: line {error.lineno}: {error.msg}") from None
    except RecursionError:
        raise UnreadableError("not JSON that can be read: nested too deeply") from None
    if not isinstance(value, dict) or not isinstance(value.get("nodes"), list):
        raise UnreadableError("not node-link JSON: no list of `nodes` at the top")
    edge_key = next((key for key in ("links", "edges") if isinstance(value.get(key), list)), None)
    if edge_key is None:
        raise UnreadableError("not node-link JSON: no list of `links` (or `edges`) at the top")
    nodes = [_record(node, "node", ("id",), i) for i, node in enumerate(value["nodes"])]
    edges = [_record(edge, "link", ("source", "target"), i) for i, edge in enumerate(value[edge_key])]
    return FileGraph(
        tuple(FileNode(_name(node.pop("id")), node) for node in nodes),
        tuple(FileEdge(_name(edge.pop("source")), _name(edge.pop("target")), edge) for edge in edges),
        value.get("directed") is True,
    )


def _record(value: Any, what: str, needed: tuple[str, ...], index: int) -> dict[str, Any]:
    if not isinstance(value, dict) or any(key not in value for key in needed):
        raise UnreadableError(f"{what} {index} is not a mapping with {' and '.join(needed)}")
    return dict(value)


def _name(identity: object) -> str:
    return identity if isinstance(identity, str) else json.dumps(identity)
