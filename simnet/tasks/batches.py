"""Batches as a pure function of (seed, worker, index of the batch)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simnet.streams import Streams
from simnet.tasks.orders import ROUNDS, keyed_order

Rows = NDArray[Any]

BLOCK_SAMPLES = 1024
"""At least so many samples are drawn at once for a worker: seeding a generator takes longer than a batch."""

LARGE_SHARE = 2 * BLOCK_SAMPLES
"""Larger shares are not shuffled as a whole."""

KEPT_BLOCKS = 2
"""Blocks kept per worker: batches go forward, but a gradient may be asked once more behind a border."""


@dataclass(frozen=True, eq=False)
class KeyedBatches:
    """Each worker reads an endless sequence of rows, a batch at a time; it is drawn block by block.

    A row says which sample is meant (an index, the first byte of a window, a noise vector). Block `k` of a
    worker depends on the worker and on `k` alone, so any batch can be asked at any time.
    """

    batch_sizes: tuple[int, ...]
    """Rows in one batch of each worker."""
    block_rows: tuple[int, ...]
    """Rows in one block of each worker."""
    draw: Callable[[int, int], Rows]
    """The rows of a block, `[block rows, ...]`, given the worker and the block."""
    take: Callable[[Tensor], tuple[Tensor, Tensor]]
    """Inputs and targets, given rows `[steps, n, batch, ...]`."""
    change: Callable[[Tensor, Sequence[int]], Tensor] | None = None
    """What workers see of inputs `[steps, n, batch, ...]`, given the n workers; None: the inputs."""
    _blocks: dict[int, dict[int, Rows]] = field(default_factory=dict, repr=False)

    def gather(self, requests: Sequence[tuple[int, int]], steps: int) -> tuple[Tensor, Tensor]:
        """Batches of several (worker, first batch) pairs: `[steps, len(requests), batch, ...]` each.

        The workers must have one batch size.
        """
        batch = self.batch_sizes[requests[0][0]]
        pieces = [self._rows(worker, start * batch, steps * batch) for worker, start in requests]
        rows = np.stack([piece.reshape(steps, batch, *piece.shape[1:]) for piece in pieces], axis=1)
        inputs, targets = self.take(torch.from_numpy(rows))
        if self.change is not None:
            inputs = self.change(inputs, [worker for worker, _ in requests])
        return inputs, targets

    def _rows(self, worker: int, first: int, count: int) -> Rows:
        size = self.block_rows[worker]
        block, offset = divmod(first, size)
        rows = self._block(worker, block)
        if offset + count <= size:
            return rows[offset : offset + count]
        pieces = [rows[offset:]]
        missing = count - (size - offset)
        while missing > 0:
            block += 1
            pieces.append(self._block(worker, block)[:missing])
            missing -= size
        return np.concatenate(pieces)

    def _block(self, worker: int, block: int) -> Rows:
        kept = self._blocks.setdefault(worker, {})
        if block not in kept:
            if len(kept) == KEPT_BLOCKS:
                del kept[min(kept)]
            kept[block] = self.draw(worker, block)
        return kept[block]


def full_batches(shares: Sequence[Rows], take: Callable[[Tensor], tuple[Tensor, Tensor]]) -> KeyedBatches:
    """Every batch of a worker is all its rows, in their order."""
    sizes = tuple(len(share) for share in shares)
    return KeyedBatches(sizes, sizes, lambda worker, block: shares[worker], take)


def shuffled_batches(
    shares: Sequence[NDArray[np.int64]],
    batch_size: int,
    streams: Streams,
    take: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> KeyedBatches:
    """A worker goes through its samples in a new random order in each epoch.

    A batch may take the end of one epoch and the beginning of the next, so every batch is full and every
    sample comes exactly once per epoch, also where a share is smaller than a batch. What is kept of a worker
    does not grow with its share: the order of a large one is computed piece by piece.
    """
    sizes = [len(share) for share in shares]
    epochs = [-(-BLOCK_SAMPLES // size) for size in sizes]

    def draw(worker: int, block: int) -> NDArray[np.int64]:
        if sizes[worker] > LARGE_SHARE:
            return _piece(shares[worker], streams, worker, block)
        copies = np.tile(shares[worker], (epochs[worker], 1))
        orders: NDArray[np.int64] = streams.generator("data", worker, block).permuted(copies, axis=1)
        return orders.ravel()

    return KeyedBatches(
        batch_sizes=(batch_size,) * len(shares),
        block_rows=tuple(
            BLOCK_SAMPLES if size > LARGE_SHARE else count * size
            for count, size in zip(epochs, sizes, strict=True)
        ),
        draw=draw,
        take=take,
    )


def _piece(share: NDArray[np.int64], streams: Streams, worker: int, block: int) -> NDArray[np.int64]:
    """The `block`-th `BLOCK_SAMPLES` rows of the endless sequence of a share: epochs in new orders."""
    epochs, positions = np.divmod(np.arange(block * BLOCK_SAMPLES, (block + 1) * BLOCK_SAMPLES), len(share))
    pieces = []
    for epoch in np.unique(epochs).tolist():
        keys = streams.generator("data", worker, epoch).integers(2**64, size=ROUNDS, dtype=np.uint64)
        pieces.append(share[keyed_order(len(share), positions[epochs == epoch], keys)])
    return np.concatenate(pieces)


def drawn_batches(
    workers: int,
    batch_size: int,
    streams: Streams,
    draw: Callable[[np.random.Generator, int, int], Rows],
    take: Callable[[Tensor], tuple[Tensor, Tensor]],
) -> KeyedBatches:
    """Rows drawn independently: `draw(generator, worker, count)` gives `count` of them."""
    rows = -(-BLOCK_SAMPLES // batch_size) * batch_size
    return KeyedBatches(
        batch_sizes=(batch_size,) * workers,
        block_rows=(rows,) * workers,
        draw=lambda worker, block: draw(streams.generator("data", worker, block), worker, rows),
        take=take,
    )
