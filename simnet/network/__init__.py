"""The network: topologies, routes, and the fluid flows that messages are.

`build_topology` turns a scenario's network into a `Topology`; a `FluidNetwork` carries messages over it in
virtual time, with max-min fair rates from an `Allocator`.
"""

from simnet.network.allocator import Allocator, max_min
from simnet.network.fluid import SOLVE_PRIORITY, FluidNetwork
from simnet.network.invariants import InvariantError
from simnet.network.routing import Route, RouteTable
from simnet.network.shapes import topologies
from simnet.network.topology import Topology, build_topology
from simnet.network.transfer import Transfer

__all__ = [
    "SOLVE_PRIORITY",
    "Allocator",
    "FluidNetwork",
    "InvariantError",
    "Route",
    "RouteTable",
    "Topology",
    "Transfer",
    "build_topology",
    "max_min",
    "topologies",
]
