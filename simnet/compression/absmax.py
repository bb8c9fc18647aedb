"""Codecs that send whole numbers and a scale: the largest magnitude of a token takes the largest number."""

from typing import ClassVar, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor
from torch.nn import functional

from simnet.compression.codec import WIRE_TYPES, Codec, Packed


class _AbsMax(Codec):
    levels: ClassVar[int]
    """The largest whole number; numbers go from minus that."""

    group: PositiveInt | None = Field(
        default=None, description="Entries that share a scale; all of a token if not given."
    )
    scale: Literal["bf16", "fp16"] = Field(default="bf16", description="Type of a scale.")
    rounding: Literal["nearest", "stochastic"] = Field(
        default="nearest",
        description="Stochastic: up or down by chance, right on average; draws by the seed.",
    )

    @property
    def needs_seed(self) -> bool:
        """Stochastic rounding draws."""
        return self.rounding == "stochastic"

    def encode(self, tensor: Tensor, seed: int | None = None) -> Packed:
        """The nearest multiple of a group's scale, `max |x| / levels`, for each entry.

        An entry is off by half of its scale at most (stochastic: by less than a whole one). A group in which
        something is not finite, or beyond the range of its scale's type, decodes to NaN.
        """
        self._check(tensor, seed)
        width = tensor.shape[-1]
        group = self._group(width)
        # Float32 has exact products of a scale and a whole number, and all that follows relies on it.
        values = functional.pad(tensor.detach().float(), (0, -width % group)).unflatten(-1, (-1, group))
        exact = values.abs().amax(-1, keepdim=True) / self.levels
        scale = exact.to(WIRE_TYPES[self.scale])
        if self.rounding == "stochastic":
            # A scale that is rounded up leaves nothing beyond the levels, where the mean would be wrong.
            # The next number above a positive one has the next bits.
            above = (scale.view(torch.int16) + 1).view(scale.dtype)
            scale = torch.where(scale.float() < exact, above, scale)
        steps = values / torch.where(scale == 0, torch.ones_like(scale), scale).float()
        if self.rounding == "stochastic":
            draws = torch.Generator(steps.device).manual_seed(seed or 0)
            steps = (steps + torch.rand(steps.shape, generator=draws, device=steps.device)).floor_()
        else:
            steps = steps.round_()
        whole = steps.nan_to_num_(0.0).clamp_(-self.levels, self.levels).to(torch.int8)
        whole = whole.flatten(-2)[..., :width]
        return Packed((self._packed(whole), scale.squeeze(-1)), tensor.shape, tensor.dtype, seed)

    def decode(self, packed: Packed) -> Tensor:
        """Each whole number times its group's scale."""
        whole, scale = packed.parts
        width = packed.shape[-1]
        group = self._group(width)
        values = functional.pad(self._unpacked(whole, width).float(), (0, -width % group))
        values = values.unflatten(-1, (-1, group)) * scale.float().unsqueeze(-1)
        return values.flatten(-2)[..., :width].to(packed.dtype, copy=True)

    def token_bytes(self, width: int, dtype: torch.dtype = torch.float32) -> int:
        """Bytes of one token of `width` entries: whole numbers, and 2 for each scale."""
        return self._whole_bytes(width) + 2 * -(-width // self._group(width))

    def _group(self, width: int) -> int:
        return min(self.group or width, width)

    def _whole_bytes(self, width: int) -> int:
        return width

    def _packed(self, whole: Tensor) -> Tensor:
        return whole.clone()

    def _unpacked(self, packed: Tensor, width: int) -> Tensor:
        return packed


class Int8(_AbsMax):
    """Whole numbers from -127 to 127 in a byte each, and a 2-byte scale per token."""

    name: Literal["int8"] = "int8"
    levels: ClassVar[int] = 127


class Int4(_AbsMax):
    """Whole numbers from -7 to 7, two in a byte, and a 2-byte scale per token."""

    name: Literal["int4"] = "int4"
    levels: ClassVar[int] = 7

    def _whole_bytes(self, width: int) -> int:
        return -(-width // 2)

    def _packed(self, whole: Tensor) -> Tensor:
        nibbles = functional.pad(whole + 8, (0, whole.shape[-1] % 2)).to(torch.uint8)
        return nibbles[..., 0::2] | (nibbles[..., 1::2] << 4)

    def _unpacked(self, packed: Tensor, width: int) -> Tensor:
        pairs = torch.stack([packed & 15, packed >> 4], dim=-1)
        return pairs.flatten(-2)[..., :width].to(torch.int8) - 8
