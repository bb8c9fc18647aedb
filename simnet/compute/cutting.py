"""Cutting a model into pieces, and counting what the passes through each of them cost."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor, nn

from simnet.compute.demand import NOTHING
from simnet.compute.flops import ForwardBackward, count_demand, count_flops
from simnet.compute.kept import kept_for_backward
from simnet.compute.layout import Layout
from simnet.compute.pieces import Piece, PieceCost, balanced
from simnet.scenario import ScenarioError
from simnet.tasks.blocks import model_blocks
from simnet.tasks.task import Task

MODEL = ("task", "model")
FREE = PieceCost(ForwardBackward(NOTHING, NOTHING), 0.0, 0.0)


def cut_model(
    task: Task, pieces: int, sizes: Sequence[int] | None = None, *, traffic: bool = False
) -> tuple[Piece, ...]:
    """The task's model in so many pieces of neighbouring blocks.

    `sizes` are the blocks of each piece; by default the dearest piece, in FLOPs of the forward pass, is as
    cheap as can be. With `traffic`, memory traffic and operations are counted too. Raises `ScenarioError` for
    a model that cannot be cut so, or whose training changes buffers or draws random numbers.
    """
    model = task.make_model().train()
    inputs = task.batches(0, 0, 1)[0][0]
    blocks = model_blocks(model, inputs, MODEL)
    if len(blocks) < pieces:
        raise ScenarioError.at(
            MODEL,
            f"{type(model).__name__} has {len(blocks)} blocks, which do not make {pieces} pieces",
            expected="a deeper model, or fewer `pipeline.stages`",
        )
    _check_pure(model, inputs)
    flops, shapes = _walk(blocks, inputs)
    if sizes is None:
        sizes = balanced(flops, pieces)
    elif len(sizes) != pieces or sum(sizes) != len(blocks):
        raise ScenarioError.at(
            ("pipeline", "blocks"),
            f"the model has {len(blocks)} blocks ({', '.join(name for name, _ in blocks)})",
            given=list(sizes),
            expected=f"{pieces} numbers that add up to {len(blocks)}",
        )
    made: list[Piece] = []
    start = first = 0
    for index, size in enumerate(sizes):
        part = tuple(blocks[first : first + size])
        layout = _layout(part)
        made.append(
            Piece(
                index=index,
                pieces=pieces,
                blocks=part,
                layout=layout,
                start=start,
                input_shape=shapes[first],
                output_shape=shapes[first + size],
                stackable=all(hasattr(block, "stacked_forward") for _, block in part),
                cost=FREE,
            )
        )
        start, first = start + layout.parameters, first + size
    return _with_costs(task, made, traffic)


def cut_evenly(parameters: int, pieces: int, shape: Sequence[int]) -> tuple[Piece, ...]:
    """So many pieces of a model that is only a number of parameters; activations have `shape`.

    Raises `ScenarioError` for fewer parameters than pieces.
    """
    if parameters < pieces:
        raise ScenarioError.at(("task", "parameters"), f"{pieces} pieces need more", given=parameters)
    bounds = [index * parameters // pieces for index in range(pieces + 1)]
    return tuple(
        Piece(
            index=index,
            pieces=pieces,
            blocks=(),
            layout=Layout(("all",), (torch.Size([end - start]),), (end - start,), torch.float32),
            start=start,
            input_shape=torch.Size(shape),
            output_shape=torch.Size(shape),
            stackable=True,
            cost=FREE,
        )
        for index, (start, end) in enumerate(pairwise(bounds))
    )


def _with_costs(task: Task, pieces: Sequence[Piece], traffic: bool) -> tuple[Piece, ...]:
    """The pieces with their costs, counted by torch on one microbatch of a replica."""
    inputs, targets = task.batches(0, 0, 1)
    value, counted = inputs[0], []
    count = count_demand if traffic else count_flops
    for piece in pieces:
        blocks = nn.Sequential(*(block for _, block in piece.blocks))
        loss = (lambda outputs: task.loss(outputs, targets[0]).mean()) if piece.last else None
        entering = value.detach()
        if entering.is_floating_point() and not piece.first:
            entering.requires_grad_()
        value, kept = _forward(blocks, entering, loss)
        cost = PieceCost(count(blocks, entering, loss), float(entering.nbytes), kept)
        counted.append(replace(piece, cost=cost))
    return tuple(counted)


def _forward(
    blocks: nn.Module, inputs: Tensor, loss: Callable[[Tensor], Tensor] | None
) -> tuple[Tensor, float]:
    """Outputs, and the bytes that autograd keeps for the backward pass, the inputs included."""
    with torch.enable_grad(), kept_for_backward(blocks) as kept:
        kept[inputs.untyped_storage().data_ptr()] = inputs.untyped_storage().nbytes()
        outputs = blocks(inputs)
        end = outputs if loss is None else loss(outputs)
    del end
    return outputs, float(sum(kept.values()))


def _walk(blocks: Sequence[tuple[str, nn.Module]], inputs: Tensor) -> tuple[list[float], list[torch.Size]]:
    """Forward FLOPs of each block, and the shapes before, between and after them."""
    flops, shapes, value = [], [inputs.shape], inputs
    for _, block in blocks:
        flops.append(count_flops(block, value).forward.flops)
        with torch.no_grad():
            value = block(value)
        shapes.append(value.shape)
    return flops, shapes


def _layout(blocks: Sequence[tuple[str, nn.Module]]) -> Layout:
    named = [
        (f"{name}.{key}", value)
        for name, block in blocks
        for key, value in block.named_parameters()
        if value.requires_grad
    ]
    return Layout(
        names=tuple(name for name, _ in named),
        shapes=tuple(value.shape for _, value in named),
        sizes=tuple(value.numel() for _, value in named),
        dtype=named[0][1].dtype if named else torch.get_default_dtype(),
    )


def _check_pure(model: nn.Module, inputs: Tensor) -> None:
    """A piece is computed twice, at its forward and at its backward pass: both must give the same."""
    buffers = {name: value.clone() for name, value in model.named_buffers()}
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.no_grad():
        before = torch.get_rng_state()
        model(inputs)
        random = not torch.equal(before, torch.get_rng_state())
    changed = [name for name, value in model.named_buffers() if not torch.equal(buffers[name], value)]
    if changed or random:
        why = f"changes the buffer {changed[0]}" if changed else "draws random numbers"
        raise ScenarioError.at(
            MODEL,
            f"training {type(model).__name__} {why}, which stages cannot do",
            expected="a model without dropout and without running statistics",
        )
