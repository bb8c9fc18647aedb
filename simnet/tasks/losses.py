"""Losses and metrics with one value per target, whatever the leading dimensions are."""

import math

import torch.nn.functional as F
from torch import Tensor


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy in nats of logits `[..., classes]` and class indices `[...]`, one value per target."""
    losses = F.cross_entropy(outputs.flatten(0, -2), targets.flatten(), reduction="none")
    return losses.view(targets.shape)


def accuracy(outputs: Tensor, targets: Tensor) -> Tensor:
    """1 where the largest of the logits `[..., classes]` is the target's `[...]`, else 0."""
    return (outputs.argmax(-1) == targets).to(outputs.dtype)


def bits_per_byte(outputs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy in bits of logits `[..., 256]` and bytes `[...]`."""
    return cross_entropy(outputs, targets) / math.log(2)
