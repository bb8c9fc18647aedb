"""GML (Himsolt, 1997): `graph [ node [ id 0 label "a" ] edge [ source 0 target 1 ] ]`.

networkx refuses what is common in the wild: edges that repeat without `multigraph 1`, labels that repeat,
bare words as values. This reader takes them as they are, and leaves it to others to make sense of them.
"""

import html
import re
from typing import Any

from simnet.network.files.graph import FileEdge, FileGraph, FileNode, UnreadableError

_TOKEN = re.compile(r'"(?P<text>[^"]*)"|(?P<open>\[)|(?P<close>\])|(?P<word>[^\s\[\]"]+)')
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
Pairs = list[tuple[str, Any]]


def parse_gml(text: str) -> FileGraph:
    """The graph of a GML file; raises `UnreadableError` with the line where it is none."""
    graphs = [value for key, value in _pairs(text) if key.lower() == "graph"]
    if len(graphs) != 1 or not isinstance(graphs[0], list):
        raise UnreadableError(f"not GML with one graph: it has {len(graphs)} of them")
    nodes, edges, directed = [], [], False
    for key, value in graphs[0]:
        if key == "node":
            attributes = _record(value, "node", ("id",))
            nodes.append(FileNode(str(attributes.pop("id")), attributes))
        elif key == "edge":
            attributes = _record(value, "edge", ("source", "target"))
            edges.append(FileEdge(str(attributes.pop("source")), str(attributes.pop("target")), attributes))
        elif key == "directed":
            directed = value == 1
    return FileGraph(tuple(nodes), tuple(edges), directed)


def _record(value: object, what: str, needed: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, list):
        raise UnreadableError(f"a {what} that is not in brackets: {value}")
    record = dict(value)
    for key in needed:
        if isinstance(record.get(key), list) or key not in record:
            raise UnreadableError(f"a {what} without {key}: {_shown(record)}")
    return record


def _shown(record: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in list(record.items())[:3]) or "an empty one"


def _pairs(text: str) -> Pairs:
    """Keys and values, lists nested; the stack is our own, so that no file can exhaust Python's."""
    text = _COMMENT.sub("", text)
    stack: list[Pairs] = [[]]
    key: str | None = None
    end = 0
    for token in _TOKEN.finditer(text):
        if text[end : token.start()].strip():
            raise UnreadableError(f"line {_line(text, end)}: a quote that is not closed")
        end = token.end()
        if token["close"]:
            if key is not None or len(stack) == 1:
                raise UnreadableError(
                    f"line {_line(text, token.start())}: a ] too many, or `{key}` without a value"
                )
            stack.pop()
        elif token["open"]:
            if key is None:
                raise UnreadableError(f"line {_line(text, token.start())}: a [ without a key before it")
            inner: Pairs = []
            stack[-1].append((key, inner))
            stack.append(inner)
            key = None
        elif key is None:
            if token["word"] is None or not re.fullmatch(r"[A-Za-z_][\w.-]*", token["word"]):
                raise UnreadableError(f"line {_line(text, token.start())}: not a key: {token[0][:40]}")
            key = token["word"]
        else:
            value = html.unescape(token["text"]) if token["text"] is not None else _scalar(token["word"])
            stack[-1].append((key, value))
            key = None
    if text[end:].strip():
        raise UnreadableError(f"line {_line(text, end)}: a quote that is not closed")
    if key is not None or len(stack) > 1:
        raise UnreadableError("the file ends too early: it has been cut off, or is not GML")
    return stack[0]


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


def _scalar(word: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word
