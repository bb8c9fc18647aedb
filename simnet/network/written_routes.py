"""Routes that a scenario writes down itself."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import networkx as nx

from simnet.scenario import ScenarioError, nearest
from simnet.scenario.network import ExplicitRoute

Path = tuple[str | int, ...]


def written_routes(
    routes: Sequence[ExplicitRoute], graph: nx.DiGraph
) -> Mapping[tuple[str, str], tuple[str, ...]]:
    """The nodes of each route of `network.routes`, by source and target.

    Raises:
        ScenarioError: A node is unknown, two that follow each other have no link, a node comes twice, or two
            routes are from and to the same nodes.
    """
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for i, route in enumerate(routes):
        path: Path = ("network", "routes", i)
        places: list[Path] = [
            (*path, "from"),
            *((*path, "via", j) for j in range(len(route.via))),
            (*path, "to"),
        ]
        nodes = (route.source, *route.via, route.target)
        for node, at in zip(nodes, places, strict=True):
            _check_known(node, at, graph)
        again = next((at for j, at in enumerate(places) if nodes[j] in nodes[:j]), None)
        if again is not None:
            raise ScenarioError.at(again, "comes twice on this route", expected="every node at most once")
        ways = [nodes, nodes[::-1]] if route.both_ways else [nodes]
        for way in ways:
            for (a, b), at in zip(pairwise(way), places[1:], strict=True):
                if not graph.has_edge(a, b):
                    near = ", ".join(list(graph.successors(a))[:8]) or "nothing"
                    raise ScenarioError.at(
                        at, f"there is no link from {a} to {b}", expected=f"{a} is linked to {near}"
                    )
            if (way[0], way[-1]) in found:
                raise ScenarioError.at(
                    path, f"a second route from {way[0]} to {way[-1]}", expected="one of them"
                )
            found[way[0], way[-1]] = way
    return found


def _check_known(node: str, at: Path, graph: nx.DiGraph) -> None:
    if node not in graph:
        names = list(graph)
        listed = ", ".join(names[:12]) + (f", ... ({len(names)} in all)" if len(names) > 12 else "")
        raise ScenarioError.at(
            at,
            "there is no node of this name",
            given=node,
            expected=f"one of {listed}",
            suggestion=nearest(node, names),
        )
