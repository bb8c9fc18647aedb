"""Counting the arithmetic of models and of their parts, forward and backward, by torch's own formulas."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_iter
from torch.utils.flop_counter import flop_registry

from simnet.compute.demand import CountingMode, Demand, TrafficCounter
from simnet.tasks.task import Task

Loss = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ForwardBackward:
    """What the two passes over some inputs ask of a machine."""

    forward: Demand
    backward: Demand

    @property
    def gradient(self) -> Demand:
        """Both together: what a gradient takes."""
        return self.forward + self.backward


class FlopCounter(CountingMode):
    """Adds up the FLOPs of what is computed within it, by the formulas of `torch.utils.flop_counter`.

    Torch's own `FlopCounterMode` gives the same number. It keeps a tally per module, and loads the compiler
    of `torch.compile`, which takes seconds, when it is first used.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0.0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += float(formula(*args, **(kwargs or {}), out_val=result))
        return result


def count_flops(
    module: nn.Module, inputs: Tensor | tuple[Tensor, ...], loss: Loss | None = None
) -> ForwardBackward:
    """FLOPs of `module(inputs)` and of the backward pass through it: a whole model or a part of one.

    Matrix products, convolutions and attention are counted, a multiplication with its addition as two;
    element-wise work is not, as is usual. The backward pass gives the gradients of the parameters, and of
    those inputs that require one (as in all but the first stage of a pipeline). It starts at
    `loss(outputs)`, or without `loss` at the sum of the outputs. Runs a copy of the module, in training mode
    if that is its mode; the module and torch's generators stay as they are.
    """
    # Attention is spelled out: the counter has no formula for the fused kernel of the CPU.
    with sdpa_kernel(SDPBackend.MATH), FlopCounter() as counter:
        return _both(module, inputs, loss, lambda: Demand(flops=counter.flops))


def count_demand(
    module: nn.Module, inputs: Tensor | tuple[Tensor, ...], loss: Loss | None = None
) -> ForwardBackward:
    """The same, with memory traffic and operations besides the FLOPs, as the module runs on this machine."""
    flops = count_flops(module, inputs, loss)
    with TrafficCounter() as counter:
        traffic = _both(module, inputs, loss, lambda: counter.demand)
    return ForwardBackward(flops.forward + traffic.forward, flops.backward + traffic.backward)


def count_task(task: Task, worker: int, *, traffic: bool = False) -> ForwardBackward:
    """What the gradient of one batch of `worker` takes, counted on the plain module and a real batch.

    FLOPs are 0 where the model has no product; `traffic` counts bytes and operations too.
    """
    model = task.make_model().train()
    inputs, targets = task.batches(worker, 0, 1)
    count = count_demand if traffic else count_flops
    return count(model, inputs[0], lambda outputs: task.loss(outputs, targets[0]).mean())


def count_gradient_flops(task: Task, worker: int) -> float:
    """FLOPs of forward and backward on one batch of `worker`."""
    return count_task(task, worker).gradient.flops


def _both(
    module: nn.Module, inputs: Tensor | tuple[Tensor, ...], loss: Loss | None, reading: Callable[[], Demand]
) -> ForwardBackward:
    """Run forward and backward, and take the reading in between and at the end."""
    given = (inputs,) if isinstance(inputs, Tensor) else inputs
    # Views, so that a caller's own leaves are not what is differentiated.
    wanted = [value.detach().requires_grad_(value.requires_grad).view_as(value) for value in given]
    devices = sorted({value.device.index or 0 for value in given if value.is_cuda})
    with torch.random.fork_rng(devices):
        model = copy.deepcopy(module)
        before = reading()
        outputs = model(*wanted)
        started = sum(value.sum() for value in tree_iter(outputs)) if loss is None else loss(outputs)
        between = reading()
        leaves = [value for value in (*model.parameters(), *wanted) if value.requires_grad]
        if leaves:
            torch.autograd.grad(started, leaves, allow_unused=True)
        after = reading()
    return ForwardBackward(between + -1.0 * before, after + -1.0 * between)
