"""Losses and gradients of many workers' models, each at its own parameters on its own batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from simnet.compute.losses import SLOPES
from simnet.compute.program import BUFFER, Program
from simnet.tasks.task import Elementwise


class Rows:
    """Parameters `[n, d]` of n workers and a buffer `[n, d]` for their gradients, both owned by the caller.

    The parameters are seen through one leaf view per model parameter, so autograd never differentiates
    through slices of the flat buffer, which would pad every slice with zeros.
    """

    def __init__(self, program: Program, params: Tensor, gradient: Tensor) -> None:
        self.program = program
        self.params = params
        self.gradient = gradient
        self._views = program.layout.views(params)
        self._leaves = [view.detach().requires_grad_() for view in self._views]
        self._slots = program.layout.views(gradient)

    def differentiate(
        self,
        inputs: Tensor,
        targets: Tensor,
        batches: Sequence[tuple[int, int]],
        buffers: dict[str, Tensor],
    ) -> Tensor:
        """Write the gradients of the mean losses to `gradient` and return the losses `[n]`.

        `inputs` and `targets` are `[n, batch, ...]`; `batches` names them as (worker, batch) pairs, for
        models that draw random numbers; `buffers` holds the models' buffers `[n, ...]` among other things and
        they are updated in place. A parameter that the loss does not depend on has gradient 0.
        """
        if self.program.mode == "loop":
            return self._one_by_one(inputs, targets, batches, buffers)
        # A layer that finds this attribute may write the gradient straight to where it belongs.
        if not self.program.compiled:
            for leaf, slot in zip(self._leaves, self._slots, strict=True):
                leaf.gradient_slot = slot  # type: ignore[attr-defined]
        outputs = self.program.outputs(self._leaves, inputs)
        losses, gradients = _derive(self.program.task.loss, outputs, targets, self._leaves)
        _collect(gradients, self._slots)
        return losses

    def _one_by_one(
        self,
        inputs: Tensor,
        targets: Tensor,
        batches: Sequence[tuple[int, int]],
        buffers: dict[str, Tensor],
    ) -> Tensor:
        program = self.program
        losses = self.params.new_empty(len(inputs))
        for row, (worker, batch) in enumerate(batches):
            own = {name: value[row] for name, value in buffers.items() if name.startswith(BUFFER)}
            parameters = program.load([leaf[row] for leaf in self._views], own)
            with program.drawing(worker, batch):
                outputs = program.outputs_of_one(inputs[row])
            loss, gradients = _derive(program.task.loss, outputs[None], targets[row : row + 1], parameters)
            _collect(gradients, [slot[row] for slot in self._slots])
            losses[row] = loss[0]
            program.save(own)
        return losses


def losses_of(
    program: Program,
    params: Tensor,
    inputs: Tensor,
    targets: Tensor,
    batches: Sequence[tuple[int, int]],
    buffers: dict[str, Tensor],
) -> Tensor:
    """Mean losses `[n]` alone; arguments as of `Rows.differentiate`, `params` `[n, d]`."""
    views = program.layout.views(params)
    with torch.no_grad():
        if program.mode != "loop":
            return program.task.loss(program.outputs(views, inputs), targets).flatten(1).mean(1)
        losses = []
        for row, (worker, batch) in enumerate(batches):
            program.load([view[row] for view in views], {name: value[row] for name, value in buffers.items()})
            with program.drawing(worker, batch):
                outputs = program.outputs_of_one(inputs[row])
            losses.append(program.task.loss(outputs, targets[row]).mean())
        return torch.stack(losses)


def _derive(
    loss: Elementwise, outputs: Tensor, targets: Tensor, leaves: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The mean losses `[n]` of outputs `[n, batch, ...]`, and the gradients of their sum."""
    if loss in SLOPES:
        losses, slope = SLOPES[loss](outputs, targets)
        root = outputs
    else:
        root = loss(outputs, targets).flatten(1).mean(1)
        losses, slope = root.detach(), torch.ones_like(root)
    return losses, torch.autograd.grad(root, leaves, slope, allow_unused=True, materialize_grads=True)


def _collect(gradients: Sequence[Tensor], slots: Sequence[Tensor]) -> None:
    """Copy gradients to their slots, but for those that a layer wrote there itself."""
    for slot, gradient in zip(slots, gradients, strict=True):
        if slot.data_ptr() != gradient.data_ptr():
            slot.copy_(gradient)
