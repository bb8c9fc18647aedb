"""A task whose model and data are in another dtype, or on another device, than it was built with."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from simnet.tasks.task import BatchSource, Task


@dataclass(frozen=True)
class _Moved:
    """Batches of another source, converted."""

    source: BatchSource
    device: torch.device
    dtype: torch.dtype | None

    def gather(self, requests: Sequence[tuple[int, int]], steps: int) -> tuple[Tensor, Tensor]:
        """The same batches."""
        inputs, targets = self.source.gather(requests, steps)
        return self.moved(inputs), self.moved(targets)

    def moved(self, values: Tensor) -> Tensor:
        """`values` on the device; floating-point numbers in the dtype, indices as they are."""
        dtype = self.dtype if values.is_floating_point() else None
        # To a GPU, without waiting for the copy: what follows on its stream comes after it.
        return values.to(self.device, dtype, non_blocking=self.device.type == "cuda")


def placed(task: Task, device: torch.device, dtype: torch.dtype | None = None) -> Task:
    """`task` on `device`, its model and data in `dtype` (None: as they are); itself where nothing changes."""
    inputs, targets = task.held_out
    model = next(task.make_model().parameters(), inputs)
    if _same_device(inputs.device, device) and dtype in (None, model.dtype):
        return task
    data = _Moved(task.source, device, dtype)

    def make_model() -> nn.Module:
        return task.make_model().to(device, dtype)

    return replace(
        task, make_model=make_model, source=data, held_out=(data.moved(inputs), data.moved(targets))
    )


def _same_device(first: torch.device, second: torch.device) -> bool:
    return first.type == second.type and (second.index is None or first.index == second.index)
