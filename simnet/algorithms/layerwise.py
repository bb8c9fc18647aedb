"""Averaging a vector layer by layer, while the backward pass still makes the rest of it."""

from typing import Literal

import torch
from torch import Tensor

from simnet.algorithms.membership import Group
from simnet.runtime.node import GroupChanged, Node, Task

Overlap = Literal["none", "backward"]


class LayerwiseMean:
    """The mean over all who take part of a vector that comes layer by layer, the last one first.

    Layers are sent in the order in which they come, one after the other: the next one's all-reduce begins
    when that of the one before is done, as in a queue of transfers.
    """

    def __init__(self, node: Node, group: Group) -> None:
        self._node = node
        self._group = group
        self._own: dict[int, Tensor] = {}
        self._parts: list[tuple[slice, Task[Tensor]]] = []

    def add(self, layer: slice, part: Tensor) -> None:
        """Queue one layer's part of the vector."""
        self._own[layer.start] = part
        before = self._parts[-1][1] if self._parts else None
        self._parts.append((layer, self._node.spawn(self._reduce(before, part))))

    async def _reduce(self, before: Task[Tensor] | None, part: Tensor) -> Tensor:
        if before is not None:
            await before
        return await self._node.all_reduce(part, op="mean")

    async def result(self) -> Tensor:
        """The whole mean `[d]`, once the last layer is done.

        If a worker is lost meanwhile, those who are left average the whole vector anew. Raises
        :class:`GroupChanged` as `Group.mean` does.
        """
        try:
            parts = [await task for _, task in sorted(self._parts, key=lambda part: part[0].start)]
        except GroupChanged as changed:
            await self._group.agree(changed)
            return await self._group.mean(torch.cat([own for _, own in sorted(self._own.items())]))
        return torch.cat(parts)
