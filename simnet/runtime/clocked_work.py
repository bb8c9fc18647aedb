"""When a node's work is done: what its device needs, and what slows its host down meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass

from simnet.compute.cost import Machine
from simnet.faults.slowdown import NO_SLOWDOWN, Slowdown

STEP_TOLERANCE = 1e-9
"""Relative slack when counting the steps that fit into a span: an exact fit is not lost to rounding."""


@dataclass(frozen=True, slots=True)
class ClockedWork:
    """The virtual seconds of a node's work, which depend on when it starts and on which training step it is.

    Training steps are known by the number of batches that the node has drawn before. So a step has the same
    factor as a part of `train` and as a `gradient` and a `step`.
    """

    machine: Machine
    slowdown: Slowdown = NO_SLOWDOWN

    def train(self, start: float, first: int, steps: int) -> float:
        """Of `steps` training steps, from the `first` on."""
        work = self.slowdown.of_steps(first, steps) * self.machine.train_seconds(1)
        return self.slowdown.seconds(start, work)

    def steps_until(self, start: float, end: float, first: int, most: int) -> int:
        """How many training steps from the `first` on fit between two times; `most` at most."""
        slowdown = self.slowdown
        fitting = slowdown.work(start, end) / self.machine.train_seconds(1) * (1 + STEP_TOLERANCE)
        if slowdown.steps is None:
            return min(int(fitting), most)
        return slowdown.steps.fitting(first, most, fitting)

    def gradient(self, start: float, step: int) -> float:
        """Of the gradient of a training step."""
        return self.slowdown.seconds(start, self.slowdown.of_step(step) * self.machine.gradient_seconds())

    def loss(self, start: float, step: int, passes: int = 1) -> float:
        """Of the forward pass of a training step, or of so many like it."""
        work = passes * self.machine.forward_seconds()
        return self.slowdown.seconds(start, self.slowdown.of_step(step) * work)

    def optimizer(self, start: float, step: int) -> float:
        """Of the optimizer's part of a training step; without a factor if `step` is -1: none was begun."""
        factor = self.slowdown.of_step(step) if step >= 0 else 1.0
        return self.slowdown.seconds(start, factor * self.machine.optimizer_seconds())

    def passing(self, start: float, step: int, seconds: float) -> float:
        """Of any other part of a training step that takes `seconds` on the device alone."""
        return self.slowdown.seconds(start, self.slowdown.of_step(step) * seconds)

    def other(self, start: float, seconds: float) -> float:
        """Of work that is no part of a training step, and takes `seconds` on the device alone."""
        return self.slowdown.seconds(start, seconds)

    def layers(self, start: float, first: int, steps: int, sizes: Sequence[int]) -> list[float]:
        """When the last step's backward pass leaves each layer, of so many parameters each.

        Args:
            start: When the first step begins.
            first: Its number.
            steps: How many there are; 0 for one gradient without an optimizer step.
            sizes: The layers, in the order in which the backward pass comes to them.
        """
        machine, slowdown = self.machine, self.slowdown
        last = first + max(0, steps - 1)
        factor = slowdown.of_step(last)
        before = slowdown.of_steps(first, last - first) * machine.train_seconds(1) if steps else 0.0
        whole = before + factor * (machine.train_seconds(1) if steps else machine.gradient_seconds())
        forward = before + factor * (machine.forward_fraction * machine.gradient_seconds())
        per_parameter = (whole - forward) / sum(sizes)
        backward = start + slowdown.seconds(start, forward)
        moments, done = [], 0
        for size in sizes:
            done += size
            moments.append(backward + slowdown.seconds(backward, done * per_parameter))
        return moments
