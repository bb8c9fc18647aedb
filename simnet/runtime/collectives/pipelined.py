"""Pipelined trees: the tensor travels in k chunks, each passed on while the next arrives.

Members sit in a tree in which rank r hangs on rank (r-1) // arity: a chain for arity 1 (depth h = p - 1),
a binary tree for arity 2. The textbook time is (h + k - 1)(a + n b/k), least for k = sqrt((h-1) n b / a); its
senders wait until a chunk has arrived before they send the next. Here the next chunk follows as soon as the
one before has left, so the latency is paid once per hop and not once per chunk: h a + (h + k - 1) n b/k on a
chain. The two agree for a = 0 and for k = 1. A binary tree sends every chunk twice, to both children at once.

A reduction adds a member's own tensor, then its children's in rank order.
"""

from collections.abc import Coroutine, Hashable, Sequence
from dataclasses import dataclass
from math import ceil, floor, inf
from typing import Any

import torch
from torch import Tensor

from simnet.network.analytic import best_chunks, textbook_pipelined_seconds
from simnet.runtime.collectives.paths import Cost
from simnet.runtime.collectives.steps import (
    Reduction,
    added,
    averaged,
    joined,
    share,
    split,
    tensor_bytes,
    together,
)
from simnet.runtime.node import Encoded, Node, Task

MAX_CHUNKS = 256
"""Where no number of chunks is given: no more than so many, also if latency is nothing."""


def chunks_for(depth: int, bytes: float, cost: Cost) -> int:
    """The best number of chunks by the textbook time, at most :data:`MAX_CHUNKS`.

    Args:
        depth: h, hops from the root to the farthest member.
        bytes: n, what the whole tensor is charged as.
        cost: a and b of one hop.
    """
    if cost.seconds_per_byte in (0.0, inf):
        return 1
    link = (bytes, 1 / cost.seconds_per_byte, cost.latency)
    best = min(best_chunks(depth, *link), MAX_CHUNKS)
    return min(floor(best), ceil(best), key=lambda chunks: textbook_pipelined_seconds(depth, chunks, *link))


def tree_depth(members: int, arity: int) -> int:
    """Hops from the root to the farthest member."""
    depth, rank = 0, members - 1
    while rank > 0:
        depth, rank = depth + 1, (rank - 1) // arity
    return depth


def tree_edges(members: int, arity: int) -> list[tuple[int, int]]:
    """Parent and child of every hop."""
    return [((rank - 1) // arity, rank) for rank in range(1, members)]


@dataclass(frozen=True, slots=True)
class Chunk:
    """One of several pieces of a tensor of the given shape."""

    piece: Tensor
    of: int
    shape: torch.Size


async def pipelined_broadcast(
    node: Node,
    payload: Any,
    root: str,
    group: Sequence[str],
    tag: Hashable,
    *,
    chunks: int,
    arity: int = 1,
) -> Any:
    """The root's payload at every member: h a + (h + k - 1) n b/k on a chain.

    What is no tensor travels whole. The number of chunks is the root's: the others learn it from the first
    chunk.
    """
    size, order = len(group), group.index(root)
    me = (group.index(node.id) - order) % size
    children = _named(_children(me, size, arity), order, group)
    if me == 0 and not isinstance(payload, Tensor):
        await _to_all(node, children, payload, (tag, "chunk", 0))
        return payload
    parent = group[((me - 1) // arity + order) % size]
    outgoing: list[Encoded] = []
    if me == 0:
        whole = tensor_bytes(payload)
        pieces = split(payload, chunks)
        outgoing = [share(Chunk(piece, chunks, payload.shape), whole, 1 / chunks) for piece in pieces]
    passing: Task[Any] | None = None
    held: list[Tensor] = []
    turn, count, shape = 0, 1 if me else chunks, torch.Size()
    try:
        while turn < count:
            encoded = outgoing[turn] if me == 0 else (await node.recv(parent, (tag, "chunk", turn))).payload
            if not (isinstance(encoded, Encoded) and isinstance(encoded.content, Chunk)):
                await _to_all(node, children, encoded, (tag, "chunk", 0))
                return encoded
            count, shape = encoded.content.of, encoded.content.shape
            held.append(encoded.content.piece)
            if passing is not None:
                await passing
            if children:
                passing = node.spawn(_to_all(node, children, encoded, (tag, "chunk", turn)))
            turn += 1
        if passing is not None:
            await passing
    except BaseException:
        if passing is not None:
            passing.cancel()
        raise
    return payload if me == 0 else torch.cat(held).reshape(shape)


async def pipelined_reduce(
    node: Node,
    tensor: Tensor,
    op: Reduction,
    group: Sequence[str],
    tag: Hashable,
    *,
    chunks: int,
    arity: int = 1,
) -> Tensor | None:
    """The reduced tensor at the first member, `None` elsewhere: h a + (h + k - 1) n b/k on a chain."""
    size, me = len(group), group.index(node.id)
    children = _named(_children(me, size, arity), 0, group)
    whole, pieces = tensor_bytes(tensor), split(tensor, chunks)
    passing: Task[Any] | None = None
    try:
        for turn in range(chunks):
            for child in children:
                message = await node.recv(child, (tag, "reduce", turn))
                pieces[turn] = added(pieces[turn], message.payload.content)
            if me:
                if passing is not None:
                    await passing
                outgoing = share(pieces[turn], whole, 1 / chunks)
                passing = node.spawn(node.send(group[(me - 1) // arity], outgoing, (tag, "reduce", turn)))
        if passing is not None:
            await passing
    except BaseException:
        if passing is not None:
            passing.cancel()
        raise
    return None if me else averaged(joined(pieces, tensor), size, op)


async def pipelined_all_reduce(
    node: Node,
    tensor: Tensor,
    op: Reduction,
    group: Sequence[str],
    tag: Hashable,
    *,
    chunks: int,
    arity: int = 1,
) -> Tensor:
    """Reduce to the first member, then broadcast from it: 2 (h a + (h + k - 1) n b/k) on a chain.

    The way down begins when the way up is done: were they to overlap, each member's downlink would carry
    both, in the same time.
    """
    total = await pipelined_reduce(node, tensor, op, group, tag, chunks=chunks, arity=arity)
    result: Tensor = await pipelined_broadcast(node, total, group[0], group, tag, chunks=chunks, arity=arity)
    return result


def _children(rank: int, size: int, arity: int) -> range:
    return range(min(arity * rank + 1, size), min(arity * (rank + 1) + 1, size))


def _named(ranks: range, order: int, group: Sequence[str]) -> list[str]:
    return [group[(rank + order) % len(group)] for rank in ranks]


def _to_all(node: Node, members: list[str], payload: Any, tag: Hashable) -> Coroutine[Any, Any, Any]:
    """Send the same to several members at once."""
    if len(members) == 1:
        return node.send(members[0], payload, tag)
    return together(node, *(node.send(member, payload, tag) for member in members))
