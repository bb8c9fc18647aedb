"""Stacks of honest and Byzantine vectors for hypothesis to draw."""

from dataclasses import dataclass

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor


@dataclass(frozen=True)
class Stack:
    """`n - f` honest vectors first, then `f` lies."""

    vectors: Tensor
    f: int

    @property
    def honest(self) -> Tensor:
        return self.vectors[: len(self.vectors) - self.f]


LIES = ("far", "near", "zero", "copies", "spread", "flipped", "little")


@st.composite
def stacks(draw: st.DrawFn, fewest: tuple[int, int] = (2, 1), most: int = 11) -> Stack:
    """`n >= a f + b` vectors of float64 for `fewest = (a, b)`: honest ones that differ, and `f` lies."""
    a, b = fewest
    f = draw(st.integers(0, (most - b) // a))
    n = draw(st.integers(a * f + b, most))
    d = draw(st.integers(1, 6))
    kind = draw(st.sampled_from(LIES))
    size = draw(st.sampled_from([0.01, 0.5, 1.0, 3.0, 100.0, 1e5]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    honest = rng.normal(size=(n - f, d)) * rng.choice([0.1, 1.0, 4.0], size=(n - f, 1))
    honest += draw(st.sampled_from([0.0, 3.0, -50.0]))
    mean, std = honest.mean(axis=0), honest.std(axis=0)
    away = rng.normal(size=d)
    lies = {
        "far": mean + size * away + np.zeros((f, d)),
        "near": mean + size * std * rng.normal(size=(f, d)),
        "zero": np.zeros((f, d)),
        "copies": honest[np.zeros(f, dtype=int)] + 1e-3 * size * rng.normal(size=(f, d)),
        "spread": mean + size * rng.normal(size=(f, d)),
        "flipped": -size * mean + np.zeros((f, d)),
        "little": mean - size * std + np.zeros((f, d)),
    }[kind]
    return Stack(torch.from_numpy(np.concatenate([honest, lies])), f)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)
