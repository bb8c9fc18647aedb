"""What attacks are, by where they strike: at a message, at data, or at when and whether something is sent."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from simnet.aggregation.named import Named

Knowledge = Literal["own", "peers", "all"]
"""What a Byzantine node sees of the honest vectors: none but what its own group computed honestly, those that
its peers sent to it, or all of the round."""


@dataclass(frozen=True, slots=True, eq=False)
class Receiver:
    """The node that a vector is made for."""

    rank: int = 0
    """Its place among all nodes: what tells receivers apart."""
    vector: Tensor | None = None
    """Its own vector `[d]`, where the attacker knows it."""
    neighbours: Tensor | None = None
    """Vectors `[h, d]` of the receiver's honest neighbours, where the attacker knows them."""
    mixing: Tensor | None = None
    """Mixing weight `[h]` of each of these; all equal if not given."""
    byzantine_mixing: float | None = None
    """Mixing weight of all of the receiver's Byzantine neighbours together."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What a Byzantine node knows when it makes a vector for one receiver."""

    own: Tensor
    """The vector `[d]` that it would send if it were honest."""
    honest: Tensor
    """Honest vectors `[m, d]` that its knowledge lets it see; `m` may be 0."""
    group: Tensor
    """Vectors `[k, d]` that its colluding group, itself among them, would send if honest."""
    nodes: int
    """`n`: all vectors that meet in the receiver's rule, Byzantine ones among them."""
    byzantine: int
    """`f`: how many of these are Byzantine."""
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    """Random numbers, keyed by node, receiver and round by whoever makes the view."""
    receiver: Receiver = Receiver()
    """Whom the vector is for."""
    warm_up: Tensor | None = None
    """Honest vectors of earlier rounds, `[t, m, d]`, for attacks that choose a target from them."""

    @classmethod
    def seen(
        cls,
        knowledge: Knowledge,
        own: Tensor,
        *,
        nodes: int,
        byzantine: int,
        group: Tensor | None = None,
        peers: Tensor | None = None,
        everyone: Tensor | None = None,
        rng: np.random.Generator | None = None,
        receiver: Receiver | None = None,
        warm_up: Tensor | None = None,
    ) -> Self:
        """The view of a node with this knowledge, out of everything that there is.

        `peers` and `everyone` are honest vectors `[m, d]`: those that its peers sent to it, and all of the
        round. Without a `group`, a node is alone. Receivers' vectors are seen with `peers` and `all`.
        """
        visible = {"own": None, "peers": peers, "all": everyone}[knowledge]
        return cls(
            own=own,
            honest=own.new_zeros(0, len(own)) if visible is None else visible,
            group=own.unsqueeze(0) if group is None else group,
            nodes=nodes,
            byzantine=byzantine,
            rng=np.random.default_rng(0) if rng is None else rng,
            receiver=Receiver(receiver.rank)
            if receiver is not None and knowledge == "own"
            else receiver or Receiver(),
            warm_up=warm_up if knowledge == "all" else None,
        )

    @property
    def known(self) -> Tensor:
        """Honest vectors `[m, d]` to reckon with: those it sees, else what its own group computed."""
        return self.honest if len(self.honest) else self.group

    def at_least_two(self, attack: str) -> Tensor:
        """`known`, where a spread is needed; `ValueError` if it is a single vector."""
        if len(self.known) < 2:
            raise ValueError(
                f"{attack} needs the spread of at least 2 honest vectors, and sees {len(self.known)}: let "
                f"nodes collude, or give it knowledge: peers or all"
            )
        return self.known

    def normal(self) -> Tensor:
        """A vector `[d]` of independent normal numbers."""
        drawn = torch.from_numpy(self.rng.standard_normal(len(self.own)))
        return drawn.to(self.own)


class Attack(Named, ABC):
    """Something that a Byzantine node does; honest code does not know of it."""


class MessageAttack(Attack):
    """Replaces the vector that a node sends."""

    @property
    def sees(self) -> Knowledge:
        """The knowledge that its view is to be made with: `own`, unless it has the option."""
        return "own"

    @abstractmethod
    def craft(self, view: View) -> Tensor:
        """The vector `[d]` that is sent to `view.receiver` in place of `view.own`.

        Raises `ValueError` where the view does not show what the attack needs.
        """


class InformedAttack(MessageAttack):
    """An attack that is made from honest vectors."""

    knowledge: Knowledge = Field(
        default="all", description="Honest vectors that it sees: own (its group's), peers (sent to it), all."
    )

    @property
    def sees(self) -> Knowledge:
        """`knowledge`."""
        return self.knowledge


class DataAttack(Attack):
    """Changes what a node trains on; the node then follows the protocol."""

    @abstractmethod
    def transform(
        self, inputs: Tensor, targets: Tensor, *, classes: int, rng: np.random.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Changed copies of inputs `[..., features]` and whole-number targets `[...]` below `classes`.

        `rng` chooses the samples where only a share of them is changed. Raises `ValueError` for targets that
        are not classes, for a class or feature that does not exist, and for a share without `rng`.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """What a node remembers of earlier rounds."""

    round: int
    """Rounds since the beginning, from 0."""
    sent: Sequence[Tensor]
    """The vectors that it would have sent honestly before, oldest first, without the present one."""
    received: Tensor | None = None
    """The last model that came in, `[d]`."""
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    """Random numbers, keyed by node, receiver and round by whoever makes the memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Outgoing:
    """What goes out instead of an honest message, and how."""

    vector: Tensor | None
    """The vector `[d]` that is sent; None for nothing."""
    delay: float = 0.0
    """Seconds that it is held back before it is sent."""
    stretch: float = 1.0
    """How many times as long as its bytes need the transfer is drawn out."""


class Behaviour(Attack):
    """Changes what is sent by looking back, when it is sent, or whether it is."""

    @property
    def remembers(self) -> int:
        """How many of the vectors that it would have sent it looks back at."""
        return 1

    @abstractmethod
    def outgoing(self, own: Tensor, memory: Memory) -> Outgoing:
        """What is sent in place of the honest vector `own` `[d]`."""
