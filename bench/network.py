"""Speed of the network: completions per CPU second, collectives and large stars, and SimGrid beside it if it
is there.

    python bench/network.py [--rounds 3] [--backend auto|python|numba] [--only NAME] [--simgrid PYTHON]

Everything goes through the public API, on SimPy and with latencies. `rgg`: N messages are always under way
on a random geometric graph of 200 nodes, and a new one, between two nodes drawn at random, starts whenever
one has arrived: so there are two instants (departure, start) to solve for each. What numba needs to start is
warmed up first, and the time to fill the network with the first N messages is not counted. Medians of the
rounds, in CPU seconds.
"""

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import networkx as nx
import simpy
from peak import peak_bytes

from simnet.network import FluidNetwork, Route, RouteTable
from simnet.network.backends import Backend
from simnet.network.simgrid import Link, Platform, write_platform

MBPS = 1e6 / 8


@dataclass(frozen=True)
class Mesh:
    """A random geometric graph with its shortest paths by latency."""

    table: RouteTable
    pairs: list[tuple[int, int]]
    """The ends of each resource, a directed link."""
    latencies: list[float]
    nodes: int

    def route(self, random: random.Random) -> Route:
        """The route between two nodes drawn at random."""
        a, b = random.sample(range(self.nodes), 2)
        return self.table.routes[str(a), str(b)]


def rgg(nodes: int = 200, radius: float = 0.112, seed: int = 3) -> Mesh:
    """About 1430 directed links and 6 to 7 hops on a route."""
    graph = nx.random_geometric_graph(nodes, radius, seed=seed)
    while not nx.is_connected(graph):
        seed += 1
        graph = nx.random_geometric_graph(nodes, radius, seed=seed)
    draw = random.Random(seed)
    pairs = [pair for a, b in graph.edges for pair in ((a, b), (b, a))]
    position = nx.get_node_attributes(graph, "pos")
    latencies = [
        0.05 * sum((x - y) ** 2 for x, y in zip(position[a], position[b], strict=True)) ** 0.5
        for a, b in pairs
    ]
    capacities = [draw.choice([100, 200, 500, 1000]) * MBPS for _ in graph.edges for _ in range(2)]
    index = {pair: i for i, pair in enumerate(pairs)}
    for (a, b), latency in zip(pairs, latencies, strict=True):
        graph.edges[a, b]["latency"] = latency
    routes = {}
    for source, paths in nx.all_pairs_dijkstra_path(graph, weight="latency"):
        for target, path in paths.items():
            links = tuple(index[hop] for hop in pairwise(path))
            latency = sum(latencies[link] for link in links)
            routes[str(source), str(target)] = Route(links, latency, tuple(map(str, path)))
    return Mesh(RouteTable(tuple(capacities), routes), pairs, latencies, nodes)


def completions_per_second(mesh: Mesh, flows: int, wanted: int, backend: Backend | None) -> float:
    """Messages that arrive per CPU second with `flows` always under way, over `wanted` arrivals."""
    env, draw = simpy.Environment(), random.Random(1)
    network = FluidNetwork(env, mesh.table, backend=backend)
    arrived = 0
    enough = env.event()

    def begin(_: simpy.Event | None = None) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == flows + wanted:
            enough.succeed()
        transfer = network.send_along(mesh.route(draw), draw.uniform(1e6, 1e7))
        transfer.delivered.callbacks.append(begin)

    for _ in range(flows):
        begin()
    env.run(until=1e-6)
    begun = time.process_time()
    env.run(until=enough)
    spent = time.process_time() - begun
    network.check()
    return wanted / spent


def ring_all_reduce(nodes: int, backend: Backend | None) -> float:
    """CPU seconds of a ring all-reduce over a uniform star, message by message."""
    env = simpy.Environment()
    table = RouteTable((100 * MBPS,) * (2 * nodes))
    network = FluidNetwork(env, table, backend=backend)
    routes = [
        Route((2 * i, 2 * ((i + 1) % nodes) + 1), 0.02, (str(i), "hub", str((i + 1) % nodes)))
        for i in range(nodes)
    ]

    def member(i: int, inbox: list[simpy.Store]) -> Iterator[simpy.Event]:
        for _ in range(2 * (nodes - 1)):
            transfer = network.send_along(routes[i], 1e6)
            transfer.delivered.callbacks.append(lambda event: inbox[(i + 1) % nodes].put(event.value))
            yield inbox[i].get()

    begun = time.process_time()
    inbox = [simpy.Store(env) for _ in range(nodes)]
    for i in range(nodes):
        env.process(member(i, inbox))
    env.run()
    network.check()
    return time.process_time() - begun


def star_exchange(nodes: int, backend: Backend | None) -> float:
    """CPU seconds in which each node of a star of unequal links sends a megabyte to its partner, and gets
    one."""
    draw = random.Random(0)
    begun = time.process_time()
    env = simpy.Environment()
    rates = [draw.uniform(10, 1000) * MBPS for _ in range(2 * nodes)]
    network = FluidNetwork(env, RouteTable(tuple(rates)), backend=backend)
    order = list(range(nodes))
    draw.shuffle(order)
    for a, b in zip(order[::2], order[1::2], strict=True):
        for source, target in ((a, b), (b, a)):
            latency = draw.uniform(0.005, 0.1)
            network.send_along(
                Route((2 * source, 2 * target + 1), latency, (str(source), "hub", str(target))), 1e6
            )
    env.run()
    network.check()
    return time.process_time() - begun


SIMGRID = """
import os, sys, random, time
from simgrid import Actor, Comm, Engine, Host
platform, flows, wanted, nodes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
engine = Engine(["bench", "--log=root.thresh:critical",
                 "--cfg=network/model:CM02", "--cfg=network/crosstraffic:0",
                 "--cfg=network/TCP-gamma:1e30", "--cfg=network/weight-S:0", "--cfg=network/loopback-lat:0"])
engine.load_platform(platform)
draw, arrived, begun = random.Random(1), 0, time.process_time()
hosts = [Host.by_name(str(i)) for i in range(nodes)]
def sender():
    global arrived, begun
    while True:
        a, b = draw.sample(hosts, 2)
        Comm.sendto_async(a, b, int(draw.uniform(1e6, 1e7))).wait()
        arrived += 1
        if arrived == flows:
            begun = time.process_time()
        elif arrived == flows + wanted:
            print(wanted / (time.process_time() - begun), flush=True)
            os._exit(0)
for i in range(flows):
    Actor.create(f"s{i}", hosts[0], sender)
engine.run()
"""
"""The same workload for SimGrid, in a process of its own, since it has one engine per process."""


def simgrid_completions(python: str, mesh: Mesh, flows: int, wanted: int) -> float:
    """SimGrid's messages per CPU second: CM02 without corrections, with latencies, an actor per message."""
    platform = Platform(
        tuple(map(str, range(mesh.nodes))),
        {
            str(index): Link(capacity, latency)
            for index, (capacity, latency) in enumerate(
                zip(mesh.table.capacities, mesh.latencies, strict=True)
            )
        },
        {pair: tuple(map(str, route.resources)) for pair, route in mesh.table.routes.items()},
    )
    with tempfile.TemporaryDirectory() as folder:
        write_platform(platform, Path(folder))
        arguments = [f"{folder}/platform.xml", str(flows), str(wanted), str(mesh.nodes)]
        done = subprocess.run([python, "-c", SIMGRID, *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout)


def has_simgrid(python: str) -> bool:
    """Whether that Python can import SimGrid."""
    try:
        tried = subprocess.run([python, "-c", "import simgrid"], capture_output=True, check=False)
    except OSError:  # there is no such Python
        return False
    return tried.returncode == 0


def median(rounds: int, workload: Callable[[], float]) -> float:
    """The median figure of some rounds."""
    return statistics.median(workload() for _ in range(rounds))


LOADS = ((100, 20_000, 8000), (1000, 6000, 3000), (10_000, 2000, 500))
"""Messages in flight, arrivals that are timed, and the figure that is aimed at."""
SIMGRID_WANTED = {100: 5000, 1000: 2000}
"""How many arrivals SimGrid is timed over; with 10,000 in flight it takes minutes."""


def report(
    rounds: int, backend: Backend = "auto", only: str | None = None, simgrid: str = sys.executable
) -> None:
    """Print every figure whose name contains `only`, with its target, and SimGrid's beside it."""
    mesh = rgg()
    hops = statistics.mean(len(route.resources) for route in mesh.table.routes.values() if route.resources)
    print(f"rgg: {mesh.nodes} nodes, {len(mesh.pairs)} links, {hops:.1f} hops; medians of {rounds}")
    reference = has_simgrid(simgrid)
    if not reference:
        print(f"SimGrid is not installed (for {simgrid}): its figures are left out")
    if backend != "python":
        completions_per_second(mesh, 100, 10, "numba")
    for flows, wanted, target in LOADS:
        name = f"rgg, {flows:,} in flight"
        if only and only not in name:
            continue
        figure = median(rounds, lambda: completions_per_second(mesh, flows, wanted, backend))  # noqa: B023
        beside = ""
        if reference and flows in SIMGRID_WANTED:
            count = SIMGRID_WANTED[flows]
            other = median(rounds, lambda: simgrid_completions(simgrid, mesh, flows, count))  # noqa: B023
            beside = f"; SimGrid {other:,.0f}, ratio {figure / other:.3g}"
        print(f"{name:30} {figure:10,.0f} completions/s (at least {target:,}){beside}", flush=True)
    for name, workload, limit in (
        ("ring all-reduce, 64 nodes", lambda: ring_all_reduce(64, backend), 1),
        ("star, 10,000 nodes in pairs", lambda: star_exchange(10_000, backend), 20),
    ):
        if not only or only in name:
            print(f"{name:30} {median(rounds, workload):10.3g} s (less than {limit})", flush=True)
    print(f"largest memory: {peak_bytes() / 1e9:.2f} GB (less than 2)")


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--backend", choices=["auto", "python", "numba"], default="auto")
    parser.add_argument("--only", help="part of a name")
    parser.add_argument("--simgrid", default=sys.executable, help="the Python that has SimGrid")
    options = parser.parse_args()
    report(options.rounds, options.backend, options.only, options.simgrid)


if __name__ == "__main__":
    main()
