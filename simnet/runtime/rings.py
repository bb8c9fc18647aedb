"""Ring collectives as one fluid operation: a single flow per edge of the ring stands for all its rounds.

Each edge carries the bytes of all rounds in one flow and pays its latency once per round. The operation ends
when the slowest edge does: `rounds * max_i(a_i + n / (p B_i))`, the bulk-synchronous time of the ring
(`network.analytic.ring_all_reduce` on a uniform network). It agrees with the step-by-step collective on an
uncongested network and takes p flows instead of 2 p (p - 1).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import simpy
import torch
from torch import Tensor

from simnet.runtime.collectives import Reduction, reduce_in_order
from simnet.runtime.payload import payload_bytes
from simnet.runtime.waiting import Until

if TYPE_CHECKING:
    from simnet.runtime.simulated import SimulatedRun
    from simnet.runtime.simulated_node import SimulatedNode


CollectiveTag = tuple[str, tuple[str, ...], int]
"""Kind, members, and the how-manieth call of this kind by them."""


@dataclass(frozen=True, slots=True)
class Ring:
    """What a ring does: its result, its rounds, and what each round sends on the edge out of each member, as
    raw (model bytes, other bytes)."""

    result: Any
    rounds: int
    round_bytes: list[tuple[float, float]]


class Gathering:
    """Who has come to a collective so far, with what."""

    def __init__(self, env: simpy.Environment, size: int) -> None:
        self.payloads: list[Any] = [None] * size
        self.missing = size
        self.done: simpy.Event = env.event()


class FluidRings:
    """The ring collectives of one simulated run."""

    def __init__(self, run: "SimulatedRun") -> None:
        self._run = run
        self._gatherings: dict[CollectiveTag, Gathering] = {}

    async def all_reduce(
        self, node: "SimulatedNode", tensor: Tensor, op: Reduction, group: tuple[str, ...], tag: CollectiveTag
    ) -> Tensor:
        """2(p-1) rounds of n/p bytes on each edge."""

        def ring(tensors: list[Tensor]) -> Ring:
            share = _same_bytes(tensors, "all_reduce") / len(group)
            return Ring(reduce_in_order(tensors, op), 2 * (len(group) - 1), [(share, 0.0)] * len(group))

        reduced: Tensor = await self._meet(node, tensor, group, tag, ring)
        return reduced

    async def reduce_scatter(
        self, node: "SimulatedNode", tensor: Tensor, op: Reduction, group: tuple[str, ...], tag: CollectiveTag
    ) -> Tensor:
        """p-1 rounds of n/p bytes on each edge."""

        def ring(tensors: list[Tensor]) -> Ring:
            share = _same_bytes(tensors, "reduce_scatter") / len(group)
            pieces = torch.tensor_split(reduce_in_order(tensors, op).reshape(-1), len(group))
            return Ring(list(pieces), len(group) - 1, [(share, 0.0)] * len(group))

        shares: list[Tensor] = await self._meet(node, tensor, group, tag, ring)
        return shares[group.index(node.id)]

    async def all_gather(
        self, node: "SimulatedNode", payload: Any, group: tuple[str, ...], tag: CollectiveTag
    ) -> list[Any]:
        """p-1 rounds; the edge out of a member carries every payload but that of the next member."""

        def ring(payloads: list[Any]) -> Ring:
            sizes = [payload_bytes(payload) for payload in payloads]
            model, other = sum(size[0] for size in sizes), sum(size[1] for size in sizes)
            rounds, after = len(group) - 1, sizes[1:] + sizes[:1]
            return Ring(
                payloads, rounds, [((model - size[0]) / rounds, (other - size[1]) / rounds) for size in after]
            )

        gathered: list[Any] = await self._meet(node, payload, group, tag, ring)
        return list(gathered)

    async def _meet(
        self,
        node: "SimulatedNode",
        payload: Any,
        group: tuple[str, ...],
        tag: CollectiveTag,
        plan: Callable[[list[Any]], Ring],
    ) -> Any:
        """Wait for every member; the last to come starts the flows."""
        gathering = self._gatherings.get(tag)
        if gathering is None:
            gathering = self._gatherings[tag] = Gathering(self._run.env, len(group))
        gathering.payloads[group.index(node.id)] = payload
        gathering.missing -= 1
        if gathering.missing == 0:
            del self._gatherings[tag]
            self._run.start(self._flow(group, tag, plan(gathering.payloads), gathering.done))
        absent = [member for member, held in zip(group, gathering.payloads, strict=True) if held is None]
        return await node.wait(gathering.done, f"{tag[0]} with {', '.join(absent) or 'its flows'}")

    async def _flow(self, group: Sequence[str], tag: CollectiveTag, ring: Ring, done: simpy.Event) -> None:
        arrivals = []
        for rank, member in enumerate(group):
            source, target = self._run.nodes[member], self._run.nodes[group[(rank + 1) % len(group)]]
            latency = self._run.topology.route(source.host, target.host).latency
            model_bytes, other_bytes = ring.round_bytes[rank]
            transfer = self._run.carry(
                source,
                target,
                ring.rounds * model_bytes,
                ring.rounds * other_bytes,
                kind=tag[0],
                extra_latency=(ring.rounds - 1) * latency,
            )
            arrivals.append(transfer.delivered)
        for arrival in arrivals:
            await Until(arrival)
        done.succeed(ring.result)


def _same_bytes(tensors: list[Tensor], kind: str) -> float:
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ValueError(f"{kind} of tensors of different shapes: {sorted(shapes)}")
    return float(tensors[0].numel() * tensors[0].element_size())
