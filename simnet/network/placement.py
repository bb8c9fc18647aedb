"""Who lives where: each worker's host, the server's node, and the up- and downlinks they have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from simnet.network.shapes import Shape, TopologyKind
from simnet.scenario import ScenarioError, ServerConfig, Varying, WorkerGroup, nearest

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """What a node has of its own, in bytes per second (or as it varies), and where the scenario says so."""

    uplink: float | Varying | None
    downlink: float | Varying | None
    path: Path


@dataclass(frozen=True, slots=True)
class Placement:
    """Each worker's host in their order, the server's node, and who has links of their own."""

    workers: tuple[str, ...]
    server: str | None
    access: Mapping[str, Access]


def workers_asked_for(groups: Sequence[WorkerGroup]) -> int | None:
    """How many workers there are, or None where a group takes the rest of the hosts."""
    counts = [_size(group) for group in groups]
    return None if None in counts else sum(count for count in counts if count is not None)


def place(shape: Shape, groups: Sequence[WorkerGroup], server: ServerConfig | None) -> Placement:
    """Put workers on hosts, and the server (if there is to be one) on its node.

    Hosts that a group names are kept for it; the other groups take what is left, in order. A host that is
    named for the server is its own if there are enough others, else it shares it with a worker.

    Raises:
        ScenarioError: Workers and hosts do not come out even, or a named host is unknown, a switch or taken.
    """
    hosts = [host for host in shape.hosts if host != shape.server]
    named = _named_hosts(groups, hosts, shape.switches)
    free = [host for host in hosts if host not in named]
    open_groups = [i for i, group in enumerate(groups) if _size(group) is None]
    counted = sum(group.count for group in groups if group.count is not None)
    if server is not None and server.node in free and len(free) > counted + len(open_groups):
        free.remove(server.node)
    rest = len(free) - counted
    if rest < 0 or (open_groups and rest == 0) or (rest > 0 and not open_groups and not shape.spare_hosts):
        raise _not_even(counted + len(named), len(named) + len(free), open_groups)
    workers: list[str] = []
    access: dict[str, Access] = {}
    for i, group in enumerate(groups):
        if group.nodes is not None:
            mine = list(group.nodes)
        else:
            size = rest if group.count is None else group.count
            mine, free = free[:size], free[size:]
        workers += mine
        if group.uplink is not None or group.downlink is not None:
            access |= {host: Access(group.uplink, group.downlink, ("workers", i)) for host in mine}
    node = None if server is None else _server_node(shape, server)
    if node is not None and server is not None and (server.uplink is not None or server.downlink is not None):
        if node in access:
            group_path = ".".join(map(str, access[node].path))
            raise ScenarioError.at(
                ("server", "uplink" if server.uplink is not None else "downlink"),
                f"{node} has an up- or downlink from {group_path} already",
                expected="one of the two to say it",
            )
        access[node] = Access(server.uplink, server.downlink, ("server",))
    return Placement(tuple(workers), node, access)


def needs_server_host(kind: type[TopologyKind] | None, name: str, server: ServerConfig) -> bool:
    """Whether the server gets a host of its own; raises `ScenarioError` where it must be placed by name."""
    if server.node is not None:
        return False
    if kind is None or not kind.makes_server_host:
        raise ScenarioError.at(
            ("server", "node"),
            f"missing key: a topology of kind {name} has no place of its own for a server",
            expected="the host or switch that it lives on: server: {node: ...}",
        )
    return True


def _size(group: WorkerGroup) -> int | None:
    return group.count if group.nodes is None else len(group.nodes)


def _named_hosts(
    groups: Sequence[WorkerGroup], hosts: Sequence[str], switches: Sequence[str]
) -> dict[str, Path]:
    """The hosts that groups ask for by name, and where."""
    named: dict[str, Path] = {}
    for i, group in enumerate(groups):
        for j, host in enumerate(group.nodes or ()):
            path = ("workers", i, "nodes", j)
            if host in switches:
                raise ScenarioError.at(path, "a switch carries no worker", given=host, expected="a host")
            if host not in hosts:
                raise ScenarioError.at(
                    path,
                    "there is no host of this name",
                    given=host,
                    expected=f"one of {_listed(hosts)}",
                    suggestion=nearest(host, hosts),
                )
            if host in named:
                raise ScenarioError.at(
                    path, f"{'.'.join(map(str, named[host]))} names the same node already", given=host
                )
            named[host] = path
    return named


def _server_node(shape: Shape, server: ServerConfig) -> str | None:
    if server.node is None:
        return shape.server
    nodes = (*shape.hosts, *shape.switches)
    if server.node not in nodes:
        raise ScenarioError.at(
            ("server", "node"),
            "there is no node of this name",
            given=server.node,
            expected=f"one of {_listed(nodes)}",
            suggestion=nearest(server.node, nodes),
        )
    return server.node


def _not_even(workers: int, hosts: int, open_groups: Sequence[int]) -> ScenarioError:
    if workers > hosts or not open_groups:
        return ScenarioError.at(
            ("workers",),
            f"{workers} workers for {hosts} hosts",
            expected=f"{hosts} workers, or a group without `count` that takes the rest of the hosts"
            if workers < hosts
            else f"at most {hosts} workers, or more hosts in network.topology",
        )
    return ScenarioError.at(
        ("workers", open_groups[0]),
        f"no host is left for this group: the others take {workers} of {hosts} hosts",
        expected="fewer workers in the other groups, or more hosts in network.topology",
    )


def _listed(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[:most])}, ... ({len(names)} in all)"
