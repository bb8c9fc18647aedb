"""What crosses the cuts of a pipeline: the codec of a stage's activations and gradients, and its wire bytes.

A codec has two halves. The in-graph half, `encode` and `decode`, is differentiated with the stage: what the
receiver sends back is the gradient of the loss in what it received, so a projection on the way there is its
own transpose on the way back. The byte half, `pack` and `unpack`, is outside of the graph: the sender makes
of a tensor what travels (rounded, sparse, ...), whose bytes are counted, and the receiver makes a tensor of
that; gradients pass both as if they were not there (straight-through).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer
from torch import Tensor, nn

from simnet.compression import Packed
from simnet.compute.pieces import Passage, Piece, Rows
from simnet.optim import Optimizer
from simnet.streams import Streams

if TYPE_CHECKING:
    from simnet.runtime.stage_node import StageNode


class Boundary:
    """The codec of one stage of one replica; this one sends what it is given, as it is.

    A subclass overrides what it does otherwise. Tensors in `state` are values: to change one, assign a new
    mapping.

    Args:
        piece: The blocks between whose neighbours it translates.
        replica: Of which replica.
        streams: Randomness of the run: `streams.generator("boundary", ...)` with the same keys is the same
            at every stage, without a byte sent.
    """

    token_ids: ClassVar[bool] = False
    """Whether token ids travel with the activations: `pack` gets them, and each half has them as
    `rows.token_ids`."""
    parameters: int = 0
    """Trained parameters of its own (q): the end of its piece's flat vector, stepped by its optimizer."""

    def __init__(self, piece: Piece, replica: int, streams: Streams) -> None:
        self.piece = piece
        self.replica = replica
        self.streams = streams
        self.state: Mapping[str, Tensor] = {}

    def initial_params(self) -> Tensor:
        """Its own parameters `[q]` at the start."""
        return torch.empty(0)

    # -- the in-graph half, for n replicas at once ------------------------------------------------------

    def encode(self, activation: Tensor, rows: Rows) -> Tensor:
        """Values to send, `[n, batch, ..., k]`, of what leaves the piece, `[n, batch, ..., d]`."""
        return activation

    def decode(self, values: Tensor, rows: Rows) -> Tensor:
        """What enters the piece, `[n, batch, ..., d]`, of values received, `[n, batch, ..., k]`."""
        return values

    # -- the byte half, for one message -----------------------------------------------------------------

    def pack(self, values: Tensor, passage: Passage) -> Packed:
        """What travels of `values` `[batch, ..., k]` (or of their gradient): its parts, in their real types.

        The message is charged their bytes, and in emulation it is they that are sent.
        """
        return Packed((values,), values.shape, values.dtype)

    def unpack(self, packed: Packed, passage: Passage) -> Tensor:
        """What the receiver makes of it: of the shape and dtype of what its neighbour packed.

        It may use nothing of the sender's but `packed`: the two may be in different processes.
        """
        return packed.parts[0].to(packed.dtype)

    def wire_bytes(self, shape: Sequence[int], backward: bool) -> float:
        """Bytes of a message for activations of `shape` `[batch, ..., d]`, without making one.

        Equal to what `pack` says for such activations. The clock asks for other widths than the piece's
        where a larger model is charged.
        """
        return 4.0 * prod(shape)

    # -- around the optimizer ---------------------------------------------------------------------------

    def constrain_gradient(self, gradient: Tensor, params: Tensor) -> Tensor:
        """The gradient `[d + q]` of the piece that the optimizer gets."""
        return gradient

    def constrain_params(self, params: Tensor) -> Tensor:
        """The piece's parameters `[d + q]` after an optimizer step."""
        return params

    async def after_update(self, node: StageNode, update: int) -> None:
        """Called at every stage after its update number `update` (from 1): side traffic, over `node`."""


class BoundaryOptions(BaseModel, ABC):
    """The options of one codec, and how it comes to stand in a pipeline."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    """The name in a scenario."""

    @model_serializer(mode="wrap")
    def _named(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"name": self.name, **write(self)}

    @abstractmethod
    def build(self, piece: Piece, replica: int, streams: Streams) -> Boundary:
        """The codec of one stage of one replica."""

    def transform(self, model: nn.Module, stages: Sequence[Sequence[str]]) -> nn.Module:
        """The model that is trained: `model`, with layers replaced where the codec needs it.

        `stages` has the names of the blocks of each piece. Called on a fresh model each time, and must do the
        same each time; `blocks()` of the result has the same names.
        """
        return model

    def optimizer(self, optimizer: Optimizer, piece: Piece) -> Optimizer:
        """The optimizer of a piece, given the method's."""
        return optimizer


class Identity(BoundaryOptions):
    """Activations and gradients as they are, 4 bytes per number."""

    name: ClassVar[str] = "identity"

    def build(self, piece: Piece, replica: int, streams: Streams) -> Boundary:
        """What does nothing."""
        return Boundary(piece, replica, streams)
