"""One piece of a model in many replicas at once: its outputs, and their derivatives."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from simnet.compute.losses import SLOPES
from simnet.compute.pieces import Codec, Piece, Rows
from simnet.compute.shard import Shard


class PassJob(Protocol):
    """What the forward and the backward pass of a microbatch through a piece start from."""

    piece: Piece
    params: Tensor
    samples: tuple[int, int]
    received: Tensor | None
    codec: Codec
    state: Mapping[str, Tensor]


class PieceRows:
    """One piece in n replicas: parameters, inputs and what becomes of them."""

    def __init__(self, shard: Shard, jobs: Sequence[PassJob]) -> None:
        self._task = shard.program.task
        self._piece = piece = jobs[0].piece
        self._codec = jobs[0].codec
        self._requests = [job.samples for job in jobs]
        params = _together(shard, [job.params for job in jobs])
        self.gradient = torch.empty_like(params)
        # One leaf per parameter: differentiating slices of one flat buffer would pad each with zeros.
        self._leaves = [view.detach().requires_grad_() for view in self._views(params)]
        self._slots = self._views(self.gradient)
        self._needs_data = piece.first or piece.last or getattr(self._codec, "token_ids", False)
        self._data = self._task.gather(self._requests, 1) if self._needs_data else None
        if piece.first:
            self._received = None
        else:
            self._received = shard.stacked([given(job.received) for job in jobs]).requires_grad_()
        own = self._leaves[len(piece.layout.names) :]
        self._rows = Rows(
            params=own[0] if own else None,
            state={name: shard.stacked([job.state[name] for job in jobs]) for name in jobs[0].state},
            token_ids=None if self._data is None else self._data[0][0],
        )

    def _views(self, flat: Tensor) -> list[Tensor]:
        size = self._piece.parameters
        views = self._piece.layout.views(flat[:, :size]) if size else []
        return [*views, flat[:, size:]] if flat.shape[1] > size else views

    def outputs(self) -> Tensor:
        """What the piece's blocks give, `[n, batch, ...]`."""
        if self._received is None:
            assert self._data is not None
            inputs = self._data[0][0]
        else:
            inputs = self._codec.decode(self._received, self._rows)
        names = self._piece.layout.names
        return self._piece.outputs(dict(zip(names, self._leaves, strict=False)), inputs)

    def outgoing(self) -> Tensor:
        """What the piece sends, `[n, batch, ..., k]`."""
        return self._codec.encode(self.outputs(), self._rows)

    def prepare(self) -> Tensor:
        """The same as `outgoing`, with a graph whose backward pass writes to `gradient`."""
        self._offer_slots()
        return self.outgoing()

    def differentiate(self, outgoing: Tensor, sent: Tensor) -> Tensor | None:
        """Given what `prepare` gave and the gradients in it, those in what was received; parameters' to
        `gradient`."""
        return self._differentiate(outgoing, sent)

    def differentiate_loss(self) -> tuple[Tensor, Tensor | None]:
        """At the last piece: the mean losses `[n]`, and their gradients in what was received."""
        self._offer_slots()
        assert self._data is not None
        outputs, targets, loss = self.outputs(), self._data[1][0], self._task.loss
        if loss in SLOPES:
            losses, slope = SLOPES[loss](outputs, targets)
            return losses, self._differentiate(outputs, slope)
        losses = loss(outputs, targets).flatten(1).mean(1)
        return losses.detach(), self._differentiate(losses, torch.ones_like(losses))

    def _offer_slots(self) -> None:
        # A layer that finds this attribute writes the gradient straight to where it belongs.
        for leaf, slot in zip(self._leaves, self._slots, strict=True):
            leaf.gradient_slot = slot  # type: ignore[attr-defined]

    def _differentiate(self, outputs: Tensor, gradient: Tensor) -> Tensor | None:
        wanted = [*self._leaves] if self._received is None else [*self._leaves, self._received]
        found = torch.autograd.grad(outputs, wanted, gradient, allow_unused=True, materialize_grads=True)
        for slot, value in zip(self._slots, found, strict=False):
            if slot.data_ptr() != value.data_ptr():
                slot.copy_(value)
        return None if self._received is None else found[-1]


def _together(shard: Shard, rows: Sequence[Tensor]) -> Tensor:
    """Rows `[d]` as `[n, d]`, to be read only: the buffer that they are the rows of, or a new one."""
    whole = rows[0]._base
    if whole is None or whole.shape != (len(rows), len(rows[0])) or whole.device != shard.device:
        return shard.stacked(rows)
    step = whole.stride(0) * whole.element_size()
    for index, row in enumerate(rows):
        if row._base is not whole or row.data_ptr() != whole.data_ptr() + index * step:
            return shard.stacked(rows)
    return whole


def given(value: Tensor | None) -> Tensor:
    """`value`, which is there: a piece in the middle receives something from both sides."""
    assert value is not None
    return value
