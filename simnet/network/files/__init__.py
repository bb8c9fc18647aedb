"""Graphs and round-trip times out of files, as they are found in the wild."""

from simnet.network.files.graph import FileEdge, FileGraph, FileNode, UnreadableError, read_graph
from simnet.network.files.rtt import RttMatrix, read_rtt, shipped_names

__all__ = [
    "FileEdge",
    "FileGraph",
    "FileNode",
    "RttMatrix",
    "UnreadableError",
    "read_graph",
    "read_rtt",
    "shipped_names",
]
