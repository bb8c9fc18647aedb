"""Codecs that send every entry: as it is, or in fewer bits."""

from typing import Literal

import torch
from torch import Tensor

from simnet.compression.codec import Codec, Packed


class Identity(Codec):
    """Everything as it is: 4 bytes per entry in fp32."""

    name: Literal["identity"] = "identity"

    def encode(self, tensor: Tensor, seed: int | None = None) -> Packed:
        """A copy of the tensor. Raises ValueError for a tensor that is no float or has no dimension."""
        self._check(tensor, seed)
        return Packed((tensor.detach().clone(),), tensor.shape, tensor.dtype)

    def decode(self, packed: Packed) -> Tensor:
        """The tensor, to the bit."""
        return packed.parts[0].clone()

    def token_bytes(self, width: int, dtype: torch.dtype = torch.float32) -> int:
        """Bytes of one token of `width` entries of `dtype`."""
        return width * dtype.itemsize


class BFloat16(Codec):
    """Every entry in bfloat16, 2 bytes: 8 bits of precision, the range of fp32."""

    name: Literal["bf16"] = "bf16"

    def encode(self, tensor: Tensor, seed: int | None = None) -> Packed:
        """Each entry to the nearest. Raises ValueError for a tensor that is no float or has no dimension."""
        self._check(tensor, seed)
        return Packed((tensor.detach().to(torch.bfloat16, copy=True),), tensor.shape, tensor.dtype)

    def decode(self, packed: Packed) -> Tensor:
        """The tensor, within 2^-8 of each entry."""
        return packed.parts[0].to(packed.dtype, copy=True)

    def token_bytes(self, width: int, dtype: torch.dtype = torch.float32) -> int:
        """Bytes of one token of `width` entries."""
        return 2 * width
