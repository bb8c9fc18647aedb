"""Pieces of a model that stages of a pipeline hold, and what crosses the cuts between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call

from simnet.compute.flops import ForwardBackward
from simnet.compute.layout import Layout
from simnet.tasks.models import stacked


@dataclass(frozen=True, slots=True)
class Rows:
    """What the in-graph half of a codec gets beside the activations of n replicas at once."""

    params: Tensor | None
    """The codec's own trained parameters `[n, q]`; None where it has none."""
    state: Mapping[str, Tensor]
    """The codecs' `state`, `[n, ...]` each."""
    token_ids: Tensor | None
    """Token ids `[n, batch, t]`, for a codec that asks for them."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Which microbatch crosses, and in which direction."""

    backward: bool
    samples: tuple[int, int]
    """(replica, index of the microbatch among the replica's): names the same samples at every stage."""
    token_ids: Tensor | None = None
    """Token ids `[batch, t]` of the microbatch, at the sender, for a codec that asks for them."""


class Codec(Protocol):
    """How a piece speaks to the pieces before and after it, as far as torch's graph is concerned."""

    parameters: int
    state: Mapping[str, Tensor]

    def encode(self, activation: Tensor, rows: Rows) -> Tensor:
        """What is sent of the activations `[n, batch, ..., d]` that leave the piece."""

    def decode(self, values: Tensor, rows: Rows) -> Tensor:
        """The activations that enter the piece, of what was received."""


@dataclass(frozen=True)
class PieceCost:
    """Work and memory of one microbatch in one piece."""

    work: ForwardBackward
    """Of the two passes; the backward pass without computing the forward pass again."""
    input_bytes: float
    """What enters, which has to be kept in any case."""
    kept_bytes: float
    """All that autograd keeps between the passes, what enters included; parameters are not."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Consecutive blocks of a model: a stage holds one, or several that are not neighbours."""

    index: int
    """Position among the pieces of the model, from 0."""
    pieces: int
    """How many the model is cut into."""
    blocks: tuple[tuple[str, nn.Module], ...]
    layout: Layout
    """The piece's part of the flat vector, under the model's names."""
    start: int
    """Where that part begins in the flat vector."""
    input_shape: torch.Size
    """Of one microbatch that enters, `[batch, ...]`."""
    output_shape: torch.Size
    """Of one microbatch that leaves, `[batch, ...]`."""
    stackable: bool
    """Whether every block has a `stacked_forward`, and n replicas run as one."""
    cost: PieceCost

    @property
    def first(self) -> bool:
        """Whether it takes the samples themselves."""
        return self.index == 0

    @property
    def last(self) -> bool:
        """Whether it gives the model's outputs."""
        return self.index == self.pieces - 1

    @property
    def parameters(self) -> int:
        """Length of its part of the flat vector."""
        return self.layout.parameters

    def outputs(self, params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
        """Outputs `[n, batch, ...]` of n replicas with parameters `[n, ...]` on inputs `[n, batch, ...]`."""
        if self.stackable:
            return stacked.chain(self.blocks, params, inputs)
        return torch.stack([self._plain(params, row, batch) for row, batch in enumerate(inputs)])

    def _plain(self, params: Mapping[str, Tensor], row: int, inputs: Tensor) -> Tensor:
        for name, block in self.blocks:
            own = {
                key.removeprefix(f"{name}."): value[row]
                for key, value in params.items()
                if key.startswith(f"{name}.")
            }
            inputs = functional_call(block, own, (inputs,))
        return inputs


def balanced(costs: Sequence[float], parts: int) -> list[int]:
    """How many neighbouring items each of `parts` parts gets, so that the dearest part is as cheap as can be.

    Each part gets at least one item. Among cuts as good, the one whose squared costs add up to the least.
    Raises `ValueError` for fewer items than parts.
    """
    count = len(costs)
    if not 1 <= parts <= count:
        raise ValueError(f"{count} items do not make {parts} parts")
    sums = [0.0]
    for cost in costs:
        sums.append(sums[-1] + cost)
    # best[k][i]: (dearest part, sum of squares, where the last part begins) of the first i items in k parts
    best: list[dict[int, tuple[float, float, int]]] = [{0: (0.0, 0.0, 0)}]
    for part in range(1, parts + 1):
        row: dict[int, tuple[float, float, int]] = {}
        for end in range(part, count - (parts - part) + 1):
            row[end] = min(
                (max(dearest, sums[end] - sums[begin]), squares + (sums[end] - sums[begin]) ** 2, begin)
                for begin, (dearest, squares, _) in best[-1].items()
                if begin < end
            )
        best.append(row)
    sizes: list[int] = []
    end = count
    for part in range(parts, 0, -1):
        begin = best[part][end][2]
        sizes.insert(0, end - begin)
        end = begin
    return sizes
