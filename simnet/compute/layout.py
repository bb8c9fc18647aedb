"""Where each parameter of a model lies in its flat vector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Layout:
    """Names, shapes and sizes of a model's trainable parameters, in the order of `named_parameters()`.

    The same order as `torch.nn.utils.parameters_to_vector`. Parameters that are tied occur once; frozen ones
    are part of the model and not of the vector.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    sizes: tuple[int, ...]
    dtype: torch.dtype

    @classmethod
    def of(cls, model: nn.Module) -> "Layout":
        """Layout of `model`. Raises ValueError where nothing is trainable or dtypes are mixed."""
        named = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
        if not named:
            raise ValueError(f"{type(model).__name__} has no trainable parameter")
        dtypes = {value.dtype for _, value in named}
        if len(dtypes) > 1:
            found = ", ".join(sorted(map(str, dtypes)))
            raise ValueError(f"{type(model).__name__} mixes parameters of {found}; use one dtype")
        return cls(
            names=tuple(name for name, _ in named),
            shapes=tuple(value.shape for _, value in named),
            sizes=tuple(value.numel() for _, value in named),
            dtype=dtypes.pop(),
        )

    @property
    def parameters(self) -> int:
        """Length of the flat vector."""
        return sum(self.sizes)

    def flatten(self, values: Mapping[str, Tensor]) -> Tensor:
        """A new flat vector `[d]` of the parameters named in `values`."""
        return torch.cat([values[name].detach().reshape(-1) for name in self.names])

    def views(self, flat: Tensor) -> list[Tensor]:
        """Views `[..., *shape]` of `flat` `[..., d]`, in the order of `names`."""
        leading = flat.shape[:-1]
        pieces = flat.split(self.sizes, dim=-1)
        return [piece.view(*leading, *shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def named(self, views: Sequence[Tensor]) -> dict[str, Tensor]:
        """The same views by name."""
        return dict(zip(self.names, views, strict=True))
