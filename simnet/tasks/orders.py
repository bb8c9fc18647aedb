"""Random orders that are computed where they are asked for, so that nobody has to hold them."""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]

ROUNDS = 6
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


def keyed_order(size: int, positions: Integers, keys: NDArray[np.uint64]) -> Integers:
    """Which of `size` things come at `positions` of the order that `keys` (`ROUNDS` of them) mean.

    A pseudo-random permutation of 0 ... size - 1: a Feistel network (Luby and Rackoff, 1988) on the next
    even power of two, repeated where its value lies outside (cycle walking). Needs memory for `positions`
    alone, whatever `size` is.
    """
    half = max(1, -(-(size - 1).bit_length() // 2))
    values = positions.astype(np.uint64)
    outside = np.ones(len(values), dtype=bool)
    while outside.any():
        values[outside] = _network(values[outside], half, keys)
        outside = values >= size
    return values.astype(np.int64)


def _network(values: NDArray[np.uint64], half: int, keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits, mask = np.uint64(half), np.uint64((1 << half) - 1)
    left, right = values >> bits, values & mask
    for key in keys:
        mixed = (right ^ key) * _MULTIPLIER
        mixed ^= mixed >> np.uint64(29)
        mixed *= _MULTIPLIER
        left, right = right, left ^ ((mixed >> np.uint64(32)) & mask)
    return (left << bits) | right
