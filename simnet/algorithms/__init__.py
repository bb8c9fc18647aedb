"""The training methods: one file each, written against `Node` alone.

simnet's own are named in :data:`SHIPPED`; installed packages add theirs through the entry point group
`simnet.algorithms`, and a scenario may name any other as `module:Class`.
"""

from importlib import import_module
from importlib.metadata import entry_points

from simnet.runtime.node import Algorithm

SHIPPED = {
    "allreduce": "simnet.algorithms.allreduce:AllReduce",
    "local-sgd": "simnet.algorithms.local_sgd:LocalSGD",
    "diloco": "simnet.algorithms.diloco:DiLoCo",
    "d-psgd": "simnet.algorithms.d_psgd:DPSGD",
    "gossip": "simnet.algorithms.gossip:Gossip",
    "ad-psgd": "simnet.algorithms.ad_psgd:ADPSGD",
    "fedavg": "simnet.algorithms.fedavg:FedAvg",
    "fedbuff": "simnet.algorithms.fedbuff:FedBuff",
    "robust-allreduce": "simnet.algorithms.robust_allreduce:RobustAllReduce",
    "robust-gossip": "simnet.algorithms.robust_gossip:RobustGossip",
    "bristle": "simnet.algorithms.bristle:Bristle",
    "pipeline": "simnet.algorithms.pipeline:Pipeline",
    "pipedream": "simnet.algorithms.pipedream:PipeDream",
    "pipedream-2bw": "simnet.algorithms.pipedream_2bw:PipeDream2BW",
    "pipemare": "simnet.algorithms.pipemare:PipeMare",
    "nesterov-async": "simnet.algorithms.nesterov_async:NesterovAsync",
}
"""Where each shipped method is defined."""


def algorithm_names() -> tuple[str, ...]:
    """Every name that a scenario may use: the shipped methods, then those of installed packages."""
    installed = [entry.name for entry in entry_points(group="simnet.algorithms")]
    return (*SHIPPED, *(name for name in installed if name not in SHIPPED))


def algorithm_class(name: str) -> type[Algorithm]:
    """The method called `name`.

    Raises `KeyError` if there is none, `TypeError` if an installed package's entry point is no `Algorithm`.
    """
    if name in SHIPPED:
        module, attribute = SHIPPED[name].split(":")
        found = getattr(import_module(module), attribute)
    else:
        entries = [entry for entry in entry_points(group="simnet.algorithms") if entry.name == name]
        if not entries:
            raise KeyError(name)
        found = entries[0].load()
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        raise TypeError(f"the entry point {name!r} gives {found!r}, which is not a subclass of Algorithm")
    return found


def algorithm_registry() -> dict[str, type[Algorithm]]:
    """All methods by name, loaded."""
    return {name: algorithm_class(name) for name in algorithm_names()}
