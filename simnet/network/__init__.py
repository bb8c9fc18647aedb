"""The network: topologies, routes, and the fluid flows that messages are.

`build_topology` turns a scenario's network into a `Topology`; a `FluidNetwork` carries messages over it in
virtual time, with max-min fair rates from an `Allocator`.
"""

from simnet.network.allocator import Allocator
from simnet.network.build import NetworkWarning, build_topology
from simnet.network.clock import Alarm, Clock
from simnet.network.draining import SOLVE_PRIORITY
from simnet.network.dynamics import Dynamics
from simnet.network.fluid import FluidNetwork
from simnet.network.invariants import InvariantError
from simnet.network.max_min import max_min
from simnet.network.routing import NoRouteError, Route, RouteTable
from simnet.network.shapes import topologies
from simnet.network.summary import Summary, summarise
from simnet.network.topology import Topology
from simnet.network.transfer import Transfer
from simnet.network.transport import Transport, transport_of

__all__ = [
    "SOLVE_PRIORITY",
    "Alarm",
    "Allocator",
    "Clock",
    "Dynamics",
    "FluidNetwork",
    "InvariantError",
    "NetworkWarning",
    "NoRouteError",
    "Route",
    "RouteTable",
    "Summary",
    "Topology",
    "Transfer",
    "Transport",
    "build_topology",
    "max_min",
    "summarise",
    "topologies",
    "transport_of",
]
