"""Attacks that need not know the rule: as far out as the honest vectors are from each other."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.distances import squared_distances
from simnet.faults.attacks.attack import InformedAttack, View

Direction = Literal["unit", "std", "sign"]


class Pushed(InformedAttack):
    """An attack that goes from the honest mean along a perturbation `p`."""

    direction: Direction = Field(
        default="std", description="p: unit (-mu / |mu|), std (-sigma) or sign (-sign mu)."
    )


class MinMax(Pushed):
    """`mu + g p` with the largest `g` at which it is no further from any honest vector than two of them are.

    Shejwalkar and Houmansadr, "Manipulating the Byzantine: Optimizing Model Poisoning Attacks and Defenses
    for Federated Learning" (NDSS 2021). The paper halves an interval to find `g`; here it is the least root
    of one quadratic per honest vector.
    """

    name: ClassVar[str] = "min-max"

    def craft(self, view: View) -> Tensor:
        """`mu + g p`; `ValueError` if fewer than two vectors are known."""
        known = view.at_least_two(self.name)
        mean, push = known.mean(dim=0), perturbation(known, self.direction)
        a = push @ push
        if a == 0:
            return mean
        away = mean - known
        b = away @ push
        c = away.square().sum(dim=-1) - squared_distances(known).max()
        # Each is at most c <= 0 at g = 0: no honest vector is further from the mean than from another one.
        roots = (-b + (b.square() - a * c.clamp_max(0.0)).sqrt()) / a
        return mean + roots.min().clamp_min(0.0) * push


class MinSum(Pushed):
    """`mu + g p` with the largest `g` at which the sum of its squared distances is like an honest vector's.

    Shejwalkar and Houmansadr (NDSS 2021): at most the largest such sum of an honest vector. `g` is exact,
    since the sum is `m g^2 |p|^2 + sum_i |x_i - mu|^2`.
    """

    name: ClassVar[str] = "min-sum"

    def craft(self, view: View) -> Tensor:
        """`mu + g p`; `ValueError` if fewer than two vectors are known."""
        known = view.at_least_two(self.name)
        mean, push = known.mean(dim=0), perturbation(known, self.direction)
        a = push @ push
        if a == 0:
            return mean
        limit = squared_distances(known).sum(dim=-1).max()
        spread = (known - mean).square().sum()
        return mean + ((limit - spread).clamp_min(0.0) / (len(known) * a)).sqrt() * push


def perturbation(known: Tensor, direction: Direction) -> Tensor:
    """The direction `p` `[d]` from vectors `[m, d]`; zero where they have no mean or no spread."""
    mean = known.mean(dim=0)
    if direction == "unit":
        norm = torch.linalg.vector_norm(mean)
        return -mean / norm if norm > 0 else -mean
    return -known.std(dim=0) if direction == "std" else -torch.sign(mean)
