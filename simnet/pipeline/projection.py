"""A fixed projection at the cuts: what crosses is the activations' part in a subspace, the rest is lost."""

from collections.abc import Sequence
from math import prod
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from simnet.compression import Packed
from simnet.compute.pieces import Passage, Piece, Rows
from simnet.pipeline.boundary import Boundary, BoundaryOptions
from simnet.streams import Streams

WIRE_BYTES = 2
"""Coordinates travel as bfloat16."""


def random_basis(width: int, rank: int, seed: int) -> Tensor:
    """An orthonormal basis `[width, rank]` of a random subspace: the same at everyone who knows the seed.

    Raises `ValueError` unless `1 <= rank <= width`.
    """
    if not 1 <= rank <= width:
        raise ValueError(f"a subspace of {width} dimensions has from 1 to {width} of them, not {rank}")
    drawn = Streams(seed).generator("basis", width, rank).standard_normal((width, rank))
    orthogonal, triangle = np.linalg.qr(drawn)
    return torch.from_numpy(orthogonal * np.sign(np.diag(triangle))).to(torch.get_default_dtype())


def charged_rank(rank: int, piece: Piece, shape: Sequence[int]) -> float:
    """The rank in a model of another width: the same fraction of it."""
    return rank * shape[-1] / piece.output_shape[-1]


class _Projection(Boundary):
    def __init__(self, piece: Piece, replica: int, streams: Streams, rank: int, basis: Tensor) -> None:
        super().__init__(piece, replica, streams)
        self.rank = rank
        self.state = {"basis": basis}

    def encode(self, activation: Tensor, rows: Rows) -> Tensor:
        return activation @ rows.state["basis"].unsqueeze(1)

    def decode(self, values: Tensor, rows: Rows) -> Tensor:
        return values @ rows.state["basis"].unsqueeze(1).mT

    def pack(self, values: Tensor, passage: Passage) -> Packed:
        return Packed((values.to(torch.bfloat16),), values.shape, values.dtype)

    def wire_bytes(self, shape: Sequence[int], backward: bool) -> float:
        return WIRE_BYTES * prod(shape[:-1]) * charged_rank(self.rank, self.piece, shape)


class Projection(BoundaryOptions):
    """Coordinates in a fixed random subspace, as bfloat16; what lies outside of it is lost.

    `Z = X U` travels and `X' = Z U^T` is used, with an orthonormal `U` `[d, rank]` that everyone draws from
    the seed. Nothing keeps the activations in the subspace, so errors add up from cut to cut.
    """

    name: ClassVar[str] = "projection"

    rank: PositiveInt = Field(description="Dimensions of the subspace; a token takes 2 bytes for each.")
    seed: int = Field(1337, ge=0, description="From which everyone draws the same subspace.")

    def build(self, piece: Piece, replica: int, streams: Streams) -> Boundary:
        """The codec. Raises `ValueError` where the rank is above the width."""
        return _Projection(
            piece, replica, streams, self.rank, random_basis(_width(piece), self.rank, self.seed)
        )


def _width(piece: Piece) -> int:
    """The width of the activations: of what leaves, or at the last piece of what enters."""
    return int(piece.input_shape[-1] if piece.last else piece.output_shape[-1])
