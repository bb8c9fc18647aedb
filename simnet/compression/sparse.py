"""Codecs that send some entries of each token: the largest, or some that both ends draw alike."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from simnet.compression.codec import WIRE_TYPES, Codec, Packed, Wire

SHORT_INDEX = 2**16
"""Widths up to this have an index of 2 bytes, wider ones of 4."""


class _Sparse(Codec):
    keep: float = Field(gt=0, le=1, description="Share of a token's entries that is sent; at least one is.")
    values: Wire = Field(default="bf16", description="Type in which entries travel.")

    def kept(self, width: int) -> int:
        """How many entries are sent of a token of `width`: the nearest whole number, at least 1."""
        return max(1, min(width, round(self.keep * width)))

    def _value_bytes(self, width: int) -> int:
        return self.kept(width) * WIRE_TYPES[self.values].itemsize


class TopK(_Sparse):
    """The entries of largest magnitude of each token, each with its index; the rest decode to 0."""

    name: Literal["top-k"] = "top-k"

    def encode(self, tensor: Tensor, seed: int | None = None) -> Packed:
        """Values, and their indices in rising order.

        Raises ValueError for a tensor that is no float or has no dimension.
        """
        self._check(tensor, seed)
        width = tensor.shape[-1]
        values = tensor.detach()
        index = values.abs().topk(self.kept(width), dim=-1, sorted=False).indices.sort(dim=-1).values
        sent = values.gather(-1, index).to(WIRE_TYPES[self.values])
        # Torch has little for unsigned 16 bits: they travel as signed ones, with the same bits.
        index = index.to(torch.int16 if width <= SHORT_INDEX else torch.int32)
        return Packed((sent, index), tensor.shape, tensor.dtype)

    def decode(self, packed: Packed) -> Tensor:
        """The entries in their places, and zeros."""
        sent, index = packed.parts
        places = index.to(torch.int64)
        if index.dtype == torch.int16:
            places = places & (SHORT_INDEX - 1)
        tensor = torch.zeros(packed.shape, dtype=packed.dtype, device=sent.device)
        return tensor.scatter_(-1, places, sent.to(packed.dtype))

    def token_bytes(self, width: int, dtype: torch.dtype = torch.float32) -> int:
        """Bytes of one token of `width` entries: values and indices."""
        return self._value_bytes(width) + self.kept(width) * (2 if width <= SHORT_INDEX else 4)


class RandomK(_Sparse):
    """Entries at places that both ends draw from a shared seed, the same for all tokens of a tensor.

    No index is sent. Use another seed for each tensor.
    """

    name: Literal["random-k"] = "random-k"
    rescale: bool = Field(
        default=True,
        description="Divide by the share that is kept, so that the mean over seeds is the tensor.",
    )

    @property
    def needs_seed(self) -> bool:
        """Always."""
        return True

    def encode(self, tensor: Tensor, seed: int | None = None) -> Packed:
        """The values at the places that `seed` draws.

        Raises ValueError for a tensor that is no float or has no dimension, and without a seed.
        """
        self._check(tensor, seed)
        sent = tensor.detach().index_select(-1, self._places(tensor.shape[-1], seed, tensor.device))
        return Packed((sent.to(WIRE_TYPES[self.values]),), tensor.shape, tensor.dtype, seed)

    def decode(self, packed: Packed) -> Tensor:
        """The values in their places, rescaled or not, and zeros."""
        (sent,) = packed.parts
        width = packed.shape[-1]
        values = sent.to(packed.dtype)
        if self.rescale:
            values = values * (width / self.kept(width))
        tensor = torch.zeros(packed.shape, dtype=packed.dtype, device=sent.device)
        return tensor.index_copy_(-1, self._places(width, packed.seed, sent.device), values)

    def token_bytes(self, width: int, dtype: torch.dtype = torch.float32) -> int:
        """Bytes of one token of `width` entries: values alone."""
        return self._value_bytes(width)

    def _places(self, width: int, seed: int | None, device: torch.device) -> Tensor:
        # Always drawn on the CPU: the two ends may be of different kinds.
        draws = torch.Generator().manual_seed(seed or 0)
        return torch.randperm(width, generator=draws)[: self.kept(width)].sort().values.to(device)
