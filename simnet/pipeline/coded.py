"""Codecs of the compression room at the cuts of a pipeline: each message is encoded, and decoded again."""

from collections.abc import Sequence
from math import prod
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from simnet.compression import Codec, CodecConfig, Packed
from simnet.compute.pieces import Passage, Piece
from simnet.pipeline.boundary import Boundary, BoundaryOptions
from simnet.streams import Streams


class _Coded(Boundary):
    def __init__(self, piece: Piece, replica: int, streams: Streams, forward: Codec, backward: Codec) -> None:
        super().__init__(piece, replica, streams)
        self._codecs = (forward, backward)

    def pack(self, values: Tensor, passage: Passage) -> Packed:
        codec = self._codecs[passage.backward]
        seed = None
        if codec.needs_seed:
            keys = (self.piece.index, *passage.samples, passage.backward)
            seed = self.streams.torch_seed("boundary", *keys)
        return codec.encode(values, seed)

    def unpack(self, packed: Packed, passage: Passage) -> Tensor:
        return self._codecs[passage.backward].decode(packed)

    def wire_bytes(self, shape: Sequence[int], backward: bool) -> float:
        return float(prod(shape[:-1]) * self._codecs[backward].token_bytes(shape[-1]))


class Coded(BoundaryOptions):
    """A codec for tensors on each message, one token after the other: bf16, int8, int4, top-k, random-k.

    Written by the codec's own name, `{name: int4, rounding: stochastic}`. Gradients pass it as if it were not
    there, so what it loses of the activations is not corrected.
    """

    name: ClassVar[str] = "coded"

    forward: CodecConfig = Field(description="Of activations.")
    backward: CodecConfig | None = Field(None, description="Of gradients; the same if not given.")

    def build(self, piece: Piece, replica: int, streams: Streams) -> Boundary:
        """The codec of one stage."""
        return _Coded(piece, replica, streams, self.forward, self.backward or self.forward)
