"""A Byzantine node: its method's code is the honest one, and knows nothing of it.

Between that code and the node itself stands this wrapper. It changes what the node learns from, what it
computes, what leaves it, to each receiver apart, and when; everything else goes through.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import simpy
import torch
from torch import Tensor

from simnet.faults.attacks import (
    DataAttack,
    Dissensus,
    Equivocation,
    FreeRider,
    InformedAttack,
    Memory,
    MessageAttack,
    Outgoing,
)
from simnet.faults.attacks.attack import Behaviour
from simnet.runtime.node import Encoded, Gradient, GroupChanged, Message, Node, OnLayer, Task
from simnet.runtime.payload import kind_of, payload_bytes
from simnet.runtime.simulated_node import SimulatedNode
from simnet.runtime.watched_node import WatchedNode, folded, unfolded, vectors_of, with_vectors

if TYPE_CHECKING:
    from simnet.runtime.adversary import Adversary


DROPPED = object()
"""In place of a payload that is not sent; a method may well send None."""


class ByzantineNode(WatchedNode):
    """A node under an attack, whenever its schedule says so."""

    def __init__(self, inner: SimulatedNode, adversary: "Adversary") -> None:
        super().__init__(inner, adversary)
        self._byzantine = adversary.nodes[inner.id]
        self._attack = self._byzantine.attack
        self._sent: dict[Hashable, deque[tuple[Hashable, list[Tensor]]]] = {}
        self._rounds: dict[Hashable, int] = {}
        self._pretended_steps = 0
        self._pretended_batches = 0

    @property
    def _active(self) -> bool:
        return self._byzantine.activity.active(self.now, self._inner.steps + self._pretended_steps)

    @property
    def _looks(self) -> bool:
        """Whether the attack is made from what others send."""
        attack = self._attack
        if isinstance(attack, Equivocation):
            return any(isinstance(face, InformedAttack) for face in attack.faces)
        return isinstance(attack, InformedAttack)

    @property
    def _tells_apart(self) -> bool:
        """Whether receivers may get different vectors."""
        return isinstance(self._attack, Equivocation | Dissensus)

    # -- data and computation -------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        if not self._pretended_steps:
            return self._inner.running
        return self._inner.running and self._steps_left > 0

    @property
    def _steps_left(self) -> int:
        """Of its own budget it has used what it pretended to do; a common budget counts real steps alone."""
        run = self._inner._run
        own = run._method.step_budget == "each"
        return run.steps_left(self._inner) - (self._pretended_steps if own else 0)

    def _choose_data(self) -> None:
        batches = self._adversary.batches
        if isinstance(self._attack, DataAttack) and batches is not None:
            batches.switch(self.rank, self._inner.batches_drawn, self._active)

    @property
    def _idles(self) -> FreeRider | None:
        return self._attack if isinstance(self._attack, FreeRider) and self._active else None

    async def train(
        self,
        steps: int | None = None,
        *,
        until: Task[Any] | None = None,
        on_layer: OnLayer | None = None,
        lr_scale: float = 1.0,
        only: slice | Tensor | None = None,
    ) -> int:
        self._choose_data()
        if self._idles is None or steps is None:
            return await super().train(steps, until=until, on_layer=on_layer, lr_scale=lr_scale, only=only)
        pretended = min(steps, max(0, self._steps_left))
        first, clocked = self._inner.batches_drawn + self._pretended_batches, self._inner.computing.clocked
        self._pretended_batches += pretended
        await self._pretend(clocked.train(self.now, first, pretended) if pretended else 0.0)
        self._pretended_steps += pretended
        if on_layer is not None:
            for layer in reversed(self.layers):
                on_layer(layer, self.params[layer])
        return pretended

    async def gradient(self, params: Tensor | None = None, *, on_layer: OnLayer | None = None) -> Gradient:
        self._choose_data()
        if self._idles is None:
            return await super().gradient(params, on_layer=on_layer)
        step = self._inner.batches_drawn + self._pretended_batches
        self._pretended_batches += 1
        await self._pretend(self._inner.computing.clocked.gradient(self.now, step))
        nothing = torch.zeros_like(self.params)
        if on_layer is not None:
            for layer in reversed(self.layers):
                on_layer(layer, nothing[layer])
        return Gradient(float("nan"), nothing)

    async def loss(self, params: Tensor | None = None) -> float:
        self._choose_data()
        return await super().loss(params)

    async def predictions(self, models: Sequence[Tensor], batches: int = 1) -> tuple[Tensor, Tensor]:
        self._choose_data()
        return await super().predictions(models, batches)

    async def _pretend(self, seconds: float) -> None:
        """Let the time pass that honest work would take, with an idle device; or none in a hurry."""
        if self._idles is not None and not self._idles.hurry and seconds > 0:
            await self._inner.sleep(seconds)

    # -- messages -------------------------------------------------------------------------------------

    async def send(self, to: str, payload: Any, tag: Hashable = "") -> None:
        kind, turn, started = kind_of(tag), self._turn(tag), self.now
        self._show(kind, turn, payload, (to,))
        if not self._active:
            await self._inner.send(to, payload, tag)
            return
        sent = await self._forged(payload, kind, turn, to)
        if sent is DROPPED:
            self._note("dropped", started)
            return
        await self._inner.send(to, sent, tag)
        self._note(self._attack.name, started)

    async def exchange(self, peer: str, payload: Any, tag: Hashable = "") -> Any:
        if not self._active:
            return await super().exchange(peer, payload, tag)
        if not (self._looks or isinstance(self._attack, Behaviour)):  # it knows at once what it sends
            kind, turn, started = kind_of(tag), self._turn(tag), self.now
            self._show(kind, turn, payload, (peer,))
            received = await self._inner.exchange(peer, await self._forged(payload, kind, turn, peer), tag)
            self._note(self._attack.name, started)
            return received
        sending = self.spawn(self.send(peer, payload, tag))
        try:
            message: Message = await self._inner.recv(peer, tag)
            await sending
        except BaseException:
            sending.cancel()
            raise
        return message.payload

    # -- collectives ----------------------------------------------------------------------------------

    async def all_reduce(
        self, tensor: Tensor, op: Literal["mean", "sum"] = "mean", group: Sequence[str] | None = None
    ) -> Tensor:
        members, kind, turn = self._collective("all_reduce", group)
        self._show(kind, turn, tensor, ())
        started, active = self.now, self._active
        if active:
            await self._meet(kind, turn, members)
            if self._tells_apart and vectors_of(tensor):
                faces = {member: self._face(tensor, kind, turn, member, members) for member in members}
                tensor = faces[self.id]
                self._adversary.correct(kind, turn, faces, tensor)
            else:
                tensor = await self._contributed(tensor, kind, turn, members)
        result = await self._inner.all_reduce(tensor, op, group)
        if active:
            self._note(self._attack.name, started)
        return self._adversary.corrected(result, kind, turn, self.id, 1 if op == "sum" else len(members))

    async def all_gather(self, payload: Any, group: Sequence[str] | None = None) -> list[Any]:
        members, kind, turn = self._collective("all_gather", group)
        self._show(kind, turn, payload, members)
        started, active = self.now, self._active
        if active:
            await self._meet(kind, turn, members)
            if self._tells_apart and vectors_of(payload):
                faces = {member: self._face(payload, kind, turn, member, members) for member in members}
                payload = folded(faces, sum(payload_bytes(payload)))
            else:
                payload = await self._contributed(payload, kind, turn, members)
        gathered = await self._inner.all_gather(payload, group)
        if active:
            self._note(self._attack.name, started)
        return [unfolded(block, self.id) for block in gathered]

    async def reduce_scatter(
        self, tensor: Tensor, op: Literal["mean", "sum"] = "mean", group: Sequence[str] | None = None
    ) -> Tensor:
        members, kind, turn = self._collective("reduce_scatter", group)
        self._show(kind, turn, tensor, ())
        if self._active:
            await self._meet(kind, turn, members)
            tensor = await self._contributed(tensor, kind, turn, members)
        return await self._inner.reduce_scatter(tensor, op, group)

    async def broadcast(self, payload: Any, root: str, group: Sequence[str] | None = None) -> Any:
        if root == self.id and self._active:
            members, kind, turn = self._collective("broadcast", group)
            self._show(kind, turn, payload, members)
            payload = await self._contributed(payload, kind, turn, members)
        return await self._inner.broadcast(payload, root, group)

    async def all_to_all(self, payloads: Sequence[Any], group: Sequence[str] | None = None) -> list[Any]:
        members, kind, turn = self._collective("all_to_all", group)
        for member, payload in zip(members, payloads, strict=False):
            self._show(kind, turn, payload, (member,))
        if self._active:
            await self._meet(kind, turn, members)
            payloads = [
                payload if member == self.id else self._face(payload, kind, turn, member, members)
                for member, payload in zip(members, payloads, strict=True)
            ]
        return await self._inner.all_to_all(payloads, group)

    # -- what goes out --------------------------------------------------------------------------------

    async def _forged(self, payload: Any, kind: Hashable, turn: Hashable, to: str) -> Any:
        """What is sent to `to`, after holding it back; `DROPPED` for nothing."""
        if isinstance(self._attack, Behaviour):
            return await self._behaved(payload, kind, turn, to)
        if self._looks:
            await self._adversary.look_around()
            workers = self.members(self.role)
            if self._byzantine.patience and to in workers:
                here = self._adversary.sightings.all_here(
                    kind, turn, self._adversary.seen_by(self.id, workers)
                )
                limit = self._inner._env.timeout(self._byzantine.patience)
                await self._inner.wait(simpy.AnyOf(self._inner._env, (here, limit)), "honest vectors")
        return self._face(payload, kind, turn, to, self.members(self.role), peers_send_to_all=False)

    async def _contributed(
        self, payload: Any, kind: Hashable, turn: Hashable, members: tuple[str, ...]
    ) -> Any:
        """What goes into a collective, the same for every member."""
        if isinstance(self._attack, Behaviour):
            after = members[(members.index(self.id) + 1) % len(members)]
            changed = await self._behaved(payload, kind, turn, after)
            if changed is DROPPED:
                await self._inner.wait(simpy.Event(self._inner._env), "nothing: it dropped its part")
            return changed
        return self._face(payload, kind, turn, None, members)

    async def _meet(self, kind: Hashable, turn: Hashable, members: tuple[str, ...]) -> None:
        """Wait for what the others contribute: without this node's part nobody can go on anyway."""
        if not self._looks:
            return
        await self._adversary.look_around()
        here = self._adversary.sightings.all_here(kind, turn, self._adversary.seen_by(self.id, members))
        run = self._inner._run
        try:
            ticket = run.views.enter(self._inner)
            try:
                with run.failures.together(self.id, members):
                    await self._inner.wait(here, "honest contributions")
            finally:
                run.views.leave(ticket)
        except GroupChanged:
            pass  # the collective itself raises it again

    def _face(
        self,
        payload: Any,
        kind: Hashable,
        turn: Hashable,
        to: str | None,
        members: tuple[str, ...],
        peers_send_to_all: bool = True,
    ) -> Any:
        """The payload as one receiver is to see it, or all of them."""
        if not isinstance(self._attack, MessageAttack):
            return payload
        if isinstance(payload, Encoded):
            raise TypeError(f"{self._attack.name} changes vectors, and {self.id} sends encoded ones")
        crafted = []
        for part, own in enumerate(vectors_of(payload)):
            view = self._adversary.view(
                self.id, kind, turn, part, own.reshape(-1), to, members, peers_send_to_all
            )
            try:
                crafted.append(self._attack.craft(view).reshape(own.shape).to(own))
            except ValueError:  # it does not see what it needs, as in a first round: it hides
                self._inner._run.counts["attacks_without_sight"] += 1
                return payload
        self._inner._run.counts["attacks"] += 1
        return with_vectors(payload, crafted)

    async def _behaved(self, payload: Any, kind: Hashable, turn: Hashable, to: str) -> Any:
        attack = self._attack
        assert isinstance(attack, Behaviour)
        self._inner._run.counts["attacks"] += 1
        vectors = vectors_of(payload)
        earlier = self._earlier(kind, turn, vectors, attack.remembers)
        changed: list[Tensor] = []
        outgoing = Outgoing(None)
        for part, own in enumerate(vectors or [torch.empty(0)]):
            rng = self._inner._run.streams.generator(
                "attack", self._byzantine.fellows[0], self.id, kind, turn, part, to
            )
            memory = Memory(self._rounds[kind], [old[part] for old in earlier if old], rng=rng)
            outgoing = attack.outgoing(own, memory)
            if outgoing.vector is None:
                return DROPPED
            changed.append(outgoing.vector)
        held = outgoing.delay + (outgoing.stretch - 1.0) * self._seconds_to(to, payload)
        if held > 0:
            await self._inner.sleep(held)
        return with_vectors(payload, changed) if vectors else payload

    def _earlier(
        self, kind: Hashable, turn: Hashable, vectors: list[Tensor], remembers: int
    ) -> list[list[Tensor]]:
        """The vectors of earlier rounds, oldest first; this round's are remembered for later ones."""
        rounds = self._sent.setdefault(kind, deque(maxlen=remembers + 1))
        if not rounds or rounds[-1][0] != turn:
            self._rounds[kind] = self._rounds.get(kind, -1) + 1
            rounds.append((turn, vectors))
        shapes = [vector.shape for vector in vectors]
        return [
            old for before, old in rounds if before != turn and [vector.shape for vector in old] == shapes
        ]

    def _seconds_to(self, to: str, payload: Any) -> float:
        """What the payload's bytes take to a node over links that nobody else uses."""
        run = self._inner._run
        source, target = self._inner.host, run.host_of(to)
        if source == target:
            return 0.0
        model, other = payload_bytes(payload)
        bytes_ = run.cost.charged_bytes(model) + other
        return bytes_ / run.topology.nominal_bandwidth(source, target)

    def _note(self, what: str, started: float) -> None:
        self._inner._run.recorder.span(self.id, "attack", what, started, self.now)


def seen_by_its_method(node: SimulatedNode, adversary: "Adversary | None") -> Node:
    """The node that the method's code gets: itself, unless somebody attacks in this run."""
    if adversary is None:
        return node
    return (ByzantineNode if node.id in adversary.nodes else WatchedNode)(node, adversary)


def honest(nodes: Sequence[SimulatedNode], adversary: "Adversary | None") -> list[SimulatedNode]:
    """Those whose models count: what a Byzantine node ends up with says nothing of the method."""
    return [node for node in nodes if adversary is None or node.id not in adversary.nodes]
