"""Counting the arithmetic of a training step, by torch's own counter."""

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from simnet.tasks.task import Task


def count_gradient_flops(task: Task, worker: int) -> float:
    """FLOPs of forward and backward on one batch of `worker`, counted on the plain module and a real batch.

    Matrix products, convolutions and attention are counted, a multiplication with its addition as two;
    element-wise work is not, as is usual. 0 where the model has none of the former.
    """
    model = task.make_model().train()
    inputs, targets = task.batches(worker, 0, 1)
    devices = [inputs.device] if inputs.is_cuda else []
    # Attention is spelled out: the counter has no formula for the fused kernel of the CPU.
    with (
        torch.random.fork_rng(devices),
        sdpa_kernel(SDPBackend.MATH),
        FlopCounterMode(display=False) as counter,
    ):
        task.loss(model(inputs[0]), targets[0]).mean().backward()
    return float(counter.get_total_flops())
