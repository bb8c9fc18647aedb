"""Layers over parameters with a leading worker dimension: one call does the work of n modules."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Slots = tuple[Tensor | None, Tensor | None]
"""Where the gradients of a weight and a bias are to be written, if their owner says so."""


class _Linear(torch.autograd.Function):
    """n linear layers whose backward writes the weights' gradients to where their owner wants them."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None, slots: Slots) -> Tensor:
        ctx.dtypes = rows.dtype, weight.dtype
        if torch.is_autocast_enabled(rows.device.type):  # backward computes in what forward computed in
            lower = torch.get_autocast_dtype(rows.device.type)
            rows, weight = rows.to(lower), weight.to(lower)
            bias = None if bias is None else bias.to(lower)
        ctx.save_for_backward(rows, weight)
        ctx.slots, ctx.biased = slots, bias is not None
        if bias is None:
            return torch.bmm(rows, weight.transpose(1, 2))
        return torch.baddbmm(bias.unsqueeze(1), rows, weight.transpose(1, 2))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        rows, weight = ctx.saved_tensors
        weight_slot, bias_slot = ctx.slots
        inputs_dtype, weights_dtype = ctx.dtypes
        if weight.dtype != weights_dtype:
            weight_slot = bias_slot = None  # they hold numbers of the weights' own precision
        # In the weight's own layout; autograd's backward of bmm would give its transpose.
        if weight_slot is None or not _written_at_once(weight_slot):
            weights = torch.bmm(gradient.transpose(1, 2), rows)
        else:
            weights = torch.bmm(gradient.transpose(1, 2), rows, out=weight_slot)
        biases = torch.sum(gradient, 1, out=bias_slot) if ctx.biased else None
        inputs = torch.bmm(gradient, weight).to(inputs_dtype) if ctx.needs_input_grad[0] else None
        return inputs, weights.to(weights_dtype), None if biases is None else biases.to(weights_dtype), None


def _written_at_once(slot: Tensor) -> bool:
    # A slot has gaps between workers. On a CPU, torch then multiplies worker after worker, which for small
    # matrices or on several threads costs more than a product without gaps and a copy.
    return (
        slot.is_contiguous() or slot.is_cuda or (torch.get_num_threads() == 1 and slot[0].numel() > 1 << 14)
    )


def linear(inputs: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """n linear layers: inputs `[n, batch, ..., i]`, weight `[n, o, i]`, bias `[n, o]`, `[n, batch, ..., o]`.

    A weight or bias may carry a tensor `gradient_slot` of its shape: its gradient is then written there, and
    autograd is handed that very tensor.
    """
    rows = inputs.flatten(1, -2)
    outputs: Tensor = _Linear.apply(rows, weight, bias, (_claimed(weight), _claimed(bias)))
    return outputs.unflatten(1, inputs.shape[1:-1]) if inputs.dim() > 3 else outputs


def _claimed(parameter: Tensor | None) -> Tensor | None:
    # Only the first layer that uses a parameter may write there: the gradients of further uses are added.
    slot = getattr(parameter, "gradient_slot", None)
    if slot is not None:
        parameter.gradient_slot = None  # type: ignore[union-attr]
    return slot


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
