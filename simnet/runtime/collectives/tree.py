"""Binomial trees: a message reaches, or is gathered from, twice as many members each round.

ceil(log2 p) (a + n b) each way (Thakur, Rabenseifner and Gropp, 2005). A reduction adds the subtrees of a
member in the order of their distance: itself, +1, +2, +4, ...
"""

from collections.abc import Hashable, Sequence
from typing import Any

from torch import Tensor

from simnet.runtime.collectives.steps import Reduction, added, averaged
from simnet.runtime.node import Node


async def tree_reduce(
    node: Node, tensor: Tensor, op: Reduction, group: Sequence[str], tag: Hashable
) -> Tensor | None:
    """The reduced tensor at the first member, `None` elsewhere; ceil(log2 p) (a + n b)."""
    size, me = len(group), group.index(node.id)
    total, distance = tensor, 1
    while distance < size:
        if me % (2 * distance):
            await node.send(group[me - distance], total, (tag, "reduce", distance))
            return None
        if me + distance < size:
            message = await node.recv(group[me + distance], (tag, "reduce", distance))
            total = added(total, message.payload)
        distance *= 2
    return averaged(total, size, op)


async def tree_broadcast(node: Node, payload: Any, root: str, group: Sequence[str], tag: Hashable) -> Any:
    """The root's payload at every member; ceil(log2 p) (a + n b)."""
    size = len(group)
    order = group.index(root)
    me = (group.index(node.id) - order) % size
    distance = 1 << (size - 1).bit_length() >> 1
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
