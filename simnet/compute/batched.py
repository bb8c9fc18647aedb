"""Running groups of jobs: rows stacked into one buffer, one computation per step for all of them."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from simnet.compute.gradients import Rows
from simnet.compute.jobs import GradientJob, GradientResult, State, StepJob, StepResult, TrainJob, TrainResult
from simnet.compute.program import Program
from simnet.compute.shard import Shard
from simnet.optim import Optimizer

T = TypeVar("T")

GROUP_BYTES = {"cpu": 256 * 2**20, "cuda": 8 * 2**30}
"""Memory that one stacked computation may take. Constants: a split that followed free memory would change
rounding from run to run."""
BLOCK_BYTES = 4 * 2**20
"""Size of the blocks in which batches are fetched."""


def run_training(shard: Shard, jobs: Sequence[TrainJob]) -> None:
    """Run train jobs, batch size by batch size."""
    program, optimizer = shard.program, shard.optimizer
    sizes = program.task.batch_sizes
    for size in sorted({sizes[job.worker] for job in jobs}):
        # Longest first: who is done leaves from the end, and the others stay one slice.
        group = sorted((job for job in jobs if sizes[job.worker] == size), key=lambda job: -job.steps)
        rows = rows_in_group(program, size, len(optimizer.state_names()))
        for part in chunks(group, rows):
            _train(program, optimizer, part)


def run_gradients(shard: Shard, jobs: Sequence[GradientJob]) -> None:
    """Run gradient jobs, batch size by batch size."""
    program = shard.program
    sizes = program.task.batch_sizes
    for size in sorted({sizes[job.worker] for job in jobs}):
        group = [job for job in jobs if sizes[job.worker] == size]
        for part in chunks(group, rows_in_group(program, size, 0)):
            _gradients(program, part)


def run_steps(shard: Shard, jobs: Sequence[StepJob]) -> None:
    """Run step jobs; those on the same tensors share one result."""
    optimizer = shard.optimizer
    same: dict[tuple[int, ...], list[StepJob]] = {}
    for job in jobs:
        tensors = (job.params, job.gradient, *(job.state[name] for name in sorted(job.state)))
        same.setdefault(tuple(map(id, tensors)), []).append(job)
    distinct = [group[0] for group in same.values()]
    if distinct:
        row_bytes = distinct[0].params.nbytes * (3 + len(optimizer.state_names()))
        rows = max(1, GROUP_BYTES[distinct[0].params.device.type] // row_bytes)
        for part in chunks(distinct, rows):
            _step(optimizer, part)
    for group in same.values():
        for job in group[1:]:
            job.result = group[0].result


def rows_in_group(program: Program, batch_size: int, moments: int) -> int:
    """Workers that may run together at `batch_size`: what fits `GROUP_BYTES`, at least one."""
    params = program.initial_params
    row = params.nbytes * (3 + moments) + 2 * batch_size * program.activation_bytes
    return max(1, GROUP_BYTES[params.device.type] // row)


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in parts of nearly equal length, at most `size`."""
    parts = -(-len(items) // size)
    for part in range(parts):
        yield items[part * len(items) // parts : (part + 1) * len(items) // parts]


def _train(program: Program, optimizer: Optimizer, jobs: Sequence[TrainJob]) -> None:
    params = torch.stack([job.params for job in jobs])
    state = _stack_states([{**program.initial_buffers, **job.state} for job in jobs])
    longest = jobs[0].steps
    losses = params.new_empty(longest, len(jobs))
    gradient = torch.empty_like(params)
    done = 0
    program.train()
    while done < longest:
        active = sum(job.steps > done for job in jobs)
        rows = Rows(program, params[:active], gradient[:active])
        moving = {name: value[:active] for name, value in state.items()}
        until = min(job.steps for job in jobs[:active])
        for start, inputs, targets in _batches(program, jobs[:active], done, until):
            for offset in range(inputs.shape[0]):
                requests = [(job.worker, job.first_batch + start + offset) for job in jobs[:active]]
                losses[start + offset, :active] = rows.differentiate(
                    inputs[offset], targets[offset], requests, moving
                )
                optimizer.update_(rows.params, rows.gradient, moving)
        done = until
    for row, job in enumerate(jobs):
        job.result = TrainResult(
            params=params[row],
            state={name: value[row] for name, value in state.items()},
            losses=losses[: job.steps, row],
        )


def _gradients(program: Program, jobs: Sequence[GradientJob]) -> None:
    first = jobs[0].params
    if all(job.params is first for job in jobs):
        params = first.expand(len(jobs), -1)
    else:
        params = torch.stack([job.params for job in jobs])
    gradient = torch.empty(params.shape, dtype=params.dtype, device=params.device)
    buffers = _stack_states([program.initial_buffers] * len(jobs))
    requests = [(job.worker, job.first_batch) for job in jobs]
    inputs, targets = program.task.gather(requests, 1)
    program.train()
    losses = Rows(program, params, gradient).differentiate(inputs[0], targets[0], requests, buffers)
    for job, vector, loss in zip(jobs, gradient, losses, strict=True):
        job.result = GradientResult(vector=vector, loss=loss)


def _step(optimizer: Optimizer, jobs: Sequence[StepJob]) -> None:
    params = torch.stack([job.params for job in jobs])
    gradient = torch.stack([job.gradient for job in jobs])
    state = _stack_states([job.state for job in jobs])
    optimizer.update_(params, gradient, state)
    for row, job in enumerate(jobs):
        job.result = StepResult(params=params[row], state={name: value[row] for name, value in state.items()})


def _stack_states(states: Sequence[State]) -> dict[str, Tensor]:
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}


def _batches(
    program: Program, jobs: Sequence[TrainJob], start: int, end: int
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """The jobs' batches of steps `start` to `end`, in blocks: (first step, inputs, targets)."""
    samples = program.task.batch_sizes[jobs[0].worker] * len(jobs)
    block = max(1, BLOCK_BYTES // max(1, program.sample_bytes * samples))
    while start < end:
        steps = min(block, end - start)
        inputs, targets = program.task.gather([(job.worker, job.first_batch + start) for job in jobs], steps)
        yield start, inputs, targets
        start += steps
