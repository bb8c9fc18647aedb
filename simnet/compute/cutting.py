"""Cutting a model into pieces, and counting what the passes through each of them cost."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from simnet.compute.layout import Layout
from simnet.compute.pieces import Piece, PieceCost, balanced
from simnet.scenario import ScenarioError
from simnet.tasks.blocks import model_blocks
from simnet.tasks.task import Task

MODEL = ("task", "model")


def cut_model(task: Task, pieces: int, sizes: Sequence[int] | None = None) -> tuple[Piece, ...]:
    """The task's model in so many pieces of neighbouring blocks.

    `sizes` are the blocks of each piece; by default the dearest piece, in FLOPs of the forward pass, is as
    cheap as can be. Raises `ScenarioError` for a model that cannot be cut so, or whose training changes
    buffers or draws random numbers.
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
                cost=PieceCost(0.0, 0.0, 0.0, 0.0),
            )
        )
        start, first = start + layout.parameters, first + size
    return _with_costs(task, made)


def _with_costs(task: Task, pieces: Sequence[Piece]) -> tuple[Piece, ...]:
    """The pieces with their costs, counted by torch on one microbatch of a replica."""
    inputs, targets = task.batches(0, 0, 1)
    value, counted = inputs[0], []
    for piece in pieces:
        cost, value = _piece_cost(task, piece, value, targets[0])
        counted.append(replace(piece, cost=cost))
    return tuple(counted)


def _piece_cost(task: Task, piece: Piece, value: Tensor, targets: Tensor) -> tuple[PieceCost, Tensor]:
    value = value.detach()
    if value.is_floating_point() and not piece.first:
        value.requires_grad_()
    own = {tensor.untyped_storage().data_ptr() for _, block in piece.blocks for tensor in block.parameters()}
    kept = {value.untyped_storage().data_ptr(): value.untyped_storage().nbytes()}

    def pack(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return saved

    counter = FlopCounterMode(display=False)
    # Attention is spelled out: the counter has no formula for the fused kernel of the CPU.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        outputs = value
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
            for _, block in piece.blocks:
                outputs = block(outputs)
            loss = task.loss(outputs, targets).mean() if piece.last else outputs
        forward = counter.get_total_flops()
        torch.autograd.backward(loss, torch.ones_like(loss))
    for _, block in piece.blocks:
        block.zero_grad(set_to_none=True)
    cost = PieceCost(
        forward_flops=float(forward),
        backward_flops=float(counter.get_total_flops() - forward),
        input_bytes=float(value.nbytes),
        kept_bytes=float(sum(kept.values())),
    )
    return cost, outputs


def _walk(blocks: Sequence[tuple[str, nn.Module]], inputs: Tensor) -> tuple[list[float], list[torch.Size]]:
    """Forward FLOPs of each block, and the shapes before, between and after them."""
    flops, shapes, value = [], [inputs.shape], inputs
    for _, block in blocks:
        counter = FlopCounterMode(display=False)
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
            value = block(value)
        flops.append(float(counter.get_total_flops()))
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
