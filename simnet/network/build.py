"""From a scenario to its network: the shape, who lives where, resources, and what may be assumed of them."""

import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import networkx as nx

from simnet.network.dynamics import dynamics_of
from simnet.network.generators import shape_of
from simnet.network.ignored_loss import check_heeded, ignored_loss
from simnet.network.overlay import overlay_neighbors
from simnet.network.placement import Access, Placement, needs_server_host, place, workers_asked_for
from simnet.network.profiles import Profile
from simnet.network.rates import Rates
from simnet.network.shapes import TOPOLOGY_PATH, Setting, Shape, topologies
from simnet.network.shapes.shape import SERVER, with_bandwidths
from simnet.network.topology import Topology
from simnet.network.written_routes import written_routes
from simnet.scenario import Scenario, ScenarioError, ServerConfig, TopologyConfig


class NetworkWarning(UserWarning):
    """Something was mended or assumed to make a network of what the scenario names."""


def build_topology(scenario: Scenario, with_server: bool = False) -> Topology:
    """The network of a scenario, the same each time.

    What had to be repaired (in a file, or in a random draw with `connect`) is told by a `NetworkWarning`.

    Args:
        scenario: Its `network`, `workers`, `server` and `seed` matter.
        with_server: Whether an algorithm needs a server. Without `server.node` a star or full mesh gets one
            more host for it; without a `server` section the defaults of one apply. A server that is placed by
            name is there in any case, so that the network is the same for all algorithms.

    Raises:
        ScenarioError: The topology's options are wrong, its nodes are not all connected, workers and server
            do not fit on it, or links lose packets and nothing says what that does to messages.
    """
    network = scenario.network
    server = scenario.server or ServerConfig()
    config = network.topology
    server_host = with_server and needs_server_host(topologies.get(config.kind), config.kind, server)
    setting = Setting(
        network.link,
        workers_asked_for(scenario.workers),
        server_host,
        scenario.seed,
        scenario.folder_of(TOPOLOGY_PATH),
    )
    shape = shape_of(config, setting)
    for repair in shape.repairs:
        warnings.warn(f"network.topology: {repair}", NetworkWarning, stacklevel=2)
    without_effect = ignored_loss(network, shape.cables)
    if without_effect is not None:
        warnings.warn(without_effect, NetworkWarning, stacklevel=2)
        shape = replace(shape, notes=(*shape.notes, without_effect))
    check_heeded(scenario)
    placed = server if with_server or server.node is not None else None
    placement = place(shape, scenario.workers, placed)
    absent = (SERVER,) if SERVER not in shape.hosts and _may_have_a_server(config, server) else ()
    overlay = overlay_neighbors(scenario, placement.workers)
    topology = _assembled(shape, placement, scenario, overlay, absent)
    _check_connected(topology)
    return topology


def _may_have_a_server(config: TopologyConfig, server: ServerConfig) -> bool:
    """Whether the network of an algorithm with a server has one more host than that of another."""
    kind = topologies.get(config.kind)
    return kind is not None and kind.makes_server_host and server.node is None


def _check_connected(topology: Topology) -> None:
    graph = topology.graph
    first = next(iter(graph))
    for way, reached in (
        ((first, None), nx.descendants(graph, first)),
        ((None, first), nx.ancestors(graph, first)),
    ):
        apart = next((node for node in graph if node not in reached and node != first), None)
        if apart is not None:
            start, end = way[0] or apart, way[1] or apart
            raise ScenarioError.at(
                TOPOLOGY_PATH,
                f"the network is in pieces: there is no path from {start} to {end}",
                expected="links that connect all nodes",
            )


class _Resources:
    """The resources that have been made so far."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.profiles: list[Profile] = []
        self.fatpipes: set[int] = set()

    def add(self, name: str, profile: Profile, fatpipe: bool = False) -> int:
        self.names.append(name)
        self.profiles.append(profile)
        if fatpipe:
            self.fatpipes.add(len(self.names) - 1)
        return len(self.names) - 1


def _assembled(
    shape: Shape,
    placement: Placement,
    scenario: Scenario,
    overlay: Mapping[str, tuple[str, ...]] | None,
    absent: tuple[str, ...],
) -> Topology:
    network, rates = scenario.network, Rates(scenario)
    latencies: dict[tuple[str, str], Profile] = {}
    graph: nx.DiGraph[str] = nx.DiGraph(geographic=shape.geographic)
    graph.add_nodes_from(shape.hosts, switch=False)
    graph.add_nodes_from(shape.switches, switch=True)
    for node, position in shape.positions.items():
        graph.nodes[node]["position"] = position
    resources = _Resources()
    own = dict(placement.access)
    for cable in shape.cables:
        if shape.access_links and cable.a in own and not graph.nodes[cable.a]["switch"]:
            access = own.pop(cable.a)
            if cable.link.duplex != "full":
                raise _shared_access(access)
            cable = with_bandwidths(cable, from_a=access.uplink, to_a=access.downlink)
        a, b, there, back = cable.a, cable.b, cable.link, cable.back or cable.link
        both = f"{a}--{b}" if there.duplex == "half" else f"{a}->{b}"
        name = f"{a}-{b}"
        capacity = rates.bandwidth(there.bandwidth, there.efficiency, name)
        index = resources.add(both, capacity, there.fatpipe)
        ways = [(a, b, there, index)]
        if there.duplex == "full":
            capacity = rates.bandwidth(back.bandwidth, back.efficiency, name)
            index = resources.add(f"{b}->{a}", capacity, back.fatpipe)
        if there.duplex != "simplex":
            ways.append((b, a, back, index))
        for start, end, link, resource in ways:
            latencies[start, end] = rates.latency(link.latency, name)
            attributes: Mapping[str, Any] = {
                "link": name,
                "latency": latencies[start, end].mean,
                "bandwidth": resources.profiles[resource].mean,
                "loss": link.loss,
                "duplex": link.duplex,
                "resource": resource,
                "config": link,
            }
            graph.add_edge(start, end, **attributes)
    efficiency = network.link.efficiency if network.link else 1.0
    for node, access in own.items():
        for key, value in (("uplink", access.uplink), ("downlink", access.downlink)):
            if value is not None:
                name, path = f"{node} {key}", (*access.path, key)
                profile = rates.bandwidth(value, efficiency, name, path)
                graph.nodes[node][key] = resources.add(name, profile)
    return Topology(
        shape.hosts,
        shape.switches,
        placement.workers,
        placement.server,
        tuple(profile.mean for profile in resources.profiles),
        tuple(resources.names),
        graph,
        network.routing or shape.routing,
        network.ecmp,
        frozenset(resources.fatpipes),
        written_routes(network.routes, graph),
        overlay,
        network.rerouting,
        notes=(*shape.repairs, *shape.notes),
        dynamics=dynamics_of(scenario, graph, rates, resources.profiles, latencies, absent),
    )


def _shared_access(access: Access) -> ScenarioError:
    key = "uplink" if access.uplink is not None else "downlink"
    return ScenarioError.at(
        (*access.path, key),
        "a half-duplex access link has one bandwidth for both directions",
        expected="network.link.duplex: full, or no uplink and downlink",
    )
