"""Measuring training steps on this machine, and the device profile that follows from them.

A step is what a worker does by itself: forward and loss, backward, and the optimizer's step on the gradients
collected in one flat vector. Its time is modelled as a sum of the machine's arithmetic, memory traffic and
the starting of operations (`DeviceProfile.seconds`), whose rates are fitted to steps of several models.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor, nn

from simnet.compute.demand import Demand, peak_bytes
from simnet.compute.devices import DeviceProfile
from simnet.compute.flops import count_demand
from simnet.compute.optimizer_step import OptimizerStep, count_optimizer_step
from simnet.optim import Optimizer

WARM_UP = 4
"""Steps that are run before those that are timed."""
PHASES = ("forward", "backward", "optimizer")
PHASE_WEIGHT = 1 / 3
"""Weight of each phase in the fit, where the whole step has 1."""
PRODUCT_SIZE = 1024
"""Side of the square matrices whose product gives the peak."""
PRODUCTS = 20


@dataclass(frozen=True)
class Subject:
    """A training step to be measured."""

    name: str
    model: nn.Module
    inputs: Tensor
    """One batch `[batch, ...]`."""
    targets: Tensor
    loss: Callable[[Tensor, Tensor], Tensor]
    """Of outputs and targets; its mean is taken."""
    optimizer: Optimizer


@dataclass(frozen=True)
class Measured:
    """What a step takes on this machine: medians in seconds, and what it asks for, phase by phase."""

    name: str
    seconds: tuple[float, float, float]
    """Of forward, backward and optimizer."""
    demands: tuple[Demand, Demand, Demand]
    peak_bytes: int
    """Most memory of tensors at once, weights and optimizer state included."""

    @property
    def step_seconds(self) -> float:
        """Seconds of the whole step."""
        return sum(self.seconds)

    @property
    def step_demand(self) -> Demand:
        """What the whole step asks for."""
        return self.demands[0] + self.demands[1] + self.demands[2]

    def ratio(self, profile: DeviceProfile) -> float:
        """The step's seconds as the profile predicts them over those measured."""
        return profile.seconds(self.step_demand) / self.step_seconds

    def phase_ratios(self, profile: DeviceProfile) -> tuple[float, ...]:
        """The same of forward, backward and optimizer."""
        return tuple(
            profile.seconds(demand) / seconds
            for demand, seconds in zip(self.demands, self.seconds, strict=True)
        )


def measure(subject: Subject, steps: int) -> Measured:
    """Time `steps` training steps after a few others; raises ValueError for a model without parameters."""
    model = subject.model.train()
    parameters = [value for value in model.parameters() if value.requires_grad]
    if not parameters:
        raise ValueError(f"{subject.name} has no trainable parameter")
    step = OptimizerStep(subject.optimizer, model)
    wait = _waiter(subject.inputs.device)
    times: tuple[list[float], list[float], list[float]] = ([], [], [])

    def run() -> tuple[float, float, float, float]:
        wait()
        started = time.perf_counter()
        loss = subject.loss(model(subject.inputs), subject.targets).mean()
        wait()
        forward = time.perf_counter()
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)
        wait()
        backward = time.perf_counter()
        step.take(gradients)
        wait()
        return started, forward, backward, time.perf_counter()

    for index in range(WARM_UP + steps):
        moments = run()
        if index >= WARM_UP:
            for phase, begin, end in zip(times, moments, moments[1:], strict=False):
                phase.append(end - begin)
    held = [*parameters, *model.buffers(), step.params, step.gradient, *step.state.values()]
    passes = count_demand(
        model, subject.inputs, lambda outputs: subject.loss(outputs, subject.targets).mean()
    )
    forward, backward, optimizer = (statistics.median(phase) for phase in times)
    return Measured(
        name=subject.name,
        seconds=(forward, backward, optimizer),
        demands=(passes.forward, passes.backward, count_optimizer_step(subject.optimizer, model)),
        peak_bytes=peak_bytes(run) + sum(value.nbytes for value in held) - step.params.nbytes,
    )


def peak_flops(device: torch.device) -> float:
    """FLOP/s of this machine's best of several products of square fp32 matrices."""
    left, right = torch.randn(2, PRODUCT_SIZE, PRODUCT_SIZE, device=device)
    wait = _waiter(device)
    best = inf
    for _ in range(PRODUCTS):
        wait()
        started = time.perf_counter()
        torch.mm(left, right)
        wait()
        best = min(best, time.perf_counter() - started)
    return 2.0 * PRODUCT_SIZE**3 / best


def fitted_profile(
    measured: Sequence[Measured], peak: float, memory: float | None, name: str = "calibrated"
) -> DeviceProfile:
    """The profile whose predictions are nearest to the steps measured, in the sum of squared relative errors.

    Nonnegative least squares: no rate is negative, none is above the `peak`, pooling moves bytes no faster
    than other operations do, and a convolution or an attention starts no faster.
    """
    rows, seconds, weights = [], [], []
    for one in measured:
        parts = [(one.step_demand, one.step_seconds, 1.0)]
        parts += [(d, s, PHASE_WEIGHT) for d, s in zip(one.demands, one.seconds, strict=True)]
        for demand, taken, weight in parts:
            rows.append(_features(demand))
            seconds.append(taken)
            weights.append(weight)
    relative = np.array(weights) / np.array(seconds)
    matrix = np.array(rows) * relative[:, None]
    # At the peak, arithmetic takes at least so long: what is fitted is what it takes beyond that.
    rest = np.array(weights) - matrix[:, 0] / peak
    scale = np.maximum(np.linalg.norm(matrix, axis=0), np.finfo(float).tiny)
    found, _ = nnls(matrix / scale, rest)
    per_flop, per_byte, more_pooled, overhead, more_convolution, more_attention = (found / scale).tolist()
    return DeviceProfile(
        name=name,
        flops=peak,
        achieved=min(1.0, 1.0 / (1.0 + per_flop * peak)),
        memory=memory,
        precision="fp32",
        source="measured: the best product of square matrices",
        achieved_source=f"fitted to {len(measured)} training steps",
        memory_bandwidth=1.0 / per_byte if per_byte > 0 else inf,
        pooling_bandwidth=1.0 / (per_byte + more_pooled) if per_byte + more_pooled > 0 else inf,
        operation_overhead=overhead,
        convolution_overhead=overhead + more_convolution,
        attention_overhead=overhead + more_attention,
    )


def single_profile(
    measured: Measured, peak: float, memory: float | None, name: str = "calibrated"
) -> DeviceProfile:
    """The profile with the achieved fraction at which the measured step takes as long as it did.

    Only arithmetic is charged on it, so it is right for this model at this batch size. Raises ValueError
    where torch counts no FLOPs in the step.
    """
    flops = measured.step_demand.flops
    if flops <= 0:
        raise ValueError(f"{measured.name}: torch counts no FLOPs in its training step")
    rate = flops / measured.step_seconds
    return DeviceProfile(
        name=name,
        flops=max(peak, rate),
        achieved=rate / max(peak, rate),
        memory=memory,
        precision="fp32",
        source="measured: the best product of square matrices",
        achieved_source=f"measured: one training step of {measured.name}",
    )


def _features(demand: Demand) -> list[float]:
    """What the fit multiplies with: the last of each pair is what the special operations take more."""
    return [
        demand.flops,
        demand.bytes + demand.pooled_bytes,
        demand.pooled_bytes,
        demand.operations + demand.convolutions + demand.attentions,
        demand.convolutions,
        demand.attentions,
    ]


def _waiter(device: torch.device) -> Callable[[], None]:
    """Waits until the device has done what was asked of it."""
    if device.type == "cuda":
        return lambda: torch.cuda.synchronize(device)
    return lambda: None
