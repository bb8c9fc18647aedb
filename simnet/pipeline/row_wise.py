"""AdamW whose second moment is shared along an axis, so that a scaled step stays in a subspace of it."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import PrivateAttr
from torch import Tensor

from simnet.optim import AdamW
from simnet.optim.optimizer import State

Slice = tuple[int, tuple[int, ...], int]
"""Of a parameter in the flat vector: where it starts, its shape, and the axis along which it shares."""


class RowWiseAdamW(AdamW):
    """AdamW with one second moment per row or column of some parameters (Ramasinghe et al., 2025).

    There `v <- b2 v + (1 - b2) mean(g^2)`, the mean over the shared axis: along that axis a step
    `m / sqrt(v)` then is a multiple of `m`, and lies in whatever subspace the gradients lie in.
    """

    name: ClassVar[str] = "row-wise-adamw"
    _shared: tuple[Slice, ...] = PrivateAttr(())

    @classmethod
    def sharing(cls, optimizer: AdamW, shared: Mapping[str, Slice]) -> "RowWiseAdamW":
        """The same hyperparameters as `optimizer`, with these parameters' moments shared."""
        made = cls(**{name: getattr(optimizer, name) for name in AdamW.model_fields})
        made._shared = tuple(shared.values())
        return made

    def update_(self, params: Tensor, gradient: Tensor, state: State) -> None:
        """Take one step in place; `gradient` is used as scratch."""
        rate = self.learning_rate(state["step"], params.dtype)
        self.clip_(gradient)
        if self.weight_decay > 0:
            params.mul_(1 - rate * self.weight_decay)
        first, second, step = state["first_moment"], state["second_moment"], state["step"]
        step += 1
        beta1, beta2 = self.betas
        first.lerp_(gradient, 1 - beta1)
        gradient.square_()
        for start, shape, axis in self._shared:
            size = torch.Size(shape).numel()
            view = gradient[..., start : start + size].unflatten(-1, shape)
            along = axis - len(shape) if axis >= 0 else axis
            view.copy_(view.mean(along, keepdim=True).expand_as(view))
        second.mul_(beta2).add_(gradient, alpha=1 - beta2)
        count = step.double().unsqueeze(-1)
        torch.div(second, (1 - beta2**count).to(params.dtype), out=gradient)
        gradient.sqrt_().add_(self.eps).mul_((1 - beta1**count).to(params.dtype))
        params.sub_(rate * first / gradient)
