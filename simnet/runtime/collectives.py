"""Collectives written over `send` and `recv`, the same for every runtime.

Each function is called by every member with the same `group` (node ids in rank order) and the same `tag`.
Costs in the alpha-beta model (latency a, b seconds per byte, p members, n bytes): Thakur, Rabenseifner and
Gropp 2005; Patarasu and Yuan 2009.
"""

from collections.abc import Callable, Hashable, Sequence
from math import ceil, log2
from typing import Any, Literal

import torch
from torch import Tensor

from simnet.runtime.node import Encoded, Node

Reduction = Literal["mean", "sum"]
AllReduce = Callable[[Node, Tensor, Reduction, Sequence[str], Hashable], Any]


def reduce_in_order(tensors: Sequence[Tensor], op: Reduction) -> Tensor:
    """Sum or mean of equal-shaped tensors, always added in the order given."""
    total = tensors[0].clone()
    for tensor in tensors[1:]:
        total += tensor
    return total / len(tensors) if op == "mean" else total


def _chunks(tensor: Tensor, parts: int) -> tuple[list[Tensor], float]:
    """`tensor` cut into `parts` flat pieces, and the even share of its bytes that each is charged.

    Pieces differ by at most one element; charging each the even share keeps the total exact.
    """
    pieces = list(torch.tensor_split(tensor.reshape(-1), parts))
    return pieces, tensor.numel() * tensor.element_size() / parts


async def _pass_on(node: Node, to: str, sender: str, payload: Any, tag: Hashable) -> Any:
    """Send to one member while receiving from another; gives what was received, once both are done."""
    sending = node.spawn(node.send(to, payload, tag))
    message = await node.recv(sender, tag)
    await sending
    return message.payload


async def ring_reduce_scatter(
    node: Node, tensor: Tensor, op: Reduction, group: Sequence[str], tag: Hashable
) -> Tensor:
    """This member's share of the reduced tensor after p - 1 rounds: (p-1) a + (p-1)/p n b."""
    size, me = len(group), group.index(node.id)
    pieces, share = _chunks(tensor, size)
    after, before = group[(me + 1) % size], group[me - 1]
    for turn in range(size - 1):
        outgoing, incoming = (me - turn - 1) % size, (me - turn - 2) % size
        passed = Encoded(pieces[outgoing], share)
        received = await _pass_on(node, after, before, passed, (tag, "scatter", turn))
        pieces[incoming] = pieces[incoming] + received.content
    return pieces[me] / size if op == "mean" else pieces[me]


async def ring_all_gather(node: Node, payload: Any, group: Sequence[str], tag: Hashable) -> list[Any]:
    """Every member's payload in rank order after p - 1 rounds: (p-1) a + (p-1) n b for n bytes each."""
    size, me = len(group), group.index(node.id)
    gathered: list[Any] = [None] * size
    gathered[me] = payload
    after, before = group[(me + 1) % size], group[me - 1]
    for turn in range(size - 1):
        outgoing, incoming = (me - turn) % size, (me - turn - 1) % size
        gathered[incoming] = await _pass_on(node, after, before, gathered[outgoing], (tag, "gather", turn))
    return gathered


async def ring_all_reduce(
    node: Node, tensor: Tensor, op: Reduction, group: Sequence[str], tag: Hashable
) -> Tensor:
    """Reduce-scatter, then all-gather: 2(p-1) a + 2 (p-1)/p n b."""
    share = await ring_reduce_scatter(node, tensor, op, group, tag)
    raw_bytes = tensor.numel() * tensor.element_size() / len(group)
    pieces = await ring_all_gather(node, Encoded(share, raw_bytes), group, tag)
    return torch.cat([piece.content for piece in pieces]).reshape(tensor.shape)


async def tree_reduce(
    node: Node, tensor: Tensor, op: Reduction, group: Sequence[str], tag: Hashable
) -> Tensor | None:
    """The reduced tensor at the first member, `None` elsewhere; binomial tree, ceil(log2 p) (a + n b)."""
    size, me = len(group), group.index(node.id)
    total, distance = tensor, 1
    while distance < size:
        if me % (2 * distance):
            await node.send(group[me - distance], total, (tag, "reduce", distance))
            return None
        if me + distance < size:
            message = await node.recv(group[me + distance], (tag, "reduce", distance))
            total = total + message.payload
        distance *= 2
    return total / size if op == "mean" else total


async def tree_broadcast(node: Node, payload: Any, root: str, group: Sequence[str], tag: Hashable) -> Any:
    """The root's payload at every member; binomial tree, ceil(log2 p) (a + n b)."""
    size = len(group)
    order = group.index(root)
    me = (group.index(node.id) - order) % size
    distance = 1 << max(0, ceil(log2(size)) - 1)
    if me:
        lowest = me & -me
        message = await node.recv(group[(me - lowest + order) % size], (tag, "broadcast", lowest))
        payload = message.payload
        distance = lowest >> 1
    while distance:
        if me + distance < size:
            await node.send(group[(me + distance + order) % size], payload, (tag, "broadcast", distance))
        distance >>= 1
    return payload


async def tree_all_reduce(
    node: Node, tensor: Tensor, op: Reduction, group: Sequence[str], tag: Hashable
) -> Tensor:
    """Binomial reduce, then binomial broadcast: 2 ceil(log2 p) (a + n b)."""
    total = await tree_reduce(node, tensor, op, group, tag)
    result: Tensor = await tree_broadcast(node, total, group[0], group, tag)
    return result


async def tree_barrier(node: Node, group: Sequence[str], tag: Hashable) -> None:
    """Return once every member has called: empty messages up and down a binomial tree, 2 ceil(log2 p) a."""
    size, me = len(group), group.index(node.id)
    distance = 1
    while distance < size:
        if me % (2 * distance):
            await node.send(group[me - distance], None, (tag, "barrier", distance))
            break
        if me + distance < size:
            await node.recv(group[me + distance], (tag, "barrier", distance))
        distance *= 2
    await tree_broadcast(node, None, group[0], group, tag)
