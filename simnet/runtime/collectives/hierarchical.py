"""Hierarchical all-reduce: within local groups first, so that the links between them carry less.

RS_local(n) + AR_global(n/m) + AG_local(n) for groups of m members each (rings throughout): with p = m g on a
uniform network 2 (m + g - 2) a + 2 (p-1)/p n b. The groups are added up within themselves, as a ring does,
and then with each other in their order.
"""

from collections.abc import Hashable, Sequence

from torch import Tensor

from simnet.runtime.collectives.ring import Rings
from simnet.runtime.collectives.steps import Reduction, averaged, joined, share, tensor_bytes
from simnet.runtime.collectives.tree import tree_broadcast, tree_reduce
from simnet.runtime.node import Node

Tag = tuple[str, tuple[str, ...], Hashable]


def groups_of(members: Sequence[str], size: int) -> tuple[tuple[str, ...], ...]:
    """Consecutive members in groups of `size`; the last may be smaller."""
    return tuple(tuple(members[start : start + size]) for start in range(0, len(members), size))


async def hierarchical_all_reduce(
    node: Node,
    tensor: Tensor,
    op: Reduction,
    groups: Sequence[Sequence[str]],
    tag: Hashable,
    rings: Rings,
) -> Tensor:
    """Reduce-scatter in each group, all-reduce each piece across the groups, all-gather in each group.

    Where the groups differ in size, a binomial tree reduces each group to its first member, these all-reduce
    around a ring, and each broadcasts the result to its group: RD_local(n) + AR_global(n) + BC_local(n).

    Args:
        node: The member.
        tensor: What it brings, of the same shape at each.
        op: Sum, or mean over all members.
        groups: All members, each in one group.
        tag: The same at each member, used for nothing else.
        rings: How the parts that are rings are carried out.
    """
    (local,) = (tuple(group) for group in groups if node.id in group)
    members = sum(len(group) for group in groups)
    whole, position = tensor_bytes(tensor), local.index(node.id)

    def part(name: str, group: tuple[str, ...]) -> Tag:
        return name, group, tag

    if len({len(group) for group in groups}) > 1:
        total = await tree_reduce(node, tensor, "sum", local, (tag, "local"))
        if total is not None:
            leaders = tuple(group[0] for group in groups)
            total = await rings.all_reduce(node, total, "sum", leaders, part("all_reduce", leaders))
            total = averaged(total, members, op)
        result: Tensor = await tree_broadcast(node, total, local[0], local, (tag, "local"))
        return result
    size = len(local)
    piece = tensor.reshape(-1)
    if size > 1:
        piece = await rings.reduce_scatter(node, tensor, "sum", local, part("reduce_scatter", local))
    if len(groups) > 1:
        across = tuple(group[position] for group in groups)
        piece = await rings.all_reduce(
            node, piece, "sum", across, part("all_reduce", across), raw_bytes=whole / size
        )
    piece = averaged(piece, members, op)
    if size == 1:
        return piece.reshape(tensor.shape)
    parts = await rings.all_gather(node, share(piece, whole, 1 / size), local, part("all_gather", local))
    return joined([encoded.content for encoded in parts], tensor)
