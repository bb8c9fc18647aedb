"""Attacks in time: old news, other people's work, slowness and silence."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from simnet.faults.attacks.attack import Behaviour, Memory, Outgoing


class Replay(Behaviour):
    """Sends the honest vector of some rounds ago; until there is one that old, the oldest."""

    name: ClassVar[str] = "replay"

    rounds: int = Field(default=10, ge=1, description="How old the vector is.")

    @property
    def remembers(self) -> int:
        """`rounds`."""
        return self.rounds

    def outgoing(self, own: Tensor, memory: Memory) -> Outgoing:
        """The vector of `rounds` rounds ago."""
        if not memory.sent:
            return Outgoing(own)
        return Outgoing(memory.sent[-min(self.rounds, len(memory.sent))])


class Delay(Behaviour):
    """Sends the honest vector, but later."""

    name: ClassVar[str] = "delay"

    seconds: float = Field(default=10.0, ge=0, allow_inf_nan=False, description="How much later.")

    def outgoing(self, own: Tensor, memory: Memory) -> Outgoing:
        """The own vector, held back."""
        return Outgoing(own, delay=self.seconds)


class FreeRider(Behaviour):
    """Sends the model that it received, with a little noise, as if it had trained.

    Fraboni, Vidal and Lorenzi, "Free-rider Attacks on Model Aggregation in Federated Learning" (AISTATS
    2021): noise of standard deviation `noise (t + 1)^-decay` in round `t`. Before any model came in it sends
    its own. In a run it computes no gradient: its drifts and gradients are the noise alone.
    """

    name: ClassVar[str] = "free-rider"

    noise: float = Field(default=0.0, ge=0, allow_inf_nan=False, description="Standard deviation at first.")
    decay: float = Field(default=1.0, ge=0, allow_inf_nan=False, description="How fast it shrinks.")
    hurry: bool = Field(
        default=False,
        description="Whether it answers at once; else it idles for as long as the work would have taken.",
    )

    def outgoing(self, own: Tensor, memory: Memory) -> Outgoing:
        """The received model with noise."""
        base = own if memory.received is None else memory.received
        if self.noise == 0:
            return Outgoing(base)
        drawn = torch.from_numpy(memory.rng.standard_normal(tuple(base.shape))).to(base)
        return Outgoing(base + self.noise * (memory.round + 1) ** -self.decay * drawn)


class SlowLoris(Behaviour):
    """Sends the honest vector as slowly as it can, so that whoever waits for it waits long."""

    name: ClassVar[str] = "slow-loris"

    stretch: float = Field(
        default=10.0, ge=1, allow_inf_nan=False, description="How many times as long its transfers take."
    )

    def outgoing(self, own: Tensor, memory: Memory) -> Outgoing:
        """The own vector, drawn out."""
        return Outgoing(own, stretch=self.stretch)


class Dropping(Behaviour):
    """Sends nothing, each time with a given probability."""

    name: ClassVar[str] = "dropping"

    probability: float = Field(default=1.0, gt=0, le=1, description="Chance that a message is not sent.")

    def outgoing(self, own: Tensor, memory: Memory) -> Outgoing:
        """The own vector, or nothing."""
        return Outgoing(None if memory.rng.random() < self.probability else own)
