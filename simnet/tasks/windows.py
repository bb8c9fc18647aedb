"""Windows of a text: where they may begin, without ever crossing into text that is not one's own."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simnet.scenario import ScenarioError
from simnet.tasks.entry import Origin

Integers = NDArray[np.int64]
Spans = Integers
"""Stretches of text, `[spans, 2]`: first byte and end of each, in order, none touching another."""

BLOCK_BYTES = 1024
WINDOWS_PER_BLOCK = 8


@dataclass(frozen=True, eq=False)
class Blocks:
    """A text cut in blocks of one size (the last takes the rest)."""

    borders: Integers
    """Where each block begins, and the end of the last."""
    training: Integers
    """Indices of the blocks to train on."""
    held_out: Integers
    """Indices of the others, spread evenly over the text."""

    def spans(self, blocks: Integers) -> Spans:
        """The stretches of text that these blocks (in order) cover; neighbours are one stretch."""
        first = np.flatnonzero(np.diff(blocks, prepend=-2) != 1)
        last = np.append(first[1:], len(blocks)) - 1
        return np.stack([self.borders[blocks[first]], self.borders[blocks[last] + 1]], axis=1)


def cut(size: int, window: int, train_fraction: float, origin: Origin) -> Blocks:
    """Cut a text of `size` bytes in blocks, and hold out the last of each of equal runs of them.

    Blocks have at least 1024 bytes and at least eight windows. Raises `ScenarioError` where the text is
    too short for a block to train on and one to hold out.
    """
    block = max(BLOCK_BYTES, WINDOWS_PER_BLOCK * window)
    count = size // block
    if count < 2:
        raise ScenarioError.at(
            origin.path,
            f"a text of {size} bytes is too short for windows of {window} bytes",
            expected=f"at least {2 * block} bytes",
        )
    held = min(max(round(count * (1 - train_fraction)), 1), count - 1)
    held_out = np.arange(1, held + 1) * count // held - 1
    borders = np.append(np.arange(count) * block, size)
    return Blocks(borders, np.setdiff1d(np.arange(count), held_out), held_out)


def draw_windows(generator: np.random.Generator, spans: Spans, window: int, count: int) -> Integers:
    """First bytes of `count` windows, each equally likely among all that lie inside one span."""
    ends = np.cumsum(spans[:, 1] - spans[:, 0] - window + 1)
    drawn = generator.integers(ends[-1], size=count)
    span = np.searchsorted(ends, drawn, side="right")
    starts: Integers = drawn + (spans[:, 1] - window + 1 - ends)[span]
    return starts


def windows_in_turn(spans: Spans, window: int) -> Integers:
    """First bytes of windows one after the other: each byte of a span is predicted at most once."""
    return np.concatenate([np.arange(first, end - window + 1, window - 1) for first, end in spans])
