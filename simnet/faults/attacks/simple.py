"""Attacks without a plan: flipped, random, constant, not a number."""

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from simnet.faults.attacks.attack import InformedAttack, Knowledge, MessageAttack, View


class Honest(MessageAttack):
    """Sends what an honest node would: one half of an equivocation, or a control."""

    name: ClassVar[str] = "honest"

    def craft(self, view: View) -> Tensor:
        """`view.own`."""
        return view.own


class SignFlip(InformedAttack):
    """`-scale g`, with `g` the own vector, or the mean of the honest ones where it sees them."""

    name: ClassVar[str] = "sign-flip"
    knowledge: Knowledge = Field(
        default="own", description="own: flips its own vector; peers or all: the mean of those it sees."
    )

    scale: float = Field(default=1.0, gt=0, allow_inf_nan=False, description="Factor on the flipped vector.")

    def craft(self, view: View) -> Tensor:
        """`-scale` times the own vector or the mean of those seen."""
        base = view.honest.mean(dim=0) if len(view.honest) else view.own
        return -self.scale * base


class Gaussian(MessageAttack):
    """Independent normal numbers, around zero or around the own vector."""

    name: ClassVar[str] = "gaussian"

    std: float = Field(default=1.0, ge=0, allow_inf_nan=False, description="Standard deviation.")
    around: Literal["zero", "own"] = Field(default="zero", description="What the numbers are added to.")

    def craft(self, view: View) -> Tensor:
        """Noise, or the own vector with noise."""
        noise = self.std * view.normal()
        return view.own + noise if self.around == "own" else noise


class Zero(MessageAttack):
    """A vector of zeros: it looks harmless, and is the most central one for rules that choose by distance."""

    name: ClassVar[str] = "zero"

    def craft(self, view: View) -> Tensor:
        """Zeros."""
        return torch.zeros_like(view.own)


class Random(MessageAttack):
    """A random direction, as long as the own vector or of a given length: its norm gives nothing away."""

    name: ClassVar[str] = "random"

    norm: float | None = Field(
        default=None, ge=0, allow_inf_nan=False, description="Length; that of the own vector if not given."
    )

    def craft(self, view: View) -> Tensor:
        """A vector drawn evenly from the sphere."""
        direction = view.normal()
        length = torch.linalg.vector_norm(view.own) if self.norm is None else self.norm
        return direction * (length / torch.linalg.vector_norm(direction))


class Constant(MessageAttack):
    """The same number in every coordinate."""

    name: ClassVar[str] = "constant"

    value: float = Field(default=1.0, allow_inf_nan=False, description="The number.")

    def craft(self, view: View) -> Tensor:
        """`value` everywhere."""
        return torch.full_like(view.own, self.value)


class NonFinite(MessageAttack):
    """Infinities or not-a-numbers: what a rule must leave out before it reckons."""

    name: ClassVar[str] = "non-finite"

    value: Literal["inf", "-inf", "nan"] = Field(default="inf", description="What every coordinate is.")

    def craft(self, view: View) -> Tensor:
        """`value` everywhere."""
        return torch.full_like(view.own, {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[self.value])
