"""Layers over parameters with a leading worker dimension: one call does the work of n modules."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Slots = tuple[Tensor | None, Tensor | None]
"""Where the gradients of a weight and a bias are to be written, if their owner says so."""

LARGE_WEIGHT = 65_536
"""Elements from which on the gradient of a weight is written to its slot at once. On a CPU, a batched product
into rows that do not touch runs one by one; for smaller weights, a copy afterwards is faster."""


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
        outputs = torch.bmm(rows, weight.transpose(1, 2))
        # Faster than baddbmm, which first writes the biases to all of its output.
        return outputs if bias is None else outputs.add_(bias.unsqueeze(1))

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

    A weight or bias may carry a tensor `gradient_slot` of its shape: its gradient may then be written there,
    and autograd is handed that very tensor.
    """
    rows = inputs.flatten(1, -2)
    slot = _claimed(weight) if weight[0].numel() >= LARGE_WEIGHT else None
    outputs: Tensor = _Linear.apply(rows, weight, bias, (slot, _claimed(bias)))
    return outputs.unflatten(1, inputs.shape[1:-1]) if inputs.dim() > 3 else outputs


def _claimed(parameter: Tensor | None) -> Tensor | None:
    # Only the first layer that uses a parameter may write there: the gradients of further uses are added.
    slot = getattr(parameter, "gradient_slot", None)
    if slot is not None:
        parameter.gradient_slot = None  # type: ignore[union-attr]
    return slot


def chain(blocks: Iterable[tuple[str, nn.Module]], params: Mapping[str, Tensor], inputs: Tensor) -> Tensor:
    """n chains of blocks, each with a `stacked_forward`: parameters `[n, ...]`, inputs `[n, batch, ...]`.

    `params` are named as in the model, `<block name>.<parameter>`; a block finds its own without that prefix.
    """
    for name, block in blocks:
        start = f"{name}."
        own = {key[len(start) :]: value for key, value in params.items() if key.startswith(start)}
        inputs = block.stacked_forward(own, inputs)  # type: ignore[operator]
    return inputs


FEW_PIXELS, MANY_PAIRS = 16, 32_768
"""A convolution of no more pixels and no fewer pairs of channels is done as a product of its patches, which
on a CPU is up to four times as fast; any other as a grouped convolution, which mostly is twice as fast."""


def conv2d(
    images: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1, padding: int = 0
) -> Tensor:
    """n convolutions: images `[batch, n * i, height, width]`, weight `[n, o, i, k, k]`, bias `[n, o]`.

    Gives `[batch, n * o, height, width]`; see `side_by_side` for that form.
    """
    n, o, i, side, _ = weight.shape
    rows, columns = ((size + 2 * padding - side) // stride + 1 for size in images.shape[2:])
    if rows * columns > FEW_PIXELS or o * i < MANY_PAIRS:
        biases = None if bias is None else bias.flatten()
        return F.conv2d(images, weight.flatten(0, 1), biases, stride, padding, groups=n)
    padded = F.pad(images, (padding,) * 4)
    patches = padded.unfold(2, side, stride).unfold(3, side, stride).unflatten(1, (n, i))
    matrix = weight.flatten(2)
    slot = _claimed(weight)
    if slot is not None:
        matrix.gradient_slot = slot.flatten(2)  # type: ignore[attr-defined]
    outputs = linear(patches.permute(1, 0, 3, 4, 2, 5, 6).flatten(4), matrix, bias)
    return outputs.permute(1, 2, 3, 0, 4).flatten(3).permute(0, 3, 1, 2)


def group_norm(images: Tensor, groups: int, weight: Tensor, bias: Tensor) -> Tensor:
    """n group norms: images `[batch, n * c, height, width]`, weight and bias `[n, c]`, `groups` for each."""
    return F.group_norm(images, len(weight) * groups, weight.flatten(), bias.flatten())


def side_by_side(images: Tensor) -> Tensor:
    """Images `[n, batch, c, height, width]` with the workers in the channel dimension, the channels last.

    Grouped convolution is twice as fast on a CPU with the channels last, and faster than unfold + bmm.
    """
    together = images.transpose(0, 1).flatten(1, 2)
    return together.contiguous(memory_format=torch.channels_last)


def one_by_one(images: Tensor, n: int) -> Tensor:
    """The reverse of `side_by_side`, as a view: `[n, batch, c, height, width]`."""
    return images.unflatten(1, (n, -1)).transpose(0, 1)


def embedding(ids: Tensor, weight: Tensor) -> Tensor:
    """n embedding tables: ids `[n, ...]`, weight `[n, v, d]`, gives `[n, ..., d]`, by one lookup."""
    n, size, width = weight.shape
    offsets = torch.arange(0, n * size, size, device=ids.device).view(n, *[1] * (ids.dim() - 1))
    return F.embedding(ids + offsets, weight.reshape(n * size, width))


class _LayerNorm(torch.autograd.Function):
    """n layer norms; autograd would keep and sum more than is needed."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor, slots: Slots) -> Tensor:
        size = weight.shape[1:]
        normal, mean, scale = torch.native_layer_norm(rows, size, None, None, EPSILON)
        ctx.save_for_backward(rows, normal, mean, scale, weight)
        ctx.slots = slots
        return torch.addcmul(bias.unsqueeze(1), normal, weight.unsqueeze(1))

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        rows, normal, mean, scale, weight = ctx.saved_tensors
        weight_slot, bias_slot = ctx.slots
        weights = torch.sum(gradient * normal, 1, out=weight_slot)
        biases = torch.sum(gradient, 1, out=bias_slot)
        inputs, _, _ = torch.ops.aten.native_layer_norm_backward(
            gradient * weight.unsqueeze(1),
            *(rows, weight.shape[1:], mean, scale, None, None, [True, False, False]),
        )
        return inputs, weights, biases, None


EPSILON = 1e-5
"""What `nn.LayerNorm` adds to the variance."""


def layer_norm(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """n layer norms over the last dimension: inputs `[n, ..., d]`, weight and bias `[n, d]`."""
    slots = (_claimed(weight), _claimed(bias))
    outputs: Tensor = _LayerNorm.apply(inputs.flatten(1, -2), weight, bias, slots)
    return outputs.view(inputs.shape)
