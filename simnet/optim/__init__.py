"""Optimizers as small pure pieces: `init`, `step`, and hyperparameters as fields; one file each.

    from simnet.optim import AdamW, Nesterov, SGD
    outer = Nesterov(lr=0.7, momentum=0.9)
    state = outer.init(anchor)
    anchor, state = outer.step(anchor, drift, state)

All of them work on flat parameters `[..., d]` with any leading worker dimensions, and rows may be at
different steps. They agree with `torch.optim` to float tolerance.
"""

from simnet.optim.adam import Adam
from simnet.optim.adamw import AdamW
from simnet.optim.nesterov import Nesterov
from simnet.optim.optimizer import Optimizer, State
from simnet.optim.registry import OptimizerConfig, build_optimizer, registry
from simnet.optim.schedule import Constant, Cosine, Linear, Schedule
from simnet.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Linear",
    "Nesterov",
    "Optimizer",
    "OptimizerConfig",
    "Schedule",
    "State",
    "build_optimizer",
    "registry",
]
