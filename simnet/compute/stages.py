"""Stage work of a pipeline: forward and backward passes of pieces of a model, for many replicas at once.

A forward pass is computed without a graph. The backward pass computes the piece again from the input that was
kept, at whatever parameters it is given, and differentiates that. So both are pure functions of their inputs,
and what a real stage would keep in between is a matter of the clock and of memory alone (see
`PieceCost`).
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from simnet.compute.batched import chunks
from simnet.compute.jobs import Job, State, StepResult
from simnet.compute.losses import SLOPES
from simnet.compute.pieces import Codec, Piece, Rows
from simnet.compute.shard import Shard
from simnet.optim import Optimizer

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PieceGradient:
    """What a backward pass gives."""

    values: Tensor | None
    """Gradient of the loss in what was received, of its shape; None at the first piece."""
    vector: Tensor
    """Gradient of the loss in the piece's parameters, `[d + q]`."""
    loss: Tensor | None
    """Mean loss of the microbatch, a scalar; None but at the last piece."""


@dataclass(slots=True, eq=False)
class PieceForward(Job[Tensor]):
    """What a piece sends on: values `[batch, ..., k]`. Not for the last piece, whose outputs nobody needs."""

    piece: Piece
    params: Tensor
    """`[d + q]`: the piece's parameters and its codec's."""
    samples: tuple[int, int]
    """(replica, index of its microbatch): the inputs of the first piece, the targets of the last."""
    received: Tensor | None
    """Values `[batch, ..., k]` from the piece before; None at the first piece."""
    codec: Codec
    state: Mapping[str, Tensor]


@dataclass(slots=True, eq=False)
class PieceBackward(Job[PieceGradient]):
    """The gradients of a piece at `params`, given the gradient of the loss in what it sent."""

    piece: Piece
    params: Tensor
    samples: tuple[int, int]
    received: Tensor | None
    gradient: Tensor | None
    """Gradient in the values sent, `[batch, ..., k]`; None at the last piece, which has the loss."""
    codec: Codec
    state: Mapping[str, Tensor]

    def computed(self) -> tuple[int, int]:
        """One gradient."""
        return int(self.result is not None), 0


@dataclass(slots=True, eq=False)
class PieceStep(Job[StepResult]):
    """One step of `optimizer` from `params` and `state` along `gradient`, all `[d]`."""

    optimizer: Optimizer
    params: Tensor
    gradient: Tensor
    state: State

    def computed(self) -> tuple[int, int]:
        """One optimizer step."""
        return 0, int(self.result is not None)


def run_piece_forwards(shard: Shard, jobs: Sequence[PieceForward]) -> None:
    """Run forward passes, those through one piece at once."""
    for part in _groups(shard, jobs):
        with torch.no_grad():
            rows = _PieceRows(shard, part)
            for job, values in zip(part, rows.outgoing(), strict=True):
                job.result = values


def run_piece_backwards(shard: Shard, jobs: Sequence[PieceBackward]) -> None:
    """Run backward passes, those through one piece at once."""
    for part in _groups(shard, jobs):
        rows = _PieceRows(shard, part)
        if part[0].piece.last:
            losses, gradients = rows.differentiate_loss()
        else:
            sent = shard.stacked([_given(job.gradient) for job in part])
            losses, gradients = None, rows.differentiate(sent)
        for row, job in enumerate(part):
            job.result = PieceGradient(
                values=None if gradients is None else gradients[row],
                vector=rows.gradient[row],
                loss=None if losses is None else losses[row],
            )


def run_piece_steps(shard: Shard, jobs: Sequence[PieceStep]) -> None:
    """Run optimizer steps, those of one optimizer on vectors of one length at once."""
    for part in _grouped(jobs, lambda job: (id(job.optimizer), len(job.params), tuple(job.state))):
        optimizer = part[0].optimizer
        params = shard.stacked([job.params for job in part])
        gradient = shard.stacked([job.gradient for job in part])
        state = {name: shard.stacked([job.state[name] for job in part]) for name in part[0].state}
        optimizer.update_(params, gradient, state)
        for row, job in enumerate(part):
            job.result = StepResult(params[row], {name: value[row] for name, value in state.items()})


class _PieceRows:
    """One piece in n replicas: parameters, inputs and what becomes of them."""

    def __init__(self, shard: Shard, jobs: Sequence[PieceForward] | Sequence[PieceBackward]) -> None:
        self._task = shard.program.task
        self._piece = piece = jobs[0].piece
        self._codec = jobs[0].codec
        self._requests = [job.samples for job in jobs]
        params = shard.stacked([job.params for job in jobs])
        self.gradient = torch.empty_like(params)
        # One leaf per parameter: differentiating slices of one flat buffer would pad each with zeros.
        self._leaves = [view.detach().requires_grad_() for view in self._views(params)]
        self._slots = self._views(self.gradient)
        self._needs_data = piece.first or piece.last or getattr(self._codec, "token_ids", False)
        self._data = self._task.gather(self._requests, 1) if self._needs_data else None
        if piece.first:
            self._received = None
        else:
            self._received = shard.stacked([_given(job.received) for job in jobs]).requires_grad_()
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

    def differentiate(self, sent: Tensor) -> Tensor | None:
        """Given the gradients in what was sent, those in what was received; parameters' to `gradient`."""
        self._offer_slots()
        return self._differentiate(self.outgoing(), sent)

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


def _given(value: Tensor | None) -> Tensor:
    assert value is not None, "a piece in the middle receives something from both sides"
    return value


def _groups(shard: Shard, jobs: Sequence[T]) -> Iterable[Sequence[T]]:
    """Jobs that may run as one: same piece, same shapes, as many as fit into memory."""

    def key(job: T) -> Hashable:
        received = job.received  # type: ignore[attr-defined]
        shape = None if received is None else received.shape
        return id(job.piece), shape, tuple(job.state)  # type: ignore[attr-defined]

    for group in _grouped(jobs, key):
        piece: Piece = group[0].piece  # type: ignore[attr-defined]
        params: Tensor = group[0].params  # type: ignore[attr-defined]
        row = 3 * params.nbytes + 2 * int(piece.cost.kept_bytes)
        yield from chunks(group, max(1, int(shard.group_bytes // row)))


def _grouped(jobs: Sequence[T], key: Callable[[T], Hashable]) -> Iterable[Sequence[T]]:
    groups: dict[Hashable, list[T]] = {}
    for job in jobs:
        groups.setdefault(key(job), []).append(job)
    return groups.values()
