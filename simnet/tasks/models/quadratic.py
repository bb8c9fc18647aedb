"""The model of the quadratic task: a single point."""

import torch
from torch import Tensor, nn


class Quadratic(nn.Module):
    """A point x `[d]`, at the origin at first; gives (x - u) S for inputs u `[..., d]`, S `[d, d]` fixed."""

    factor: Tensor

    def __init__(self, factor: Tensor) -> None:
        super().__init__()
        self.x = nn.Parameter(factor.new_zeros(len(factor)))
        self.register_buffer("factor", factor, persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs `[batch, d]` of inputs `[batch, d]`."""
        return (self.x - inputs) @ self.factor

    def stacked_forward(self, params: dict[str, Tensor], inputs: Tensor) -> Tensor:
        """Outputs `[n, batch, d]` of n points `[n, d]` on inputs `[n, batch, d]`."""
        return torch.matmul(params["x"].unsqueeze(1) - inputs, self.factor)
