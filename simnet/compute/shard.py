"""What a runner of jobs has at hand: the program, the optimizer and the memory of one device."""

from dataclasses import dataclass

import torch

from simnet.compute.program import Program
from simnet.optim import Optimizer


@dataclass(frozen=True, eq=False)
class Shard:
    """The engine's part on one device."""

    program: Program
    optimizer: Optimizer

    @property
    def device(self) -> torch.device:
        """Where this part computes."""
        return self.program.initial_params.device
