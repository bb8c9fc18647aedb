"""Attacks that send each receiver something else: dissensus and equivocation."""

from typing import Annotated, ClassVar

from pydantic import Field
from torch import Tensor

from simnet.aggregation.named import ByName
from simnet.faults.attacks.attack import Attack, MessageAttack, View
from simnet.faults.attacks.simple import Honest, SignFlip

attacks: dict[str, type[Attack]] = {}
"""Every attack that a scenario can name; filled in `simnet.faults.attacks.registry`."""

MessageAttackConfig = Annotated[MessageAttack, ByName("attack", attacks, brief=True)]


class Dissensus(MessageAttack):
    """To each gossip node `x`, `x - scale sum_j W_j (x_j - x) / W_byz`: pushes it away from its neighbours.

    He, Karimireddy and Jaggi, "Byzantine-Robust Decentralized Learning via ClippedGossip" (2022,
    arXiv:2202.01545). The sum is over the receiver's honest neighbours, `W_byz` the mixing weight of its
    Byzantine ones together; at `scale` 1, plain gossip leaves the receiver where it is.
    """

    name: ClassVar[str] = "dissensus"

    scale: float = Field(
        default=1.5, gt=0, allow_inf_nan=False, description="1 stops gossip, more undoes it."
    )

    def craft(self, view: View) -> Tensor:
        """The vector for `view.receiver`; `ValueError` if its vector or its neighbours' are not in the view."""
        to = view.receiver
        if to.vector is None or to.neighbours is None:
            raise ValueError(
                "dissensus needs the receiver's vector and its honest neighbours': knowledge: peers or all"
            )
        weights = to.vector.new_ones(len(to.neighbours)) if to.mixing is None else to.mixing
        byzantine = to.byzantine_mixing
        if byzantine is None:
            byzantine = float(view.byzantine) if to.mixing is None else 1.0 - float(weights.sum())
        if byzantine <= 0:
            raise ValueError("dissensus needs the mixing weight of the receiver's Byzantine neighbours")
        pull = (weights.unsqueeze(-1) * (to.neighbours - to.vector)).sum(dim=0)
        return to.vector - self.scale / byzantine * pull


class Equivocation(MessageAttack):
    """A different attack for each receiver: receiver `r` gets that at place `r` modulo their number.

    By default every second receiver gets an honest vector, and the others a flipped one.
    """

    name: ClassVar[str] = "equivocation"

    faces: tuple[MessageAttackConfig, ...] = Field(
        default=(Honest(), SignFlip()), min_length=2, description="Attacks, dealt out to receivers in turn."
    )

    def craft(self, view: View) -> Tensor:
        """What the receiver's attack makes of the view."""
        return self.faces[view.receiver.rank % len(self.faces)].craft(view)
