"""Collectives written over `send` and `recv`, the same for every runtime.

Each algorithm is a function that every member calls with the same group (node ids in rank order) and the same
tag. Costs are given in the alpha-beta model: latency a, b seconds per byte, p members, n bytes. The order of
additions is a function of the ranks alone, and all members end with the same bits.
"""

from simnet.runtime.collectives.dispatch import Collectives
from simnet.runtime.collectives.doubling import halving_doubling_all_reduce, recursive_doubling_all_reduce
from simnet.runtime.collectives.exchanges import all_to_all_at_once, pairwise_all_to_all
from simnet.runtime.collectives.hierarchical import hierarchical_all_reduce
from simnet.runtime.collectives.pipelined import pipelined_all_reduce, pipelined_broadcast, pipelined_reduce
from simnet.runtime.collectives.ring import (
    Rings,
    SteppedRings,
    ring_all_gather,
    ring_all_reduce,
    ring_reduce_scatter,
)
from simnet.runtime.collectives.scattered import scattered_broadcast
from simnet.runtime.collectives.server import parameter_server_all_reduce
from simnet.runtime.collectives.steps import Reduction, pass_on, reduce_in_order, together
from simnet.runtime.collectives.tree import tree_all_reduce, tree_barrier, tree_broadcast, tree_reduce

__all__ = [
    "Collectives",
    "Reduction",
    "Rings",
    "SteppedRings",
    "all_to_all_at_once",
    "halving_doubling_all_reduce",
    "hierarchical_all_reduce",
    "pairwise_all_to_all",
    "parameter_server_all_reduce",
    "pass_on",
    "pipelined_all_reduce",
    "pipelined_broadcast",
    "pipelined_reduce",
    "recursive_doubling_all_reduce",
    "reduce_in_order",
    "ring_all_gather",
    "ring_all_reduce",
    "ring_reduce_scatter",
    "scattered_broadcast",
    "together",
    "tree_all_reduce",
    "tree_barrier",
    "tree_broadcast",
    "tree_reduce",
]
