"""Losses and metrics with one value per target, whatever the leading dimensions are."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _CrossEntropy(torch.autograd.Function):
    """Cross entropy whose backward is softmax minus one-hot, in one pass less than autograd's."""

    generate_vmap_rule = True

    @staticmethod
    def forward(outputs: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        logs = torch.log_softmax(outputs, -1)
        return -logs.gather(-1, places), logs

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(output[1], inputs[1])
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # there is none for the second output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, _: None) -> tuple[Tensor, None]:
        logs, places = ctx.saved_tensors
        return logs.exp().mul_(gradient).scatter_add_(-1, places, -gradient), None


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy in nats of logits `[..., classes]` and class indices `[...]`, one value per target."""
    losses: Tensor = _CrossEntropy.apply(outputs, targets.unsqueeze(-1))[0]
    return losses.squeeze(-1)


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 where the largest of the logits `[..., classes]` is the target's `[...]`, else 0."""
    return (outputs.argmax(-1) == targets).to(outputs.dtype)


def bits_per_byte(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy in bits of logits `[..., 256]` and bytes `[...]`."""
    return cross_entropy(outputs, targets) / math.log(2)
