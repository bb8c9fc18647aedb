"""Broadcast of a large tensor: the root scatters it, the members gather it (van de Geijn).

(log2 p + p - 1) a + 2 (p-1)/p n b: every member's link carries the tensor about twice, however many members
there are, where a binomial tree sends it log2 p times.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from simnet.runtime.collectives.ring import ring_all_gather
from simnet.runtime.collectives.steps import share, split, tensor_bytes
from simnet.runtime.collectives.tree import tree_broadcast
from simnet.runtime.node import Encoded, Node


@dataclass(frozen=True, slots=True)
class Pieces:
    """Consecutive pieces of a tensor that was cut into as many as there are members."""

    pieces: tuple[Tensor, ...]
    shape: torch.Size
    whole_bytes: float


async def scattered_broadcast(
    node: Node, payload: Any, root: str, group: Sequence[str], tag: Hashable, *, scatter: bool = True
) -> Any:
    """The root's payload at every member: a binomial scatter, then a ring all-gather.

    Where the root gives `scatter=False` or something that is no tensor, all of it goes down the same binomial
    tree instead; the other members learn which from what they receive, so only the root need know the size.
    """
    size, order = len(group), group.index(root)
    ring = [*group[order:], *group[:order]]
    me = ring.index(node.id)
    distance = 1 << (size - 1).bit_length() >> 1
    if me == 0:
        if not (scatter and isinstance(payload, Tensor)):
            return await tree_broadcast(node, payload, root, group, tag)
        whole, shape = tensor_bytes(payload), payload.shape
        held = tuple(split(payload, size))
    else:
        lowest = me & -me
        received = (await node.recv(ring[me - lowest], (tag, "broadcast", lowest))).payload
        distance = lowest >> 1
        if not (isinstance(received, Encoded) and isinstance(received.content, Pieces)):
            return await _down_the_tree(node, received, ring, tag, distance)
        whole, shape = received.content.whole_bytes, received.content.shape
        held = received.content.pieces
    while distance:
        if distance < len(held):
            given, held = held[distance:], held[:distance]
            part = share(Pieces(given, shape, whole), whole, len(given) / size)
            await node.send(ring[me + distance], part, (tag, "broadcast", distance))
        distance >>= 1
    gathered = await ring_all_gather(node, share(held[0], whole, 1 / size), ring, tag)
    return payload if me == 0 else torch.cat([part.content for part in gathered]).reshape(shape)


async def _down_the_tree(node: Node, payload: Any, ring: Sequence[str], tag: Hashable, distance: int) -> Any:
    """Go on with a binomial broadcast of which this member has its message."""
    me = ring.index(node.id)
    while distance:
        if me + distance < len(ring):
            await node.send(ring[me + distance], payload, (tag, "broadcast", distance))
        distance >>= 1
    return payload
