"""Optimizers as small pure pieces: `init`, `step`, and hyperparameters as fields; one file each.

    from simnet.optim import AdamW, Nesterov, SGD
    outer = Nesterov(lr=0.7, momentum=0.9)
    state = outer.init(anchor)
    anchor, state = outer.step(anchor, drift, state)

All of them work on flat parameters `[..., d]` with any leading worker dimensions, and rows may be at
different steps. They agree with `torch.optim` to float tolerance. Those that need the shapes of a model's
matrices are bound to its layout first: `Muon(lr=0.02).with_layout(layout)`.
"""

from simnet.optim.adafactor import Adafactor
from simnet.optim.adam import Adam
from simnet.optim.adamw import AdamW
from simnet.optim.layout import ParameterLayout
from simnet.optim.lion import Lion
from simnet.optim.muon import Muon
from simnet.optim.nadam import NAdam
from simnet.optim.nesterov import Nesterov
from simnet.optim.optimizer import Optimizer, State
from simnet.optim.registry import OptimizerConfig, build_optimizer, registry
from simnet.optim.schedule import WSD, Constant, Cosine, InverseSqrt, Linear, Schedule
from simnet.optim.sgd import SGD
from simnet.optim.signsgd import SignSGD
from simnet.optim.state import (
    average_states,
    copy_with_vector,
    state_bytes,
    state_to_vector,
)

__all__ = [
    "SGD",
    "WSD",
    "Adafactor",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "InverseSqrt",
    "Linear",
    "Lion",
    "Muon",
    "NAdam",
    "Nesterov",
    "Optimizer",
    "OptimizerConfig",
    "ParameterLayout",
    "Schedule",
    "SignSGD",
    "State",
    "average_states",
    "build_optimizer",
    "copy_with_vector",
    "registry",
    "state_bytes",
    "state_to_vector",
]
