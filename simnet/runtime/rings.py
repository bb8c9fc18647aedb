"""Ring collectives as one fluid operation: a single flow per edge of the ring stands for all its rounds.

Each edge carries the bytes of all rounds in one flow. How long its messages took to leave and to travel says
when the last one arrives in a ring whose members pass on what they got (`network.analytic.ring_arrivals`);
the operation ends, for all, when the last one has. It agrees with the step-by-step collective on an
uncongested network and takes p flows instead of 2 p (p - 1). It adds in rank order.

Other algorithms have no such form: who sends to whom changes from round to round, and there are few rounds.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import simpy
import torch
from torch import Tensor

from simnet.network import Transfer
from simnet.network.analytic import ring_arrivals
from simnet.runtime.collectives import Reduction, reduce_in_order
from simnet.runtime.node import GroupChanged, Node
from simnet.runtime.payload import payload_bytes
from simnet.runtime.waiting import SimulatedTask, Until

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun
    from simnet.runtime.simulated_node import SimulatedNode


CollectiveTag = tuple[str, Hashable, Hashable]
"""Kind, group, and the how-manieth call of this kind by it (or the tag of what it is a part of)."""


@dataclass(frozen=True, slots=True)
class Ring:
    """What a ring does: its result, its rounds, and what each round sends on the edge out of each member, as
    raw (model bytes, other bytes)."""

    result: Any
    rounds: int
    round_bytes: list[tuple[float, float]]


class Gathering:
    """Who has come to a collective so far, with what."""

    def __init__(self, env: simpy.Environment, kind: str, members: tuple[str, ...]) -> None:
        self.kind = kind
        self.payloads: dict[str, Any] = {}
        self.members = members
        self.done: simpy.Event = env.event()

    @property
    def complete(self) -> bool:
        """Whether every member has come."""
        return len(self.payloads) == len(self.members)

    def __str__(self) -> str:
        """What its members wait for: only spelt out for who asks, for that is a look at all of them."""
        absent = [member for member in self.members if member not in self.payloads]
        return f"{self.kind} with {', '.join(absent) or 'its flows'}"


@dataclass(slots=True)
class Operation:
    """A ring whose flows are under way."""

    members: tuple[str, ...]
    transfers: list[Transfer] = field(default_factory=list)
    task: SimulatedTask[None] | None = None


class FluidRings:
    """The ring collectives of one simulated run."""

    def __init__(self, run: "SimulatedRun") -> None:
        self._run = run
        self._gatherings: dict[Hashable, Gathering] = {}
        self._operations: dict[Hashable, Operation] = {}

    async def all_reduce(
        self,
        node: Node,
        tensor: Tensor,
        op: Reduction,
        group: Sequence[str],
        tag: Hashable,
        *,
        ring: Sequence[str] | None = None,
        raw_bytes: float | None = None,
    ) -> Tensor:
        """2(p-1) rounds of n/p bytes on each edge."""
        size = len(group)

        def plan(tensors: list[Tensor]) -> Ring:
            share = _same_bytes(tensors, "all_reduce", raw_bytes) / size
            return Ring(reduce_in_order(tensors, op), 2 * (size - 1), [(share, 0.0)] * size)

        reduced: Tensor = await self._meet(node, tensor, group, tag, ring or group, plan)
        return reduced

    async def reduce_scatter(
        self,
        node: Node,
        tensor: Tensor,
        op: Reduction,
        group: Sequence[str],
        tag: Hashable,
        *,
        ring: Sequence[str] | None = None,
        raw_bytes: float | None = None,
    ) -> Tensor:
        """p-1 rounds of n/p bytes on each edge."""
        size = len(group)

        def plan(tensors: list[Tensor]) -> Ring:
            share = _same_bytes(tensors, "reduce_scatter", raw_bytes) / size
            pieces = torch.tensor_split(reduce_in_order(tensors, op).reshape(-1), size)
            return Ring(list(pieces), size - 1, [(share, 0.0)] * size)

        shares: list[Tensor] = await self._meet(node, tensor, group, tag, ring or group, plan)
        return shares[group.index(node.id)]

    async def all_gather(
        self,
        node: Node,
        payload: Any,
        group: Sequence[str],
        tag: Hashable,
        *,
        ring: Sequence[str] | None = None,
    ) -> list[Any]:
        """p-1 rounds; the edge out of a member carries every payload but that of the next member."""
        order = ring or group

        def plan(payloads: list[Any]) -> Ring:
            sizes = dict(zip(group, map(payload_bytes, payloads), strict=True))
            model, other = sum(size[0] for size in sizes.values()), sum(size[1] for size in sizes.values())
            rounds, after = len(group) - 1, [sizes[member] for member in (*order[1:], order[0])]
            return Ring(
                payloads, rounds, [((model - size[0]) / rounds, (other - size[1]) / rounds) for size in after]
            )

        gathered: list[Any] = await self._meet(node, payload, group, tag, order, plan)
        return list(gathered)

    def lost(self, node_id: str) -> None:
        """It is known that a node went down: stop what it has a part in."""
        self._stop(lambda members: node_id in members)

    def lost_apart(self, is_lost: Callable[[str, str], bool]) -> None:
        """Members that are lost to each other cannot go on: stop what they have a part in together."""
        self._stop(lambda members: any(is_lost(members[0], member) for member in members))

    def _stop(self, concerns: Callable[[tuple[str, ...]], bool]) -> None:
        for tag, gathering in list(self._gatherings.items()):
            if concerns(gathering.members):
                del self._gatherings[tag]
        for operation in list(self._operations.values()):
            if concerns(operation.members):
                self._halt(operation)

    async def _meet(
        self,
        node: Node,
        payload: Any,
        group: Sequence[str],
        tag: Hashable,
        order: Sequence[str],
        plan: Callable[[list[Any]], Ring],
    ) -> Any:
        """Wait for every member; the last to come starts the flows, unless one that came is down by then."""
        members, kind = tuple(group), cast(CollectiveTag, tag)[0]
        gathering = self._gatherings.get(tag)
        if gathering is None:
            gathering = self._gatherings[tag] = Gathering(self._run.env, kind, members)
        gathering.payloads[node.id] = payload
        if gathering.complete and not any(self._run.failures.is_down(member) for member in members):
            del self._gatherings[tag]
            ring = plan([gathering.payloads[member] for member in members])
            operation = self._operations[tag] = Operation(members)
            operation.task = self._run.start(self._flow(order, tag, operation, ring, gathering.done))
        here = cast("SimulatedNode", node)
        try:
            return await here.wait(gathering.done, gathering)
        except GroupChanged:  # all members leave it
            self._abandon(tag)
            raise

    def _abandon(self, tag: Hashable) -> None:
        self._gatherings.pop(tag, None)
        if tag in self._operations:
            self._halt(self._operations[tag])

    def _halt(self, operation: Operation) -> None:
        for transfer in operation.transfers:
            self._run.network.cancel(transfer)
        if operation.task is not None:
            operation.task.cancel()

    async def _flow(
        self, order: Sequence[str], tag: Hashable, operation: Operation, ring: Ring, done: simpy.Event
    ) -> None:
        try:
            for place, member in enumerate(order):
                source, target = self._run.nodes[member], self._run.nodes[order[(place + 1) % len(order)]]
                model_bytes, other_bytes = ring.round_bytes[place]
                transfer = self._run.carry(
                    source,
                    target,
                    ring.rounds * model_bytes,
                    ring.rounds * other_bytes,
                    kind=cast(CollectiveTag, tag)[0],
                    rounds=ring.rounds,
                    chained=True,
                )
                operation.transfers.append(transfer)
            # Backwards: where all are done at one instant, the others are when the last one is.
            for transfer in reversed(operation.transfers):
                await Until(transfer.sent)
            self._arrive(operation.transfers, ring.rounds)
            for transfer in reversed(operation.transfers):
                await Until(transfer.delivered)
        finally:
            del self._operations[tag]
        done.succeed(ring.result)

    def _arrive(self, transfers: list[Transfer], rounds: int) -> None:
        """All have left: the last message of each edge arrives when those that it waited for have."""
        network, start = self._run.network, transfers[0].start
        left = [transfer.left_at for transfer in transfers if transfer.left_at is not None]
        travel = [network.travel_seconds(transfer) for transfer in transfers]
        if len(set(left)) == len(set(travel)) == 1:
            arrivals = [left[0] + travel[0]] * len(transfers)
        else:
            sending = [(time - start) / rounds for time in left]
            chain = ring_arrivals(sending, [seconds / rounds for seconds in travel], rounds)
            arrivals = [start + seconds for seconds in chain]
        for transfer, time in zip(transfers, arrivals, strict=True):
            network.arrive(transfer, time)


def _same_bytes(tensors: list[Tensor], kind: str, raw_bytes: float | None) -> float:
    """What the whole tensor is charged as. Raises `ValueError` unless all have one shape."""
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ValueError(f"{kind} of tensors of different shapes: {sorted(shapes)}")
    return float(tensors[0].numel() * tensors[0].element_size()) if raw_bytes is None else raw_bytes
