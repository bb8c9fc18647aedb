"""Running groups of jobs: rows stacked into one buffer, one computation per step for all of them."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from simnet.compute.blocks import batches
from simnet.compute.gradients import Rows, losses_of
from simnet.compute.jobs import (
    GradientJob,
    GradientResult,
    LossJob,
    State,
    StepJob,
    StepResult,
    TrainJob,
    TrainResult,
)
from simnet.compute.memory import GROUP_BYTES as GROUP_BYTES
from simnet.compute.shard import Shard
from simnet.compute.steps import PartialSteps

T = TypeVar("T")
W = TypeVar("W", GradientJob, LossJob)

JOINT_PARAMETER_BYTES = {"cpu": 16 * 2**20}
"""Parameters that one joint computation takes at most. On a CPU more workers are slower together than in
parts: their vectors leave the caches, and the C library's allocator gives large blocks back at each step."""


def run_training(shard: Shard, jobs: Sequence[TrainJob]) -> None:
    """Run train jobs: those with one batch size together, apart from those with steps of another kind."""
    sizes = shard.program.task.batch_sizes
    moments = len(shard.optimizer.state_names())
    groups: dict[tuple[int, bool, bool], list[TrainJob]] = {}
    for job in jobs:
        key = (sizes[job.worker], job.mask is not None, job.lr_scale != 1)
        groups.setdefault(key, []).append(job)
    for (size, masked, scaled), group in sorted(groups.items()):
        # Longest first: who is done leaves from the end, and the others stay one slice.
        group.sort(key=lambda job: -job.steps)
        copies = moments + (1 + moments if masked else 0) + scaled
        for part in chunks(group, rows_in_group(shard, size, copies)):
            _train(shard, part)


def run_gradients(shard: Shard, jobs: Sequence[GradientJob]) -> None:
    """Run gradient jobs, batch size by batch size."""
    for part in _by_batch_size(shard, jobs):
        _gradients(shard, part)


def run_losses(shard: Shard, jobs: Sequence[LossJob]) -> None:
    """Run loss jobs, batch size by batch size."""
    for part in _by_batch_size(shard, jobs):
        _losses(shard, part)


def _by_batch_size(shard: Shard, jobs: Sequence[W]) -> Iterator[Sequence[W]]:
    """Jobs that may run together: of one batch size, as many as fit into memory."""
    sizes = shard.program.task.batch_sizes
    for size in sorted({sizes[job.worker] for job in jobs}):
        group = [job for job in jobs if sizes[job.worker] == size]
        yield from chunks(group, rows_in_group(shard, size, 0))


def run_steps(shard: Shard, jobs: Sequence[StepJob]) -> None:
    """Run step jobs; those on the same tensors share one result."""
    same: dict[tuple[int, ...], list[StepJob]] = {}
    for job in jobs:
        tensors = (job.params, job.gradient, *(job.state[name] for name in sorted(job.state)))
        same.setdefault(tuple(map(id, tensors)), []).append(job)
    distinct = [group[0] for group in same.values()]
    row_bytes = distinct[0].params.nbytes * (3 + len(shard.optimizer.state_names()))
    for part in chunks(distinct, max(1, int(shard.group_bytes // row_bytes))):
        _step(shard, part)
    for group in same.values():
        for job in group[1:]:
            job.result = group[0].result


def rows_in_group(shard: Shard, batch_size: int, copies: int) -> int:
    """Workers that may run together at `batch_size`: what fits the shard's memory, at least one.

    `copies` says how often a vector is there besides parameters, gradient and what layers need in between.
    """
    program = shard.program
    size = program.initial_params.nbytes
    fitting = shard.group_bytes // (size * (3 + copies) + 2 * batch_size * program.activation_bytes)
    quick = JOINT_PARAMETER_BYTES.get(shard.device.type, fitting * size) // size
    return max(1, int(min(fitting, quick)))


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in parts of nearly equal length, at most `size`."""
    parts = -(-len(items) // size)
    for part in range(parts):
        yield items[part * len(items) // parts : (part + 1) * len(items) // parts]


def _train(shard: Shard, jobs: Sequence[TrainJob]) -> None:
    program, optimizer = shard.program, shard.optimizer
    params = shard.stacked([job.params for job in jobs])
    state = _stack_states(shard, [job.state for job in jobs])
    for job in jobs:
        job.state = {}  # the largest input: whoever needs it no more should not have to keep it twice
    partial = PartialSteps.of(shard, jobs)
    longest = jobs[0].steps
    losses = params.new_empty(longest, len(jobs))
    gradient = torch.empty_like(params)
    named = program.random or program.mode == "loop"  # whether anybody asks which batches these are
    done = 0
    program.train()
    while done < longest:
        active = sum(job.steps > done for job in jobs)
        rows = Rows(program, params[:active], gradient[:active])
        moving = {name: value[:active] for name, value in state.items()}
        until = min(job.steps for job in jobs[:active])
        first = [(job.worker, job.first_batch) for job in jobs[:active]]
        for start, inputs, targets in batches(shard, first, done, until):
            for offset in range(inputs.shape[0]):
                which = [(worker, batch + start + offset) for worker, batch in first] if named else first
                losses[start + offset, :active] = rows.differentiate(
                    inputs[offset], targets[offset], which, moving
                )
                if partial is None:
                    optimizer.update_(rows.params, rows.gradient, moving)
                else:
                    partial.update_(optimizer, rows.params, rows.gradient, moving)
        done = until
    for row, job in enumerate(jobs):
        job.result = TrainResult(
            params=params[row],
            state={name: value[row] for name, value in state.items()},
            losses=losses[: job.steps, row],
        )


def _gradients(shard: Shard, jobs: Sequence[GradientJob]) -> None:
    program = shard.program
    params = _rows_at(shard, [job.params for job in jobs])
    gradient = torch.empty(params.shape, dtype=params.dtype, device=params.device)
    buffers = _initial_buffers(shard, len(jobs))
    requests = [(job.worker, job.first_batch) for job in jobs]
    inputs, targets = program.task.gather(requests, 1)
    program.train()
    losses = Rows(program, params, gradient).differentiate(inputs[0], targets[0], requests, buffers)
    for job, vector, loss in zip(jobs, gradient, losses, strict=True):
        job.result = GradientResult(vector=vector, loss=loss)


def _losses(shard: Shard, jobs: Sequence[LossJob]) -> None:
    program = shard.program
    params = _rows_at(shard, [job.params for job in jobs])
    requests = [(job.worker, job.batch) for job in jobs]
    inputs, targets = program.task.gather(requests, 1)
    program.train()
    found = losses_of(program, params, inputs[0], targets[0], requests, _initial_buffers(shard, len(jobs)))
    for job, loss in zip(jobs, found, strict=True):
        job.result = loss


def _step(shard: Shard, jobs: Sequence[StepJob]) -> None:
    params = shard.stacked([job.params for job in jobs])
    gradient = shard.stacked([job.gradient for job in jobs])
    state = _stack_states(shard, [job.state for job in jobs])
    shard.optimizer.update_(params, gradient, state)
    for row, job in enumerate(jobs):
        job.result = StepResult(params=params[row], state={name: value[row] for name, value in state.items()})


def _rows_at(shard: Shard, points: Sequence[Tensor]) -> Tensor:
    """The points as rows `[n, d]`, not to be written to: one row in memory where all are the same object."""
    if all(point is points[0] for point in points):
        return shard.stacked(points[:1]).expand(len(points), -1)
    return shard.stacked(points)


def _initial_buffers(shard: Shard, rows: int) -> dict[str, Tensor]:
    return {name: torch.stack([value] * rows) for name, value in shard.program.initial_buffers.items()}


def _stack_states(shard: Shard, states: Sequence[State]) -> dict[str, Tensor]:
    stacked = {name: shard.stacked([state[name] for state in states]) for name in states[0]}
    # A state straight from the optimizer knows nothing of the model's buffers.
    for name, value in shard.program.initial_buffers.items():
        if name not in stacked:
            stacked[name] = torch.stack([value] * len(states))
    return stacked
