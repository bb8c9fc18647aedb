"""Random streams that are keyed by what they are for, never by the order of their use."""

from __future__ import annotations

import hashlib

import numpy as np


def seed_sequence(seed: int, purpose: str, *keys: int) -> np.random.SeedSequence:
    """The seed of the stream for (seed, purpose, keys), the same in every process and on every machine."""
    digest = hashlib.blake2b(purpose.encode(), digest_size=8).digest()
    return np.random.SeedSequence([seed, int.from_bytes(digest, "little"), *keys])


def generator(seed: int, purpose: str, *keys: int) -> np.random.Generator:
    """A numpy generator for (seed, purpose, keys)."""
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, purpose, *keys)))


def torch_seed(seed: int, purpose: str, *keys: int) -> int:
    """A seed for `torch.manual_seed` for (seed, purpose, keys)."""
    return int(seed_sequence(seed, purpose, *keys).generate_state(1, np.uint64)[0] >> 1)
