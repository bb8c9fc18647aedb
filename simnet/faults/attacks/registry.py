"""Attacks by name, and the type that other models use for a field that holds one."""

from typing import Annotated

from simnet.aggregation.named import ByName
from simnet.faults.attacks.agr import MinMax, MinSum
from simnet.faults.attacks.alie import Alie
from simnet.faults.attacks.attack import Attack
from simnet.faults.attacks.behaviour import Delay, Dropping, FreeRider, Replay, SlowLoris
from simnet.faults.attacks.data import LabelFlip, Poison
from simnet.faults.attacks.dissensus import Dissensus, Equivocation, attacks
from simnet.faults.attacks.ipm import Ipm
from simnet.faults.attacks.mimic import Mimic
from simnet.faults.attacks.optimal import OptimalAlie, OptimalIpm
from simnet.faults.attacks.simple import Constant, Gaussian, Honest, NonFinite, Random, SignFlip, Zero

_SHIPPED: tuple[type[Attack], ...] = (
    SignFlip,
    Gaussian,
    Zero,
    Random,
    Constant,
    NonFinite,
    Alie,
    Ipm,
    Mimic,
    MinMax,
    MinSum,
    OptimalAlie,
    OptimalIpm,
    Dissensus,
    Equivocation,
    Honest,
    LabelFlip,
    Poison,
    Replay,
    Delay,
    FreeRider,
    SlowLoris,
    Dropping,
)

attacks.update({kind.name: kind for kind in _SHIPPED})

_attack = ByName("attack", attacks)

AttackConfig = Annotated[Attack, _attack]
"""Type of a field that holds an attack: reads a name, a mapping with `name`, or an instance."""


def build_attack(given: object) -> Attack:
    """An attack from a name, a mapping with `name` and options, or an instance, which passes.

    Raises `pydantic.ValidationError` for an unknown name (with the nearest one), an unknown option or an
    impossible value.
    """
    built = _attack.build(given)
    assert isinstance(built, Attack)
    return built
