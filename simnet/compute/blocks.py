"""Batches of many workers, fetched some steps at a time."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from simnet.compute.shard import Shard

BLOCK_BYTES = 4 * 2**20
"""Size of the blocks in which batches are fetched."""


def batches(
    shard: Shard, first: Sequence[tuple[int, int]], start: int, end: int
) -> Iterator[tuple[int, Tensor, Tensor]]:
    """Steps `start` to `end` of workers with one batch size, in blocks: (first step, inputs, targets).

    `first` names the batch of each worker's step 0 as (worker, batch). On a GPU, the next block is fetched
    while the one before is computed on.
    """
    program = shard.program
    samples = program.task.batch_sizes[first[0][0]] * len(first)
    block = max(1, BLOCK_BYTES // max(1, program.sample_bytes * samples))

    def fetch(step: int) -> tuple[Tensor, Tensor]:
        requests = [(worker, batch + step) for worker, batch in first]
        return program.task.gather(requests, min(block, end - step))

    steps = range(start, end, block)
    if shard.device.type == "cuda":
        ahead = _fetched_ahead(shard.device, fetch, steps)
        yield from ((step, *data) for step, data in zip(steps, ahead, strict=True))
        return
    for step in steps:
        yield step, *fetch(step)


def _fetched_ahead(
    device: torch.device, fetch: Callable[[int], tuple[Tensor, Tensor]], steps: Sequence[int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """Each step's block, fetched on a stream of its own while the one before is in use."""
    copying = torch.cuda.Stream(device)

    def begin(step: int) -> tuple[Tensor, Tensor]:
        with torch.cuda.device(device), torch.cuda.stream(copying):
            return fetch(step)

    coming = begin(steps[0]) if steps else None
    for following in [*steps[1:], None]:
        assert coming is not None
        computing = torch.cuda.current_stream(device)
        computing.wait_stream(copying)
        for data in coming:
            data.record_stream(computing)  # its memory is not used again before the computation is through
        ready, coming = coming, begin(following) if following is not None else None
        yield ready
