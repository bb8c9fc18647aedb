"""Ring collectives: every member sends to the next and receives from the one before, round after round.

2(p-1) a + 2 (p-1)/p n b for an all-reduce, the least bytes that any can do with (Patarasu and Yuan, 2009).
`ring` names the same members in the order in which they sit on the ring; pieces and results go by rank in
`group` whatever that order is. Piece i is added up from the member after its owner on around the ring, the
owner's own part last.
"""

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

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
)
from simnet.runtime.node import Encoded, Node


class Rings(Protocol):
    """The three ring collectives, message by message or as fluid operations."""

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
        """See :func:`ring_reduce_scatter`."""

    async def all_gather(
        self,
        node: Node,
        payload: Any,
        group: Sequence[str],
        tag: Hashable,
        *,
        ring: Sequence[str] | None = None,
    ) -> list[Any]:
        """See :func:`ring_all_gather`."""

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
        """See :func:`ring_all_reduce`."""


async def ring_reduce_scatter(
    node: Node,
    tensor: Tensor,
    op: Reduction,
    group: Sequence[str],
    tag: Hashable,
    *,
    ring: Sequence[str] | None = None,
    raw_bytes: float | None = None,
) -> Tensor:
    """This member's share of the reduced tensor after p - 1 rounds: (p-1) a + (p-1)/p n b.

    Args:
        node: The member.
        tensor: What it brings, of the same shape at each.
        op: Sum, or mean over the members.
        group: The members in rank order: rank i gets piece i of `tensor_split(flat, p)`.
        tag: The same at each member, used for nothing else.
        ring: The members in ring order; by rank if not given.
        raw_bytes: What the whole tensor is charged as; its own bytes if not given.
    """
    ring = group if ring is None else ring
    size, me = len(ring), ring.index(node.id)
    whole = tensor_bytes(tensor) if raw_bytes is None else raw_bytes
    by_rank = split(tensor, size)
    pieces = [by_rank[group.index(member)] for member in ring]
    after, before = ring[(me + 1) % size], ring[me - 1]
    for turn in range(size - 1):
        outgoing, incoming = (me - turn - 1) % size, (me - turn - 2) % size
        passed = share(pieces[outgoing], whole, 1 / size)
        received = await pass_on(node, after, before, passed, (tag, "scatter", turn))
        pieces[incoming] = added(received.content, pieces[incoming])
    return averaged(pieces[me], size, op)


async def ring_all_gather(
    node: Node, payload: Any, group: Sequence[str], tag: Hashable, *, ring: Sequence[str] | None = None
) -> list[Any]:
    """Every member's payload in rank order after p - 1 rounds: (p-1) a + (p-1) n b for n bytes each."""
    ring = group if ring is None else ring
    size, me = len(ring), ring.index(node.id)
    gathered: list[Any] = [None] * size
    gathered[me] = payload
    after, before = ring[(me + 1) % size], ring[me - 1]
    for turn in range(size - 1):
        outgoing, incoming = (me - turn) % size, (me - turn - 1) % size
        gathered[incoming] = await pass_on(node, after, before, gathered[outgoing], (tag, "gather", turn))
    held = dict(zip(ring, gathered, strict=True))
    return [held[member] for member in group]


async def ring_all_reduce(
    node: Node,
    tensor: Tensor,
    op: Reduction,
    group: Sequence[str],
    tag: Hashable,
    *,
    ring: Sequence[str] | None = None,
    raw_bytes: float | None = None,
) -> Tensor:
    """Reduce-scatter, then all-gather: 2(p-1) a + 2 (p-1)/p n b. Arguments: :func:`ring_reduce_scatter`."""
    whole = tensor_bytes(tensor) if raw_bytes is None else raw_bytes
    mine = await ring_reduce_scatter(node, tensor, op, group, tag, ring=ring, raw_bytes=whole)
    pieces: list[Encoded] = await ring_all_gather(
        node, share(mine, whole, 1 / len(group)), group, tag, ring=ring
    )
    return joined([piece.content for piece in pieces], tensor)


class SteppedRings:
    """The ring collectives message by message."""

    reduce_scatter = staticmethod(ring_reduce_scatter)
    all_gather = staticmethod(ring_all_gather)
    all_reduce = staticmethod(ring_all_reduce)
