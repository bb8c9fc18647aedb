"""What the collectives are made of: sending while receiving, cutting tensors, and adding in a fixed order."""

from collections.abc import Coroutine, Hashable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from simnet.runtime.node import Encoded, Node

Reduction = Literal["mean", "sum"]


async def pass_on(node: Node, to: str, sender: str, payload: Any, tag: Hashable) -> Any:
    """Send to one member while receiving from another; gives what was received, once both are done.

    Should either fail or this be cancelled, the other does not go on.
    """
    sending = node.spawn(node.send(to, payload, tag))
    try:
        message = await node.recv(sender, tag)
        await sending
    except BaseException:
        sending.cancel()
        raise
    return message.payload


async def together(node: Node, *coroutines: Coroutine[Any, Any, Any]) -> list[Any]:
    """Run coroutines side by side; gives what they return, in order, once all are done.

    Should one fail or this be cancelled, the others do not go on.
    """
    tasks = [node.spawn(coroutine) for coroutine in coroutines]
    try:
        return [await task for task in tasks]
    except BaseException:
        for task in tasks:
            task.cancel()
        raise


def tensor_bytes(tensor: Tensor) -> float:
    """What a tensor takes on the wire, before `charge_as` scales it."""
    return float(tensor.numel() * tensor.element_size())


def split(tensor: Tensor, parts: int) -> list[Tensor]:
    """`tensor` cut into `parts` flat pieces, which differ by at most one element and may be empty.

    Collectives charge every piece the even share of the bytes, so that times and totals are exactly those of
    the formulas for any size.
    """
    return list(torch.tensor_split(tensor.reshape(-1), parts))


def joined(pieces: Sequence[Tensor], like: Tensor) -> Tensor:
    """Flat pieces put together in the shape of `like`."""
    return torch.cat([piece.reshape(-1) for piece in pieces]).reshape(like.shape)


def added(mine: Tensor, theirs: Tensor) -> Tensor:
    """`mine + theirs`; raises `ValueError` for unequal shapes, which torch might stretch to fit."""
    if mine.shape != theirs.shape:
        raise ValueError(
            f"a reduction of tensors of different shapes: {tuple(mine.shape)} and {tuple(theirs.shape)}"
        )
    return mine + theirs


def averaged(total: Tensor, members: int, op: Reduction) -> Tensor:
    """The sum itself, or the mean for `op="mean"`."""
    return total / members if op == "mean" else total


def reduce_in_order(tensors: Sequence[Tensor], op: Reduction) -> Tensor:
    """Sum or mean of equal-shaped tensors, always added in the order given."""
    total = tensors[0].clone()
    for tensor in tensors[1:]:
        total += tensor
    return averaged(total, len(tensors), op)


def share(content: Any, whole_bytes: float, fraction: float) -> Encoded:
    """A part of something, charged the given fraction of the whole's bytes."""
    return Encoded(content, whole_bytes * fraction)
