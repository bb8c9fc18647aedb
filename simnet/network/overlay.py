"""Who is whose neighbour where the scenario says so, whatever the network underneath looks like."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf

import networkx as nx

from simnet.network.generators import shape_of
from simnet.network.shapes import TOPOLOGY_PATH, Setting
from simnet.scenario import LinkConfig, Scenario, ScenarioError

OVERLAY_PATH = ("network", "overlay")


def overlay_neighbors(scenario: Scenario, workers: Sequence[str]) -> Mapping[str, tuple[str, ...]] | None:
    """The neighbours of each worker's host by `network.overlay`, in the order of workers; None without one.

    The overlay is any kind of topology without switches: its i-th host stands for the i-th worker, and its
    links are only pairs. What two neighbours send each other takes its route through the network as always.

    Raises:
        ScenarioError: The overlay's options are wrong, it has switches or another number of hosts, or is in
            pieces.
    """
    config = scenario.network.overlay
    if config is None:
        return None
    any_link = LinkConfig.model_construct(bandwidth=inf, latency=0.0)
    setting = Setting(any_link, len(workers), False, scenario.seed, scenario.folder_of(OVERLAY_PATH))
    try:
        shape = shape_of(config, setting)
    except ScenarioError as error:
        moved = [
            replace(problem, path=(*OVERLAY_PATH, *problem.path[2:]))
            if problem.path[:2] == TOPOLOGY_PATH
            else problem
            for problem in error.problems
        ]
        raise ScenarioError(moved) from None
    if shape.switches or len(shape.hosts) != len(workers):
        switches = f" and {len(shape.switches)} switches" if shape.switches else ""
        raise ScenarioError.at(
            OVERLAY_PATH,
            f"{len(shape.hosts)} hosts{switches} for {len(workers)} workers",
            given=config.kind,
            expected="a kind without switches that has one host for each worker",
        )
    graph: nx.Graph[str] = nx.Graph()
    graph.add_nodes_from(shape.hosts)
    graph.add_edges_from((cable.a, cable.b) for cable in shape.cables)
    if not nx.is_connected(graph):
        raise ScenarioError.at(
            OVERLAY_PATH, "the overlay is in pieces", expected="links that connect all workers"
        )
    worker = dict(zip(shape.hosts, workers, strict=True))
    rank = {host: i for i, host in enumerate(shape.hosts)}
    return {
        worker[host]: tuple(worker[near] for near in sorted(graph[host], key=rank.__getitem__))
        for host in shape.hosts
    }
