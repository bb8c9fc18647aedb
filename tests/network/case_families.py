"""Flow cases of the families that simulators are held against each other with, made anew from a seed.

Each function gives a case as a mapping of `simnet-flow-cases/1`. As a program this file writes some large
ones: `python tests/network/case_families.py CASES.json`, for `bench/simgrid_check.py`.
"""

import json
import random
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import networkx as nx

MBPS = 1e6 / 8
Case = dict[str, Any]


def case(name: str, graph: nx.Graph, flows: list[dict[str, Any]], **more: Any) -> Case:
    """A case on a graph whose edges have `bandwidth`, `latency` and perhaps `duplex` and `policy`."""
    links = [{"id": f"{a}-{b}", "a": f"{a}", "b": f"{b}", **data} for a, b, data in graph.edges(data=True)]
    names = {frozenset((link["a"], link["b"])): link["id"] for link in links}
    for flow in flows:
        flow["route"] = [names[frozenset(hop)] for hop in pairwise(flow["path"])]
    return {"id": name, "nodes": [str(node) for node in graph], "links": links, "flows": flows, **more}


def flow(number: int, path: list[Any], size: float, start: float = 0.0, after: Any = ()) -> dict[str, Any]:
    """A flow along nodes."""
    nodes = [str(node) for node in path]
    return {
        "id": f"f{number}",
        "src": nodes[0],
        "dst": nodes[-1],
        "path": nodes,
        "bytes": size,
        "start": start,
        **({"after": list(after)} if after else {}),
    }


def mesh(kind: str, nodes: int, flows: int, seed: int, changes: int = 0, fatpipes: float = 0.05) -> Case:
    """Flows between random nodes of a random graph, at random times, with half duplex and fatpipes here and
    there, and bandwidths that change."""
    draw = random.Random(seed)
    graph = _connected(kind, nodes, draw)
    for _, _, data in graph.edges(data=True):
        data["bandwidth"] = draw.choice([10, 100, 200, 500, 1000]) * MBPS
        data["latency"] = round(draw.uniform(0.001, 0.05), 6)
        data["duplex"] = "half" if draw.random() < 0.1 else "full"
        data["policy"] = "fatpipe" if draw.random() < fatpipes else "shared"
    for key in ("x", "y", "pos"):
        for node in graph:
            graph.nodes[node].pop(key, None)
    paths = dict(nx.all_pairs_dijkstra_path(graph, weight="latency"))
    made = []
    for number in range(flows):
        a, b = draw.sample(range(nodes), 2)
        start = 0.0 if draw.random() < 0.3 else round(draw.uniform(0, 5), 3)
        made.append(flow(number, paths[a][b], draw.randrange(10_000, 20_000_000), start))
    links = [f"{a}-{b}" for a, b in graph.edges]
    events = [
        {"time": round(draw.uniform(0, 8), 3), "link": draw.choice(links), "bandwidth": rate * MBPS}
        for rate in draw.choices([0.5, 5, 50, 500], k=changes)
    ]
    more = {"bandwidth_events": sorted(events, key=lambda event: event["time"])} if changes else {}
    return case(f"{kind}-{nodes}-{flows}-{seed}", graph, made, **more)


def _connected(kind: str, nodes: int, draw: random.Random) -> nx.Graph:
    while True:
        seed = draw.randrange(1 << 30)
        match kind:
            case "geometric":
                graph = nx.random_geometric_graph(nodes, (5 / nodes) ** 0.5 * 0.8, seed=seed)
            case "waxman":
                graph = nx.waxman_graph(nodes, beta=0.4, alpha=0.15, seed=seed)
            case _:
                graph = nx.barabasi_albert_graph(nodes, 2, seed=seed)
        if nx.is_connected(graph):
            return nx.Graph(graph.edges) if kind != "geometric" else graph


def star(nodes: int, rates: list[float], latencies: list[float]) -> nx.Graph:
    """Hosts around a hub."""
    graph = nx.Graph()
    for node in range(nodes):
        graph.add_edge(node, "hub", bandwidth=rates[node], latency=latencies[node])
    return graph


def ring_all_reduce(nodes: int, size: float, rates: list[float], latencies: list[float]) -> Case:
    """2 (p - 1) rounds on a star; a member sends what it got in the round before."""
    made, last = [], {}
    for step in range(2 * (nodes - 1)):
        now = {}
        for node in range(nodes):
            after = [last[(node - 1) % nodes]] if step else []
            if step:
                after.append(last[node])
            number = step * nodes + node
            made.append(
                flow(number, [node, "hub", (node + 1) % nodes], size / nodes, 0.0, dict.fromkeys(after))
            )
            now[node] = f"f{number}"
        last = now
    return case(f"ring-{nodes}", star(nodes, rates, latencies), made)


def incast(senders: int, sizes: list[float], rate: float, latency: float, changes: Any = ()) -> Case:
    """Everybody sends to the first host at once; its link is the bottleneck."""
    graph = star(senders + 1, [rate] + [rate * senders] * senders, [latency] * (senders + 1))
    made = [flow(i, [i + 1, "hub", 0], size) for i, size in enumerate(sizes)]
    events = [{"time": time, "link": "0-hub", "bandwidth": bandwidth} for time, bandwidth in changes]
    return case(f"incast-{senders}", graph, made, **({"bandwidth_events": events} if events else {}))


def large_cases() -> list[Case]:
    """As large as such cases get."""
    draw = random.Random(5)
    uneven = [draw.choice([50, 100, 1000]) * MBPS for _ in range(64)]
    return [
        mesh("geometric", 200, 500, 1),
        mesh("waxman", 120, 500, 2),
        mesh("waxman", 200, 500, 3, fatpipes=0.0),
        mesh("scale-free", 200, 500, 4, fatpipes=0.0),
        ring_all_reduce(64, 6_400_000, [100 * MBPS] * 64, [0.02] * 64),
        ring_all_reduce(16, 1_600_000, uneven[:16], [draw.uniform(0.001, 0.05) for _ in range(16)]),
        incast(64, [1_000_000] * 64, 100 * MBPS, 0.01),
        incast(64, [draw.randrange(1000, 5_000_000) for _ in range(64)], 1000 * MBPS, 0.025),
    ]


if __name__ == "__main__":
    cases = {"schema": "simnet-flow-cases/1", "cases": large_cases()}
    Path(sys.argv[1]).write_text(json.dumps(cases))
