"""The hosts that faults are about: by name, by site, or where the workers and the server are."""

from collections.abc import Sequence

from simnet.network import Topology
from simnet.scenario import Scenario, ScenarioError, nearest, one_of

SERVER = "server"
_LISTED = 8


class Places:
    """Where the nodes of a scenario's network live.

    Only hosts with a worker or the server on them count: what happens to others makes no difference.

    Args:
        scenario: Says where a server would be.
        topology: The network, which may have no server because the algorithm has none.
    """

    def __init__(self, scenario: Scenario, topology: Topology) -> None:
        self.workers = topology.workers
        self._server = topology.server
        elsewhere = scenario.server.node if scenario.server is not None else None
        self._absent = {SERVER, elsewhere} if topology.server is None else set()
        self.all = tuple(dict.fromkeys((*topology.workers, *filter(None, [topology.server]))))
        self._sites: dict[str, list[str]] = {}
        for host in self.all:
            for neighbor in topology.graph.successors(host):
                if topology.graph.nodes[neighbor]["switch"]:
                    self._sites.setdefault(neighbor, []).append(host)

    @property
    def sites(self) -> tuple[str, ...]:
        """The switches that hosts are on: the sites of `regions`, the racks of a hierarchy."""
        return tuple(self._sites)

    def trains(self, host: str) -> bool:
        """Whether a worker lives there."""
        return host in self.workers

    def named(self, names: Sequence[str], path: tuple[str | int, ...]) -> tuple[str, ...]:
        """The hosts that are called so; `server` is where the server lives, if there is one.

        Raises `ScenarioError` for a name that nobody has.
        """
        found: list[str] = []
        for name in names:
            if name == SERVER and self._server is not None:
                found.append(self._server)
            elif name in self.all:
                found.append(name)
            elif name not in self._absent:
                known = ", ".join(self.all[:_LISTED]) + (", ..." if len(self.all) > _LISTED else "")
                raise ScenarioError.at(
                    path,
                    "nobody lives on a node of this name",
                    given=name,
                    expected=f"a host such as {known}, or server",
                    suggestion=nearest(name, self.all),
                )
        return tuple(dict.fromkeys(found))

    def at_sites(self, names: Sequence[str], path: tuple[str | int, ...]) -> tuple[str, ...]:
        """The hosts of these sites. Raises `ScenarioError` for a site that is not there."""
        for name in names:
            if name not in self._sites:
                raise ScenarioError.at(
                    path,
                    "there is no site of this name",
                    given=name,
                    expected=one_of(self._sites) if self._sites else "a network whose hosts are on switches",
                    suggestion=nearest(name, self._sites),
                )
        return tuple(dict.fromkeys(host for name in names for host in self._sites[name]))

    def site_of(self, host: str, path: tuple[str | int, ...]) -> str:
        """The site that a host is at. Raises `ScenarioError` if it is at none or at several."""
        found = [site for site, hosts in self._sites.items() if host in hosts]
        if len(found) != 1:
            where = "no site: it is on no switch" if not found else f"several: {', '.join(found)}"
            raise ScenarioError.at(path, f"{host} is at {where}", given="site", expected="alone or all")
        return found[0]

    def groups(
        self, groups: Sequence[Sequence[str]], path: tuple[str | int, ...]
    ) -> tuple[tuple[str, ...], ...]:
        """Groups of names of hosts and sites as hosts, with all others as a last group.

        Raises `ScenarioError` for unknown names, and hosts that are in two groups.
        """
        found: list[tuple[str, ...]] = []
        for index, names in enumerate(groups):
            hosts: list[str] = []
            for name in names:
                hosts += self._sites[name] if name in self._sites else self.named((name,), (*path, index))
            for before in found:
                for host in hosts:
                    if host in before:
                        raise ScenarioError.at((*path, index), f"{host} is in two groups", given=list(names))
            found.append(tuple(dict.fromkeys(hosts)))
        taken = {host for hosts in found for host in hosts}
        rest = tuple(host for host in self.all if host not in taken)
        return tuple(group for group in (*found, rest) if group)
