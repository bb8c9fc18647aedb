"""simnet: a wind tunnel for decentralized training.

    import simnet
    runs = simnet.run(simnet.load("quickstart"))
    print(runs[0].metrics)

Names are loaded when they are first used, so that `import simnet` is quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simnet.experiment import load as load
    from simnet.experiment import run as run
    from simnet.results import Run as Run
    from simnet.runtime.node import Algorithm as Algorithm
    from simnet.runtime.node import Encoded as Encoded
    from simnet.runtime.node import Node as Node
    from simnet.runtime.node import Timeout as Timeout
    from simnet.scenario import Scenario as Scenario
    from simnet.scenario import ScenarioError as ScenarioError

_HOMES = {
    "Algorithm": "simnet.runtime.node",
    "Encoded": "simnet.runtime.node",
    "Node": "simnet.runtime.node",
    "Run": "simnet.results",
    "Scenario": "simnet.scenario",
    "ScenarioError": "simnet.scenario",
    "Timeout": "simnet.runtime.node",
    "load": "simnet.experiment",
    "run": "simnet.experiment",
}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'simnet' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
