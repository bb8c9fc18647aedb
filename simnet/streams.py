"""Randomness that depends on what it is for, never on the order in which it is used."""

from dataclasses import dataclass
from hashlib import blake2b

import numpy as np


def stream_key(part: object) -> int:
    """A 64-bit number for a name or number, the same in every process and on every platform."""
    return int.from_bytes(blake2b(repr(part).encode(), digest_size=8).digest(), "little")


@dataclass(frozen=True, slots=True)
class Streams:
    """The random streams of one run, each keyed by (seed, purpose, ...).

    The algorithm is never part of a key: two algorithms under one seed meet the same initial weights, data
    order, stragglers and failures.
    """

    seed: int

    def sequence(self, purpose: str, *keys: object) -> np.random.SeedSequence:
        """The seed sequence of one stream."""
        return np.random.SeedSequence([self.seed, *(stream_key(part) for part in (purpose, *keys))])

    def generator(self, purpose: str, *keys: object) -> np.random.Generator:
        """A fresh generator at the beginning of one stream."""
        return np.random.default_rng(self.sequence(purpose, *keys))

    def torch_seed(self, purpose: str, *keys: object) -> int:
        """A seed for `torch.manual_seed`."""
        return int(self.sequence(purpose, *keys).generate_state(1, np.uint64)[0] >> np.uint64(1))
