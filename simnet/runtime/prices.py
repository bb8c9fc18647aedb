"""What the nodes and links of a run cost, as its manifest keeps it (see `simnet.results.costs`)."""

from collections.abc import Iterable, Mapping
from typing import Any

from simnet.compute import resolve_device
from simnet.network import Topology
from simnet.results.costs import QUANTITIES, missing_prices
from simnet.runtime.world import World
from simnet.scenario import (
    RunningCosts,
    Scenario,
    ScenarioError,
    ServerConfig,
    groups_of_workers,
    parse_expectation,
)


def prices_of(world: World, needs_server: bool) -> dict[str, Any]:
    """The prices that a scenario gives, by node and by resource of the network; nothing where it gives none.

    ``nodes`` and ``links`` are lists of groups: ``names``, and what one of them costs. Nodes are those of
    spans: workers, the server where the method needs one, stages of pipelines. A resource without
    ``dollars_per_gb`` has no price.
    """
    costs = _nodes(world, needs_server)
    nodes = _by_price((name, each.model_dump(exclude_none=True)) for name, each in costs)
    links = _by_price(_links(world.topology))
    priced = {"nodes": nodes, "links": links}
    return {kind: groups for kind, groups in priced.items() if any(len(group) > 1 for group in groups)}


def check_expected_prices(scenario: Scenario, label: str, prices: Mapping[str, Any]) -> None:
    """Raises `ScenarioError` at the line of `expect:` that asks for dollars or kWh which nobody can tell."""
    for index, line in enumerate(scenario.expect):
        for function, asked in sorted(parse_expectation(line, None).functions):
            missing = missing_prices(prices, function) if function in QUANTITIES and asked == label else ""
            if missing:
                raise ScenarioError.at(
                    ("expect", index), f"{function}({label}) cannot be told", given=line, expected=missing
                )


def _nodes(world: World, needs_server: bool) -> Iterable[tuple[str, RunningCosts]]:
    scenario, topology = world.scenario, world.topology
    workers = [
        _costs(scenario, group) for group in groups_of_workers(scenario.workers, len(topology.workers))
    ]
    if world.pipeline is not None:
        for replica, machines in enumerate(world.pipeline.machines):
            for stage, machine in enumerate(machines):
                yield f"replica{replica}.stage{stage}", workers[machine]
        return
    yield from zip(topology.workers, workers, strict=True)
    if needs_server:
        server = scenario.server or ServerConfig()
        yield "server", _with_device(server.costs, server.device)


def _costs(scenario: Scenario, group: int) -> RunningCosts:
    return _with_device(scenario.workers[group].costs, scenario.workers[group].device)


def _with_device(own: RunningCosts | None, device: Any) -> RunningCosts:
    """What the scenario says of the machines, on top of what their device's profile says."""
    profile = None if device is None else resolve_device(device, ()).costs
    return (own or RunningCosts()).over(profile)


def _links(topology: Topology) -> Iterable[tuple[str, dict[str, float]]]:
    """What a GB that enters a resource costs.

    Egress is paid, ingress is not: from a switch to a host is free, as is a node's own up- or downlink, which
    stands beside its links. A half-duplex link cannot tell the directions: all that it carries is paid.
    """
    graph = topology.graph
    prices: dict[int, dict[str, float]] = {}
    for a, b, edge in graph.edges(data=True):
        free = graph.nodes[a]["switch"] and not graph.nodes[b]["switch"] and edge["duplex"] != "half"
        price = edge["config"].dollars_per_gb
        if price is None:
            prices[edge["resource"]] = {}
        elif prices.get(edge["resource"]) != {}:
            prices[edge["resource"]] = {"dollars_per_gb": 0.0 if free else price}
    own = range(len(topology.resource_names))
    return ((topology.resource_names[index], prices.get(index, {"dollars_per_gb": 0.0})) for index in own)


def _by_price(entries: Iterable[tuple[str, dict[str, float]]]) -> list[dict[str, Any]]:
    groups: dict[tuple[tuple[str, float], ...], list[str]] = {}
    for name, price in entries:
        groups.setdefault(tuple(sorted(price.items())), []).append(name)
    return [{"names": names, **dict(price)} for price, names in groups.items()]
