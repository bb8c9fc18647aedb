"""Recursive doubling and halving-doubling: partners at distance 1, 2, 4, ... exchange and combine.

For p a power of two: log2 p (a + n b), and 2 log2 p a + 2 (p-1)/p n b (Rabenseifner; Thakur, Rabenseifner and
Gropp, 2005). For any other p the usual fold comes first: the p - q members beyond q, the largest power of
two below p, hand their tensors in, take no part, and get the result at the end; a + n b each way. Where
MPICH lets one member take the whole of another's tensor, here the q that stay share the tensors of the others
evenly, in blocks: as many bytes, but all begin together, none sends to a member that is still busy with the
fold, and the formulas are exact for every p.

A partial sum is added to its partner's, which gives both the same bits; the members' tensors meet in a
binary tree over the ranks, after what was folded into each.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simnet.runtime.collectives.steps import (
    Reduction,
    added,
    averaged,
    joined,
    pass_on,
    share,
    split,
    tensor_bytes,
    together,
)
from simnet.runtime.node import Node


def core_size(members: int) -> int:
    """The largest power of two that is not above the number of members."""
    return 1 << (members.bit_length() - 1)


@dataclass(frozen=True, slots=True)
class Fold:
    """Who takes over what from the members beyond the largest power of two."""

    size: int
    """All members."""

    @property
    def core(self) -> int:
        """How many stay: ranks 0 to core - 1."""
        return core_size(self.size)

    def block(self, extra: int) -> range:
        """The ranks that share the tensor of rank `extra`."""
        folded, index = self.size - self.core, extra - self.core
        return range(-(-index * self.core // folded), -(-(index + 1) * self.core // folded))

    def extra(self, rank: int) -> int:
        """The rank of whose tensor `rank` takes a part."""
        return self.core + rank * (self.size - self.core) // self.core

    def pairs(self) -> list[tuple[int, int]]:
        """Who sends to whom when folding, all at once."""
        if self.size == self.core:
            return []
        return [(self.extra(rank), rank) for rank in range(self.core)]

    async def into_core(self, node: Node, tensor: Tensor, group: Sequence[str], tag: Hashable) -> Tensor:
        """For one that stays: its tensor, with its part of the folded one added."""
        me = group.index(node.id)
        if self.size == self.core:
            return tensor
        extra = self.extra(me)
        block = self.block(extra)
        part = me - block.start
        message = await node.recv(group[extra], (tag, "fold"))
        pieces = split(tensor, len(block))
        pieces[part] = added(pieces[part], message.payload.content)
        return joined(pieces, tensor)

    async def hand_in(self, node: Node, tensor: Tensor, group: Sequence[str], tag: Hashable) -> Tensor:
        """For one that does not: give its tensor to those of its block, and get the result from them."""
        block, whole = self.block(group.index(node.id)), tensor_bytes(tensor)
        pieces = split(tensor, len(block))
        sends = [
            node.send(group[rank], share(pieces[part], whole, 1 / len(block)), (tag, "fold"))
            for part, rank in enumerate(block)
        ]
        await together(node, *sends)
        messages = [await node.recv(group[rank], (tag, "unfold")) for rank in block]
        return joined([message.payload.content for message in messages], tensor)

    async def out_of_core(self, node: Node, result: Tensor, group: Sequence[str], tag: Hashable) -> None:
        """For one that stays: give the folded member its part of the result."""
        if self.size == self.core:
            return
        me = group.index(node.id)
        extra = self.extra(me)
        block = self.block(extra)
        piece = split(result, len(block))[me - block.start]
        await node.send(group[extra], share(piece, tensor_bytes(result), 1 / len(block)), (tag, "unfold"))


async def recursive_doubling_all_reduce(
    node: Node, tensor: Tensor, op: Reduction, group: Sequence[str], tag: Hashable
) -> Tensor:
    """log2 p (a + n b); log2 q + 2 rounds where p is not a power of two."""
    me, fold = group.index(node.id), Fold(len(group))
    if me >= fold.core:
        return await fold.hand_in(node, tensor, group, tag)
    total = await fold.into_core(node, tensor, group, tag)
    distance = 1
    while distance < fold.core:
        partner = group[me ^ distance]
        received = await pass_on(node, partner, partner, total, (tag, "double", distance))
        total = added(total, received)
        distance *= 2
    result = averaged(total, len(group), op)
    await fold.out_of_core(node, result, group, tag)
    return result


async def halving_doubling_all_reduce(
    node: Node, tensor: Tensor, op: Reduction, group: Sequence[str], tag: Hashable
) -> Tensor:
    """2 log2 p a + 2 (p-1)/p n b; for other p that of q, and 2 (a + n b).

    Halving: partners at distance q/2, q/4, ... exchange the halves that the other goes on with, so that each
    member ends with one reduced piece. Doubling: the pieces are gathered the same way back.
    """
    me, fold = group.index(node.id), Fold(len(group))
    if me >= fold.core:
        return await fold.hand_in(node, tensor, group, tag)
    pieces = split(await fold.into_core(node, tensor, group, tag), fold.core)
    whole, core = tensor_bytes(tensor), fold.core
    low, high = 0, core
    while high - low > 1:
        middle = (low + high) // 2
        distance = middle - low
        kept, given = (
            (range(low, middle), range(middle, high))
            if me < middle
            else (range(middle, high), range(low, middle))
        )
        partner = group[me ^ distance]
        outgoing = share(tuple(pieces[index] for index in given), whole, distance / core)
        received = await pass_on(node, partner, partner, outgoing, (tag, "halve", distance))
        for index, theirs in zip(kept, received.content, strict=True):
            pieces[index] = added(pieces[index], theirs)
        low, high = kept.start, kept.stop
    pieces[me] = averaged(pieces[me], len(group), op)
    distance = 1
    while distance < core:
        partner = group[me ^ distance]
        low = me // distance * distance
        theirs_low = low ^ distance
        outgoing = share(tuple(pieces[low : low + distance]), whole, distance / core)
        received = await pass_on(node, partner, partner, outgoing, (tag, "double", distance))
        pieces[theirs_low : theirs_low + distance] = received.content
        distance *= 2
    result = torch.cat(pieces).reshape(tensor.shape)
    await fold.out_of_core(node, result, group, tag)
    return result
