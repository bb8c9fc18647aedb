"""Attacks that send each receiver something else: dissensus and equivocation."""

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator
from torch import Tensor

from simnet.aggregation.named import ByName
from simnet.faults.attacks.attack import Attack, InformedAttack, Knowledge, MessageAttack, View
from simnet.faults.attacks.simple import Honest, SignFlip

attacks: dict[str, type[Attack]] = {}
"""Every attack that a scenario can name; filled in `simnet.faults.attacks.registry`."""

MessageAttackConfig = Annotated[MessageAttack, ByName("attack", attacks, of=MessageAttack, brief=True)]


class Dissensus(InformedAttack):
    """To each gossip node `x`, `x - scale sum_j W_j (x_j - x) / W_byz`: pushes it away from its neighbours.

    He, Karimireddy and Jaggi, "Byzantine-Robust Decentralized Learning via ClippedGossip" (2022,
    arXiv:2202.01545). The sum is over the receiver's honest neighbours, `W_byz` the mixing weight of its
    Byzantine ones together. At `scale` 1, plain gossip leaves the receiver where it is.
    """

    name: ClassVar[str] = "dissensus"

    scale: float = Field(
        default=1.5, gt=0, allow_inf_nan=False, description="1 stops gossip, more undoes it."
    )

    def craft(self, view: View) -> Tensor:
        """The vector for `view.receiver`; `ValueError` if its vector or its neighbours' are unknown."""
        to = view.receiver
        if to.vector is None or to.neighbours is None:
            raise ValueError(
                "dissensus needs the receiver's vector and its honest neighbours': knowledge: peers or all"
            )
        weights = to.vector.new_ones(len(to.neighbours)) if to.mixing is None else to.mixing
        byzantine = to.byzantine_mixing
        if byzantine is None and to.mixing is None:
            byzantine = float(view.byzantine)
        if byzantine is None or byzantine <= 0:
            raise ValueError("dissensus needs the mixing weight of the receiver's Byzantine neighbours")
        pull = (weights.unsqueeze(-1) * (to.neighbours - to.vector)).sum(dim=0)
        return to.vector - self.scale / byzantine * pull


class Equivocation(MessageAttack):
    """A different attack for each receiver: receiver `r` gets that at place `r` modulo their number.

    By default every second receiver gets an honest vector, and the others a flipped one.
    """

    name: ClassVar[str] = "equivocation"

    faces: tuple[MessageAttackConfig, ...] = Field(
        default=(Honest(), SignFlip()), description="Two or more attacks, dealt out to receivers in turn."
    )

    @model_validator(mode="after")
    def _two_faces(self) -> Self:
        if len(self.faces) < 2:
            raise ValueError(f"equivocation needs two faces or more, got {len(self.faces)}")
        return self

    @property
    def sees(self) -> Knowledge:
        """The widest knowledge that one of its faces asks for."""
        asked = {face.sees for face in self.faces}
        return "all" if "all" in asked else "peers" if "peers" in asked else "own"

    def craft(self, view: View) -> Tensor:
        """What the receiver's attack makes of the view."""
        return self.faces[view.receiver.rank % len(self.faces)].craft(view)
