"""ALIE and IPM with the scale that hurts a given rule most."""

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from simnet.aggregation import AggregationConfig, Context
from simnet.faults.attacks.alie import shifted
from simnet.faults.attacks.attack import InformedAttack, View


class OptimalScale(InformedAttack):
    """Line search for the scale `s` that takes `|Agg(honest and f copies of the attack) - mu|` furthest.

    Shejwalkar and Houmansadr (NDSS 2021) search so against a known rule. The search starts at `start`, goes
    on by `step`, which doubles while it helps, and from the first time that it does not shrinks by `shrink`.
    """

    against: AggregationConfig = Field(description="The receiver's rule, as the attacker knows it.")
    evaluations: int = Field(default=20, ge=1, description="How often the rule is tried.")
    start: float = Field(default=0.0, allow_inf_nan=False, description="First scale.")
    step: float = Field(default=10.0, gt=0, allow_inf_nan=False, description="First step.")
    shrink: float = Field(default=0.8, gt=0.5, lt=1, description="Factor on a step that did not help.")

    @model_validator(mode="after")
    def _rule_needs_nothing(self) -> Self:
        if self.against.needs:
            raise ValueError(
                f"{self.against.name} needs {' and '.join(self.against.needs)}, which an attacker has not"
            )
        return self

    def craft(self, view: View) -> Tensor:
        """The attack at the best scale; `ValueError` where the rule cannot take so few vectors."""
        known = self._known(view)
        mean = known.mean(dim=0)
        seed = int(view.rng.integers(2**63))

        def moved(scale: float) -> float:
            bad = self.at(known, scale).expand(view.byzantine, -1)
            # The same luck in every trial: what differs is the scale alone.
            context = Context(rng=np.random.default_rng(seed))
            answer = self.against(torch.cat([known, bad]), context)
            return float(torch.linalg.vector_norm(answer - mean))

        return self.at(known, line_search(moved, self.start, self.step, self.shrink, self.evaluations))

    @abstractmethod
    def at(self, known: Tensor, scale: float) -> Tensor:
        """The attack `[d]` with this scale, from the vectors `[m, d]` that are known."""

    def _known(self, view: View) -> Tensor:
        return view.known


class OptimalAlie(OptimalScale):
    """`mu - z sigma` with the `z` that moves the rule `against` furthest from the honest mean.

    ALIE (Baruch et al., 2019) with a line search in place of the normal quantile.
    """

    name: ClassVar[str] = "optimal-alie"

    def at(self, known: Tensor, scale: float) -> Tensor:
        """`mu - scale sigma`."""
        return shifted(known, scale)

    def _known(self, view: View) -> Tensor:
        return view.at_least_two(self.name)


class OptimalIpm(OptimalScale):
    """`-scale mu` with the scale that moves the rule `against` furthest from the honest mean.

    IPM (Xie et al., 2019) with a line search.
    """

    name: ClassVar[str] = "optimal-ipm"

    def at(self, known: Tensor, scale: float) -> Tensor:
        """`-scale mu`."""
        return -scale * known.mean(dim=0)


def line_search(
    value: Callable[[float], float], start: float, step: float, shrink: float, evaluations: int
) -> float:
    """The point with the largest `value` among those tried: steps double while they help, then shrink.

    A gain below one part in 10^9 does not count: on a plateau, where the rule lets no more through, rounding
    must not decide.
    """
    best, most = start, value(start)
    growing = True
    for _ in range(evaluations - 1):
        tried = value(best + step)
        helps = tried > most * (1.0 + 1e-9)
        if helps:
            best, most = best + step, tried
        growing = growing and helps
        step *= 2.0 if growing else shrink
    return best
