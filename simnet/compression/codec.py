"""What a codec is, and what it makes of a tensor."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

Wire = Literal["bf16", "fp16", "fp32"]
WIRE_TYPES: Mapping[str, torch.dtype] = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp32": torch.float32,
}


@dataclass(frozen=True, eq=False)
class Packed:
    """An encoded tensor: what travels, and what both ends know without sending it."""

    parts: tuple[Tensor, ...]
    """What travels, as real tensors in their real types."""
    shape: torch.Size
    """Shape of the tensor; known from the model."""
    dtype: torch.dtype
    """Type of the tensor; known from the model."""
    seed: int | None = None
    """Shared randomness; known from the run's seed."""

    @property
    def bytes(self) -> int:
        """Bytes of what travels."""
        return sum(part.numel() * part.element_size() for part in self.parts)


class Codec(BaseModel, ABC):
    """Turns a tensor `[..., width]` into fewer bytes, and back. Its fields are the options."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def needs_seed(self) -> bool:
        """Whether `encode` draws random numbers, and so must be given a seed."""
        return False

    @abstractmethod
    def encode(self, tensor: Tensor, seed: int | None = None) -> Packed:
        """What is sent of `tensor`, float, `[..., width]`; it stays as it is, and nothing is shared with it.

        Raises ValueError for a tensor that is no float or has no last dimension of 1 or more, and where the
        codec `needs_seed` and there is none.
        """

    @abstractmethod
    def decode(self, packed: Packed) -> Tensor:
        """What the receiver makes of it: a new tensor of the shape and type that were encoded."""

    @abstractmethod
    def token_bytes(self, width: int, dtype: torch.dtype = torch.float32) -> int:
        """Bytes of one token of `width` entries: those of an encoding are as many per token."""

    def _check(self, tensor: Tensor, seed: int | None) -> None:
        if not tensor.is_floating_point() or tensor.dim() == 0 or tensor.shape[-1] == 0:
            raise ValueError(
                f"{type(self).__name__} encodes float tensors `[..., width]` with a width of 1 or more, "
                f"not {tensor.dtype} of shape {tuple(tensor.shape)}"
            )
        if self.needs_seed and seed is None:
            raise ValueError(
                f"{type(self).__name__} draws random numbers: give it a seed that both ends share"
            )
