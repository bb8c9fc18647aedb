"""Layers over parameters with a leading worker dimension: one call does the work of n modules."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """n linear layers: inputs `[n, batch, ..., i]`, weight `[n, o, i]`, bias `[n, o]`; the last becomes o."""
    rows = inputs.flatten(1, -2)
    if bias is None:
        outputs = torch.bmm(rows, weight.transpose(1, 2))
    else:
        outputs = torch.baddbmm(bias.unsqueeze(1), rows, weight.transpose(1, 2))
    return outputs.unflatten(1, inputs.shape[1:-1]) if inputs.dim() > 3 else outputs


def embedding(ids: Tensor, weight: Tensor) -> Tensor:
    """n embedding tables: ids `[n, ...]`, weight `[n, v, d]`, gives `[n, ..., d]`, by one lookup."""
    n, size, width = weight.shape
    offsets = torch.arange(0, n * size, size, device=ids.device).view(n, *[1] * (ids.dim() - 1))
    return F.embedding(ids + offsets, weight.reshape(n * size, width))


def layer_norm(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """n layer norms over the last dimension: inputs `[n, ..., d]`, weight and bias `[n, d]`."""
    shape = (weight.shape[0], *[1] * (inputs.dim() - 2), weight.shape[1])
    normal = F.layer_norm(inputs, inputs.shape[-1:])
    return torch.addcmul(bias.view(shape), normal, weight.view(shape))
