"""What the tests of collectives share: the algorithms, and stars on which they are exact."""

import torch

ALL_REDUCES = [
    "ring",
    "tree",
    "recursive-doubling",
    "halving-doubling",
    "auto",
    {"name": "pipelined-chain", "chunks": 3},
    {"name": "pipelined-tree", "chunks": 2},
    {"name": "pipelined-chain"},
    {"name": "hierarchical", "group_size": 2},
    {"name": "hierarchical", "group_size": 3},
    {"name": "hierarchical"},
    {"name": "parameter-server", "servers": 1},
    {"name": "parameter-server", "servers": 2},
]
BROADCASTS = [
    "binomial",
    "scatter-all-gather",
    "auto",
    {"name": "pipelined-chain", "chunks": 3},
    {"name": "pipelined-tree", "chunks": 2},
]
BANDWIDTH = 12.5e6
LATENCY = 2 * 0.005
"""Of the route between two leaves of the star: two access links."""


def star(members, **network):
    """Changes for a star of so many workers; keywords are keys of its network."""
    changes = {"network.topology": {"kind": "star", "nodes": members}, "task.charge_as": None}
    return {**changes, **{f"network.{key}": value for key, value in network.items()}}


def name_of(algorithm):
    """A test's name for an algorithm and its options."""
    if isinstance(algorithm, str):
        return algorithm
    return "-".join(str(value) for value in algorithm.values())


def vector(rank, size, seed=0):
    """What a member brings: whole numbers, whose sums are exact in any order."""
    generator = torch.Generator().manual_seed(1000 * seed + rank)
    return torch.randint(-50, 50, (size,), generator=generator).float()
