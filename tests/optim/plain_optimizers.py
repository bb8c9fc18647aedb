"""Optimizers that torch has not, written plainly over `torch.optim.Optimizer`; and a layout by hand."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor


@dataclass(frozen=True)
class Shapes:
    """A layout by hand."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        return tuple(prod(shape) for shape in self.shapes)

    @property
    def parameters(self) -> int:
        return sum(self.sizes)

    def tensors(self, flat: Tensor) -> list[Tensor]:
        """Copies of one row, parameter by parameter."""
        pieces = flat.split(self.sizes)
        return [piece.clone().view(shape) for piece, shape in zip(pieces, self.shapes, strict=True)]


MIXED = Shapes(
    names=(
        "tokens.weight",
        "0.wide",
        "0.bias",
        "1.wide",
        "1.tall",
        "gain",
        "kernel",
        "square",
        "head.weight",
    ),
    shapes=((4, 3), (3, 5), (5,), (3, 5), (6, 2), (), (2, 3, 2), (3, 3), (2, 4)),
)


class _Plain(torch.optim.Optimizer):
    def __init__(self, params: Iterable[Tensor], lr: float, weight_decay: float = 0.0, **own: float) -> None:
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, **own})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for value in group["params"]:
                momentum = self.state[value].setdefault("momentum", torch.zeros_like(value))
                direction = self.direction(value.grad, momentum, group)
                value.copy_(value - group["lr"] * (direction + group["weight_decay"] * value))

    def direction(self, gradient: Tensor, momentum: Tensor, group: dict[str, float]) -> Tensor:
        raise NotImplementedError


class PlainLion(_Plain):
    """Algorithm 2 of Chen et al. (2023)."""

    def direction(self, gradient: Tensor, momentum: Tensor, group: dict[str, float]) -> Tensor:
        b1, b2 = group["b1"], group["b2"]
        direction = torch.sign(b1 * momentum + (1 - b1) * gradient)
        momentum.copy_(b2 * momentum + (1 - b2) * gradient)
        return direction


class PlainSignum(_Plain):
    """Algorithm 2 of Bernstein et al. (2018), on one machine."""

    def direction(self, gradient: Tensor, momentum: Tensor, group: dict[str, float]) -> Tensor:
        mu = group["mu"]
        momentum.copy_(mu * momentum + (1 - mu) * gradient)
        return torch.sign(momentum)


def flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.detach().reshape(-1) for tensor in tensors])
