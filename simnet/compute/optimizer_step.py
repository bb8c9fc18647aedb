"""One step of an optimizer as a worker takes it: the gradients of all parameters in one flat vector."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from simnet.compute.demand import Demand, count_traffic
from simnet.optim import Optimizer


class OptimizerStep:
    """A flat copy of a module's parameters with an optimizer's state, and the step along given gradients."""

    def __init__(self, optimizer: Optimizer, module: nn.Module) -> None:
        self.optimizer = optimizer
        with torch.no_grad():
            self.params = torch.cat(
                [value.detach().flatten() for value in module.parameters() if value.requires_grad]
            )
        self.gradient = torch.empty_like(self.params)
        self.state = optimizer.init(self.params)

    def take(self, gradients: Sequence[Tensor]) -> None:
        """Collect the gradients and step along them."""
        torch.cat([gradient.reshape(-1) for gradient in gradients], out=self.gradient)
        self.optimizer.update_(self.params, self.gradient, self.state)


def count_optimizer_step(optimizer: Optimizer, module: nn.Module) -> Demand:
    """What one step asks of a machine: its arithmetic per parameter, and bytes and operations as counted."""
    step = OptimizerStep(optimizer, module)
    zeros = [torch.zeros_like(value) for value in module.parameters() if value.requires_grad]
    counted = count_traffic(lambda: step.take(zeros))
    return counted + Demand(flops=optimizer.step_flops(step.params.numel()))
