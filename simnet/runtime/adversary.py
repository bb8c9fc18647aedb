"""All the Byzantine nodes of a run, and what they know between them."""

from collections.abc import Collection, Hashable, Mapping
from typing import TYPE_CHECKING

import simpy
import torch
from simpy.events import EventPriority
from torch import Tensor

from simnet.faults.attacks import Receiver, View
from simnet.faults.byzantine import Byzantine
from simnet.faults.poisoned import PoisonedBatches
from simnet.runtime.sightings import Sighting, Sightings
from simnet.runtime.waiting import Until

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun

LOOK_PRIORITY = EventPriority(3)
"""SimPy priority of a look around: after the engine's flush (2) and what honest nodes do upon it (1), before
the network's solve (4). So nobody's rank decides who sees whom at one instant."""


class Adversary:
    """What is known of honest vectors, and what attackers agreed on."""

    def __init__(self, run: "SimulatedRun", nodes: Mapping[str, Byzantine]) -> None:
        self.nodes = nodes
        self.sightings = Sightings(run.env)
        self._run = run
        self._corrections: dict[tuple[Hashable, Hashable], dict[str, Tensor]] = {}
        self.batches = run.task.source if isinstance(run.task.source, PoisonedBatches) else None
        if self.batches is not None:
            self.batches.forget()

    def attacks_now(self, name: str) -> bool:
        """Whether this node is Byzantine, and its attack is on."""
        node = self.nodes.get(name)
        if node is None or name not in self._run.nodes:
            return False
        return node.activity.active(float(self._run.env.now), self._run.nodes[name].steps)

    async def look_around(self) -> None:
        """Wait until everybody has done what there is to do at this instant; no time passes."""
        moment = simpy.Event(self._run.env)
        moment._ok, moment._value = True, None
        self._run.env.schedule(moment, priority=LOOK_PRIORITY)
        await Until(moment)

    def seen_by(self, name: str, members: Collection[str]) -> set[str]:
        """Whose vectors the node waits for: the honest members, and those of its own group."""
        node = self.nodes[name]
        honest = {member for member in members if member not in self.nodes}
        fellows = {member for member in members if member in node.fellows}
        return (honest if node.knowledge != "own" else set()) | (fellows - {name})

    def view(
        self,
        name: str,
        kind: Hashable,
        turn: Hashable,
        part: int,
        own: Tensor,
        receiver: str | None,
        members: tuple[str, ...],
        sees_all_members: bool,
    ) -> View:
        """What node `name` knows when it makes its vector `own`, part `part` of a message.

        `members` are those who take part in the collective, or the workers; `receiver` is None where all of
        them get the same. With `sees_all_members`, what peers send to it is what all members contribute.
        """
        node = self.nodes[name]
        honest = tuple(member for member in members if member not in self.nodes)
        mine = None if sees_all_members else name
        peers = self._vectors(kind, turn, part, own, honest, mine) if node.knowledge == "peers" else []
        everyone = self._vectors(kind, turn, part, own, honest, None) if node.knowledge == "all" else []
        meeting = members
        if receiver is not None and receiver in members and mine is not None:  # a message to a gossip node
            heard = self.sightings.heard(kind, receiver)
            meeting = tuple(dict.fromkeys((receiver, *heard, name)))
        fellows = [fellow for fellow in node.fellows if fellow in meeting or fellow == name]
        return View.seen(
            node.knowledge,
            own,
            nodes=len(meeting),
            byzantine=len(fellows),
            group=_stacked(own, self._group(kind, turn, part, own, name)),
            peers=_stacked(own, peers),
            everyone=_stacked(own, everyone),
            rng=self._run.streams.generator("attack", node.fellows[0], kind, turn, part, receiver),
            receiver=self._receiver(kind, turn, part, own, receiver, meeting, members),
        )

    def correct(self, kind: Hashable, turn: Hashable, faces: Mapping[str, Tensor], told: Tensor) -> None:
        """An attacker contributed `told` to a reduction, and lets each member have another face of it."""
        corrections = self._corrections.setdefault((kind, turn), {})
        for member, face in faces.items():
            known = corrections.get(member)
            corrections[member] = face - told if known is None else known + (face - told)

    def corrected(self, result: Tensor, kind: Hashable, turn: Hashable, name: str, members: int) -> Tensor:
        """What a reduction comes to at node `name`: the sum of all, over so many `members` (1 for a sum)."""
        correction = self._corrections.get((kind, turn), {}).pop(name, None)
        return result if correction is None else result + correction / members

    def _receiver(
        self,
        kind: Hashable,
        turn: Hashable,
        part: int,
        own: Tensor,
        receiver: str | None,
        meeting: tuple[str, ...],
        members: tuple[str, ...],
    ) -> Receiver | None:
        if receiver is None or receiver not in members:
            return None
        itself = self._vectors(kind, turn, part, own, (receiver,), None)
        around = [name for name in meeting if name != receiver and name not in self.nodes]
        near = self._vectors(kind, turn, part, own, around, None)
        return Receiver(
            rank=members.index(receiver),
            vector=itself[0] if itself else None,
            neighbours=_stacked(own, near) if near else None,
        )

    def _group(self, kind: Hashable, turn: Hashable, part: int, own: Tensor, name: str) -> list[Tensor]:
        fellows = self.nodes[name].fellows
        seen = self.sightings.of_round(kind, turn, fellows)
        vectors = {fellow: seen[fellow].vectors for fellow in fellows if fellow in seen}
        found = [own if fellow == name else _part(vectors.get(fellow), part, own) for fellow in fellows]
        return [vector for vector in found if vector is not None]

    def _vectors(
        self,
        kind: Hashable,
        turn: Hashable,
        part: int,
        own: Tensor,
        senders: Collection[str],
        receiver: str | None,
    ) -> list[Tensor]:
        """Those of this round; where fewer than two are there yet, the newest from everybody."""
        seen: Mapping[str, Sighting] = self.sightings.of_round(kind, turn, senders, receiver)
        if len(seen) < min(2, len(senders)):
            seen = self.sightings.latest(kind, senders, receiver)
        found = [_part(seen[name].vectors, part, own) for name in senders if name in seen]
        return [vector for vector in found if vector is not None]


def _part(vectors: list[Tensor] | None, part: int, like: Tensor) -> Tensor | None:
    """One vector of a message, if it is of the same shape as one's own."""
    if vectors is None or part >= len(vectors) or vectors[part].shape != like.shape:
        return None
    return vectors[part].to(like.device)


def _stacked(like: Tensor, vectors: list[Tensor]) -> Tensor:
    """Flat vectors as `[m, d]`; `m` may be 0."""
    flat = [vector.reshape(-1) for vector in vectors]
    return like.new_zeros(0, like.numel()) if not flat else torch.stack(flat)
