"""Stage work of a pipeline: forward and backward passes of pieces of a model, for many replicas at once.

The backward pass is that of the piece at whatever parameters it is given, from the input that was received.
So both passes are pure functions of their inputs, and what a real stage would keep in between is a matter of
the clock and of memory alone (see `PieceCost`). Here, the forward pass's graph is kept and used where it can
be, which saves computing it again.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import torch
from torch import Tensor

from simnet.compute.batched import chunks
from simnet.compute.jobs import Job, State, StepResult
from simnet.compute.piece_rows import PieceRows, given
from simnet.compute.pieces import Codec, Piece
from simnet.compute.shard import Shard
from simnet.optim import Optimizer

T = TypeVar("T")

KEPT_BYTES = {"cpu": 2**30, "cuda": 16 * 2**30}
"""What graphs between forward and backward passes may take on a device. Constants, as all that a split of
work follows: it changes rounding."""


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
    keep: bool = False
    """Whether its graph is worth keeping for the backward pass."""
    kept: "KeptPasses | None" = field(default=None, init=False)


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
    forward: PieceForward | None = None
    """The microbatch's forward pass through the piece; None at the last one."""

    def at_the_same_params(self) -> bool:
        """Whether the forward pass saw the same parameters."""
        before = None if self.forward is None else self.forward.params
        return before is not None and before.data_ptr() == self.params.data_ptr()

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


@dataclass(eq=False)
class KeptPasses:
    """Forward passes of n replicas, computed with a graph that their backward passes may use, together."""

    rows: PieceRows
    outgoing: Tensor
    jobs: tuple[PieceForward, ...]
    bytes: int


def run_piece_forwards(shard: Shard, jobs: Sequence[PieceForward]) -> None:
    """Run forward passes, those through one piece at once."""
    for part in _groups(shard, jobs):
        rows = PieceRows(shard, part)
        taken = len(part) * int(part[0].piece.cost.kept_bytes)
        keep = all(job.keep for job in part) and shard.kept_bytes + taken <= KEPT_BYTES[shard.device.type]
        with torch.set_grad_enabled(keep):
            outgoing = rows.prepare() if keep else rows.outgoing()
        kept = KeptPasses(rows, outgoing, tuple(part), taken) if keep else None
        shard.kept_bytes += taken if keep else 0
        for job, values in zip(part, outgoing.detach(), strict=True):
            job.result, job.kept = values, kept


def run_piece_backwards(shard: Shard, jobs: Sequence[PieceBackward]) -> None:
    """Run backward passes, those through one piece at once.

    Where all microbatches of a joint forward pass come back together, at the parameters of then, its graph is
    still there. Otherwise the forward pass is computed again.
    """
    for part, kept in _with_graphs(shard, jobs):
        losses = None
        if kept is not None:
            rows, outgoing = kept.rows, kept.outgoing
        else:
            rows = PieceRows(shard, part)
        if part[0].piece.last:
            losses, gradients = rows.differentiate_loss()
        else:
            outgoing = rows.prepare() if kept is None else kept.outgoing
            gradients = rows.differentiate(outgoing, shard.stacked([given(job.gradient) for job in part]))
        for row, job in enumerate(part):
            job.result = PieceGradient(
                values=None if gradients is None else gradients[row],
                vector=rows.gradient[row],
                loss=None if losses is None else losses[row],
            )


def _with_graphs(
    shard: Shard, jobs: Sequence[PieceBackward]
) -> Iterator[tuple[Sequence[PieceBackward], KeptPasses | None]]:
    """The jobs in groups: those whose graph is there in its order, the others as memory allows."""
    by_forward = {id(job.forward): job for job in jobs if job.forward is not None}
    left = dict.fromkeys(jobs)
    for kept in {id(job.forward.kept): job.forward.kept for job in jobs if job.forward is not None}.values():
        if kept is None:
            continue
        shard.kept_bytes -= kept.bytes
        back = [by_forward.get(id(forward)) for forward in kept.jobs]
        group = [job for job in back if job is not None and job.at_the_same_params()]
        for forward in kept.jobs:
            forward.kept = None
        if len(group) == len(kept.jobs):
            for job in group:
                del left[job]
            yield group, kept
    for part in _groups(shard, list(left)):
        yield part, None


def run_piece_steps(shard: Shard, jobs: Sequence[PieceStep]) -> None:
    """Run optimizer steps, those of one optimizer on vectors of one length at once."""
    for part in _grouped(jobs, _optimizer_key):
        optimizer = part[0].optimizer
        params = shard.stacked([job.params for job in part])
        gradient = shard.stacked([job.gradient for job in part])
        state = {name: shard.stacked([job.state[name] for job in part]) for name in part[0].state}
        optimizer.update_(params, gradient, state)
        for row, job in enumerate(part):
            job.result = StepResult(params[row], {name: value[row] for name, value in state.items()})


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


def _optimizer_key(job: PieceStep) -> Hashable:
    """Equal optimizers step together, but not those that know the shapes of one stage."""
    optimizer = job.optimizer
    same: Hashable = id(optimizer) if optimizer.needs_layout else optimizer
    return same, len(job.params), tuple(job.state)


def _grouped(jobs: Sequence[T], key: Callable[[T], Hashable]) -> Iterable[Sequence[T]]:
    groups: dict[Hashable, list[T]] = {}
    for job in jobs:
        groups.setdefault(key(job), []).append(job)
    return groups.values()
