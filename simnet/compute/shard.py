"""What a runner of jobs has at hand: the program, the optimizer and the memory of one device."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simnet.compute.memory import GROUP_BYTES
from simnet.compute.program import Program
from simnet.optim import Optimizer


@dataclass(eq=False)
class Shard:
    """The engine's part on one device."""

    program: Program
    optimizer: Optimizer
    memory_bytes: float | None = None
    """What one joint computation may take; None: the device's default."""
    kept_bytes: int = 0
    """What graphs of forward passes through pieces take, until their backward passes."""

    @property
    def device(self) -> torch.device:
        """Where this part computes."""
        return self.program.initial_params.device

    @property
    def group_bytes(self) -> float:
        """What one joint computation may take."""
        return GROUP_BYTES[self.device.type] if self.memory_bytes is None else self.memory_bytes

    def stacked(self, rows: Sequence[Tensor]) -> Tensor:
        """A new tensor `[n, ...]` on this device of tensors `[...]`, wherever those are."""
        together = torch.stack([*rows])
        if together.device == self.device:
            return together
        if self.device.type == "cuda" and together.device.type == "cpu":
            # From page-locked memory the copy does not hold up the host, which goes on to the next device.
            together = together.pin_memory()
        return together.to(self.device, non_blocking=self.device.type == "cuda")
