"""Mean losses of many workers with their derivatives by the outputs, from a formula where one is known.

Cross entropy is most of a small model's graph: autograd walks over a handful of tensors of the outputs' size,
the formula over one.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from simnet.tasks.losses import cross_entropy
from simnet.tasks.task import Elementwise

Slope = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""From outputs `[n, ...]` and targets `[n, ...]`: each worker's mean loss `[n]`, and the derivative of their
sum by the outputs."""

FEW_CLASSES = 64
"""Up to so many classes, torch's log-softmax on a CPU loses more time between rows than in them."""


def mean_cross_entropy(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean cross entropy `[n]` of logits `[n, ..., classes]` and its slope, `(softmax - one-hot) / m`.

    `m` is the number of targets of one worker. The target's own loss comes from log-probabilities, which do
    not underflow.
    """
    logits = outputs.detach()
    index = targets.unsqueeze(-1)
    if logits.shape[-1] <= FEW_CLASSES and not logits.is_cuda:
        shifted = logits - logits.amax(-1, keepdim=True)
        chosen = shifted.gather(-1, index)
        slope = shifted.exp_()
        total = slope.sum(-1, keepdim=True)
        losses = total.log() - chosen
        slope /= total
    else:
        slope = torch.log_softmax(logits, -1)
        losses = -slope.gather(-1, index)
        slope.exp_()
    count = targets[0].numel()
    slope.scatter_add_(-1, index, slope.new_full((), -1.0).expand(index.shape))
    return losses.flatten(1).mean(1), slope.mul_(1 / count)


SLOPES: dict[Elementwise, Slope] = {cross_entropy: mean_cross_entropy}
"""Losses whose derivative is known."""
