"""Byzantine attacks as pure functions: what a node sends, learns from, or leaves out, given what it knows.

from simnet.faults.attacks import Alie, View
view = View.seen("all", own, everyone=honest, nodes=20, byzantine=4)
sent = Alie().craft(view)                                         # MessageAttack: a vector per receiver
inputs, targets = LabelFlip().transform(inputs, targets, classes=10)          # DataAttack
Replay(rounds=5).outgoing(own, memory)                            # Behaviour: what, how late, how slow
"""

from simnet.faults.attacks.agr import MinMax, MinSum
from simnet.faults.attacks.alie import Alie, alie_z
from simnet.faults.attacks.attack import (
    Attack,
    Behaviour,
    DataAttack,
    InformedAttack,
    Knowledge,
    Memory,
    MessageAttack,
    Outgoing,
    Receiver,
    View,
)
from simnet.faults.attacks.behaviour import Delay, Dropping, FreeRider, Replay, SlowLoris
from simnet.faults.attacks.data import LabelFlip, Poison
from simnet.faults.attacks.dissensus import Dissensus, Equivocation, attacks
from simnet.faults.attacks.ipm import Ipm
from simnet.faults.attacks.mimic import Mimic, mimic_target
from simnet.faults.attacks.optimal import OptimalAlie, OptimalIpm, line_search
from simnet.faults.attacks.registry import AttackConfig, build_attack
from simnet.faults.attacks.simple import Constant, Gaussian, Honest, NonFinite, Random, SignFlip, Zero

__all__ = [
    "Alie",
    "Attack",
    "AttackConfig",
    "Behaviour",
    "Constant",
    "DataAttack",
    "Delay",
    "Dissensus",
    "Dropping",
    "Equivocation",
    "FreeRider",
    "Gaussian",
    "Honest",
    "InformedAttack",
    "Ipm",
    "Knowledge",
    "LabelFlip",
    "Memory",
    "MessageAttack",
    "Mimic",
    "MinMax",
    "MinSum",
    "NonFinite",
    "OptimalAlie",
    "OptimalIpm",
    "Outgoing",
    "Poison",
    "Random",
    "Receiver",
    "Replay",
    "SignFlip",
    "SlowLoris",
    "View",
    "Zero",
    "alie_z",
    "attacks",
    "build_attack",
    "line_search",
    "mimic_target",
]
