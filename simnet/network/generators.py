"""Any graph generator of networkx as a topology: `{kind: barabasi_albert_graph, n: 20, m: 2}`."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import networkx as nx

from simnet.network.shapes import TOPOLOGY_PATH, Setting, Shape, topologies
from simnet.network.shapes.shape import like_every_link
from simnet.scenario import Problem, ScenarioError, TopologyConfig, nearest, validated
from simnet.scenario.validate import one_of

_NOT_OPTIONS = frozenset({"backend", "backend_kwargs", "create_using"})
"""Parameters about what networkx computes with, not about the graph."""


def generators() -> dict[str, Callable[..., Any]]:
    """Every generator function of networkx that makes a graph out of plain values, by name."""
    found = {}
    for name in sorted(dir(nx)):
        function = getattr(nx, name)
        module = getattr(function, "__module__", None) or ""
        if (
            module.startswith("networkx.generators")
            and callable(function)
            and "G" not in options_of(function)
        ):
            found[name] = function
    return found


def options_of(generator: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """The parameters of a generator that a scenario can set."""
    parameters = inspect.signature(generator).parameters
    return {name: parameter for name, parameter in parameters.items() if name not in _NOT_OPTIONS}


def find_generator(kind: str) -> tuple[str, Callable[..., Any]]:
    """The generator called `kind` or `kind_graph`, also with hyphens; raises `ScenarioError`."""
    known = generators()
    name = kind.replace("-", "_")
    for candidate in (name, f"{name}_graph"):
        if candidate in known:
            return candidate, known[candidate]
    raise ScenarioError.at(
        (*TOPOLOGY_PATH, "kind"),
        "unknown topology",
        given=kind,
        expected=f"{one_of(topologies)}, or a graph generator of networkx such as barabasi_albert_graph",
        suggestion=nearest(kind, [*topologies, *known]),
    )


def shape_of(config: TopologyConfig, setting: Setting) -> Shape:
    """The shape that a topology's kind makes, one of simnet's own or a generator of networkx."""
    model = topologies.get(config.kind)
    if model is None:
        return generated_shape(config.kind, config.options, setting)
    return validated(model, config.options, TOPOLOGY_PATH).shape(setting)


def generated_shape(kind: str, options: Mapping[str, Any], setting: Setting) -> Shape:
    """The graph that a generator makes, with hosts `n0`, `n1`, ... in the order of its nodes.

    A generator that draws at random gets the scenario's `seed` unless the options have one.

    Raises:
        ScenarioError: There is no such generator, it refuses its options, or what it makes is not a simple
            undirected graph with at least one node.
    """
    name, generator = find_generator(kind)
    graph = _generate(name, generator, options, setting.seed)
    if not isinstance(graph, nx.Graph):
        raise _unusable(name, f"gives no graph but a value of type {type(graph).__name__}")
    if graph.is_directed():
        raise _unusable(name, "gives a directed graph, but links go both ways")
    if graph.is_multigraph():
        raise _unusable(name, "gives several links between two nodes")
    if not graph:
        raise _unusable(name, "gives a graph without nodes")
    hosts = {node: f"n{i}" for i, node in enumerate(graph)}
    loops = [hosts[node] for node in nx.nodes_with_selfloops(graph)]
    if loops:
        raise _unusable(name, f"links nodes to themselves: {', '.join(loops)}")
    cables = like_every_link(setting, [(hosts[a], hosts[b]) for a, b in graph.edges])
    return Shape(tuple(hosts.values()), (), cables, spare_hosts=True)


def _generate(name: str, generator: Callable[..., Any], options: Mapping[str, Any], seed: int) -> Any:
    parameters = options_of(generator)
    problems = [
        Problem((*TOPOLOGY_PATH, key), "unknown key", given, one_of(parameters), nearest(key, parameters))
        for key, given in options.items()
        if key not in parameters
    ]
    problems += [
        Problem((*TOPOLOGY_PATH, key), "missing key", expected=f"{name}{_signature(parameters)}")
        for key, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and key not in options
    ]
    if problems:
        raise ScenarioError(problems)
    arguments = dict(options)
    if "seed" in parameters:
        arguments.setdefault("seed", seed)
    try:
        return generator(**arguments)
    except Exception as error:  # whatever a third party's function says to values that it does not like
        raise ScenarioError.at(
            TOPOLOGY_PATH,
            f"networkx refuses: {error or type(error).__name__}",
            given={"kind": name, **options},
            expected=f"{name}{_signature(parameters)}",
        ) from error


def _signature(parameters: Mapping[str, inspect.Parameter]) -> str:
    return f"({', '.join(str(parameter) for parameter in parameters.values())})"


def _unusable(name: str, why: str) -> ScenarioError:
    return ScenarioError.at(
        (*TOPOLOGY_PATH, "kind"),
        f"{name} {why}",
        given=name,
        expected="a generator of simple undirected graphs with at least one node",
    )
