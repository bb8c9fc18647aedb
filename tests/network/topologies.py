"""Networks for tests: a topology's options, as a scenario would have them, to a `Topology`."""

import copy
from typing import Any

from simnet.network import Topology, build_topology
from simnet.scenario import Scenario, ScenarioError

LINK = {"bandwidth": "100 Mbps", "latency": "5 ms"}


def build(
    topology: Any, workers: int | None = None, *, link: Any = LINK, server: bool = False, **network: Any
) -> Topology:
    """The network of `topology` with a worker on each host, or so many; more keys are those of `network`."""
    return build_topology(scenario(topology, workers, link=link, **network), with_server=server)


def scenario(
    topology: Any, workers: int | None = None, *, link: Any = LINK, seed: int = 0, **network: Any
) -> Scenario:
    """The scenario of that network."""
    section = {"topology": topology, "link": link, **network}
    return Scenario.model_validate(
        {
            "name": "test",
            "seed": seed,
            "network": {key: copy.deepcopy(value) for key, value in section.items() if value is not None},
            "workers": {"device": "cpu"} | ({} if workers is None else {"count": workers}),
            "task": {"name": "quadratic", "batch_size": 1, "optimizer": "sgd"},
            "algorithms": ["allreduce"],
            "stop": {"steps": 1},
        }
    )


def problem(*args: Any, **kwargs: Any) -> Any:
    """The one problem of a network that cannot be built."""
    try:
        build(*args, **kwargs)
    except ScenarioError as error:
        (found,) = error.problems
        return found
    raise AssertionError("it was built")


def links(topology: Topology) -> set[frozenset[str]]:
    """The pairs of nodes that are linked."""
    return {frozenset(ends) for ends in topology.graph.edges}
