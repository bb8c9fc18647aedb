"""Network operations as an algorithm, so that the same code is simulated and run for real."""

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from simnet.algorithms import Algorithm
from simnet.runtime.node import Encoded, Node, Task

REST_SECONDS = 0.1
"""Between operations: what hosts still have to do is done by then."""
MOST_SEGMENT_BYTES = 1 << 20
"""The largest segment that gloo cuts a tensor into."""


class Flow(BaseModel):
    """One message; nodes are given by rank."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: int
    target: int
    bytes: float


class Operation(BaseModel):
    """Something that all nodes begin at one instant, and that is over when the last has done its part.

    flows: single messages, all at once. all-reduce: of a tensor, as `network.all_reduce` says, `times` times.
    gloo: around a ring as gloo does it (:func:`gloo_ring`); only to be simulated. gossip: everybody sends to
    both neighbours in rank order, and hears from both.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["flows", "all-reduce", "gloo", "gossip"]
    bytes: float = 0.0
    """Of the tensor, or of each neighbour's message."""
    flows: tuple[Flow, ...] = ()
    times: int = 1


class Probe(Algorithm):
    """Operations one after another, each begun by all at an instant that they have agreed on.

    Records `<name> begin` and `<name> end` at every node that takes part. Payloads are sizes without values.
    """

    needs_values: ClassVar[bool] = False

    operations: tuple[Operation, ...] = Field(description="What is done, in this order.")
    rest: float = Field(REST_SECONDS, description="Seconds between two operations, and the longest latency.")

    def roles(self) -> Mapping[str, Callable[[Node], Coroutine[Any, Any, None]]]:
        """Workers alone."""
        return {"worker": self.worker}

    async def worker(self, node: Node) -> None:
        """All operations."""
        for number, operation in enumerate(self.operations):
            await self._together(node, number)
            begin = node.now
            took_part = await _carry_out(node, operation, number)
            if took_part:
                node.record(**{f"{operation.name} begin": begin, f"{operation.name} end": node.now})

    async def _together(self, node: Node, number: int) -> None:
        """Return at one instant everywhere: the first node names it once all have said they are ready."""
        if node.rank == 0:
            for peer in node.peers:
                await node.recv(peer, tag=("ready", number))
            start = node.now + self.rest
            for peer in node.peers:
                await node.send(peer, start, tag=("start", number))
        else:
            first = node.members(node.role)[0]
            await node.send(first, 0.0, tag=("ready", number))
            start = (await node.recv(first, tag=("start", number))).payload
        await node.sleep(max(0.0, start - node.now))


async def _carry_out(node: Node, operation: Operation, number: int) -> bool:
    """This node's part; gives whether it had one."""
    match operation.kind:
        case "flows":
            return await _flows(node, operation.flows, number)
        case "all-reduce":
            tensor = torch.empty(round(operation.bytes / 4), device="meta")
            for _ in range(operation.times):
                await node.all_reduce(tensor)
        case "gloo":
            await gloo_ring(node, operation.bytes, number)
        case "gossip":
            members = node.members(node.role)
            ranks = {(node.rank + 1) % len(members), (node.rank - 1) % len(members)}
            near = [members[rank] for rank in sorted(ranks)]
            tasks = [
                node.spawn(node.send(peer, _sized(operation.bytes), ("gossip", number))) for peer in near
            ]
            for peer in near:
                await node.recv(peer, ("gossip", number))
            for task in tasks:
                await task
    return True


async def _flows(node: Node, flows: tuple[Flow, ...], number: int) -> bool:
    members = node.members(node.role)
    sending = [
        node.spawn(node.send(members[flow.target], _sized(flow.bytes), ("flow", number, index)))
        for index, flow in enumerate(flows)
        if flow.source == node.rank
    ]
    for index, flow in enumerate(flows):
        if flow.target == node.rank:
            await node.recv(members[flow.source], ("flow", number, index))
    for task in sending:
        await task
    return any(node.rank in (flow.source, flow.target) for flow in flows)


async def gloo_ring(node: Node, bytes: float, number: int) -> None:
    """The messages of gloo's ring all-reduce.

    The tensor is cut into segments of 1 MiB at most, as many for each member, and two at least. Each of the
    two phases (reduce-scatter, all-gather) passes on all segments but one member's, two waited for at a time,
    one behind the other on one connection.
    A segment leaves once its receiver has said that it waits for it: one more latency, unless it was said in
    time.
    """
    members = node.members(node.role)
    size = len(members)
    each = max(2, -(-max(1, -(-int(bytes) // MOST_SEGMENT_BYTES)) // size))
    payload = _sized(bytes / (each * size))
    to, back = members[(node.rank - 1) % size], members[(node.rank + 1) % size]

    async def pass_on(tag: tuple[Any, ...], before: Task[None] | None) -> None:
        await node.recv(to, ("waits", *tag))
        if before is not None:
            await before
        await node.send(to, payload, ("segment", *tag))

    for phase in range(2):
        count = each * (size - 1)
        sending: list[Task[None]] = []
        for step in range(count + 2):
            if step >= 2:
                await node.recv(back, ("segment", number, phase, step - 2))
                await sending[step - 2]
            if step < count:
                node.spawn(node.send(back, 0.0, ("waits", number, phase, step)))
                before = sending[-1] if sending else None
                sending.append(node.spawn(pass_on((number, phase, step), before)))


def _sized(bytes: float) -> Encoded:
    return Encoded(None, bytes)
