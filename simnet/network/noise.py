"""Jitter: what is added to a message's latency at random.

Each link on a message's way draws for itself, from a stream of its own for every pair of nodes that talk over
it: the n-th message of a pair has the same luck whatever the algorithm, and whatever others send.
"""

import numpy as np
from numpy.typing import NDArray

from simnet.scenario.links import GammaJitter, Jitter, LognormalJitter, UniformJitter
from simnet.streams import Streams

_FIRST_DRAWS = 16
Hop = tuple[str, str]


class JitterDraws:
    """The jitter of one run."""

    def __init__(self, seed: int) -> None:
        self._streams = Streams(seed)
        self._drawn: dict[tuple[Hop, Hop], tuple[np.random.Generator, list[float]]] = {}

    def seconds(self, jitter: Jitter, latency: float, pair: Hop, hop: Hop, message: int) -> float:
        """What the link `hop` adds to its `latency` for the `message`-th message of `pair`, counted from 0.

        Negative where a lognormal factor is below 1, but never less than `-latency`.
        """
        if (pair, hop) not in self._drawn:
            self._drawn[pair, hop] = (self._streams.generator("jitter", *pair, *hop), [])
        generator, drawn = self._drawn[pair, hop]
        while len(drawn) <= message:
            drawn += _draws(jitter, generator, max(_FIRST_DRAWS, len(drawn)))
        draw = drawn[message]
        return latency * (draw - 1) if isinstance(jitter, LognormalJitter) else draw


def _draws(jitter: Jitter, generator: np.random.Generator, count: int) -> list[float]:
    """Factors of a lognormal jitter, else seconds."""
    values: NDArray[np.float64]
    match jitter:
        case LognormalJitter(sigma=sigma):
            values = generator.lognormal(0.0, sigma, count)
        case GammaJitter(mean=mean, shape=shape):
            values = generator.gamma(shape, mean / shape, count)
        case UniformJitter(low=low, high=high):
            values = generator.uniform(low, high, count)
    drawn: list[float] = values.tolist()
    return drawn
