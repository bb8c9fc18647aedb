"""Optimizer steps that are longer or shorter for some workers, or that leave some coordinates alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from simnet.compute.jobs import TrainJob
from simnet.compute.shard import Shard
from simnet.optim import Optimizer, State


@dataclass(frozen=True, eq=False)
class PartialSteps:
    """What a group of train jobs asks of its steps, row by row."""

    scales: Tensor | None
    """`[n, 1]`: factor of each worker's step."""
    masks: Tensor | None
    """`[n, d]`, bool: the coordinates that move."""

    @classmethod
    def of(cls, shard: Shard, jobs: Sequence[TrainJob]) -> "PartialSteps | None":
        """What these jobs ask for, or None where their steps are the optimizer's own."""
        scaled = any(job.lr_scale != 1 for job in jobs)
        masks = [job.mask for job in jobs if job.mask is not None]
        if not scaled and not masks:
            return None
        factors = torch.tensor([[job.lr_scale] for job in jobs], dtype=jobs[0].params.dtype)
        return cls(
            factors.to(shard.device) if scaled else None,
            shard.stacked(masks) if masks else None,
        )

    def update_(self, optimizer: Optimizer, params: Tensor, gradient: Tensor, state: State) -> None:
        """One step in place of the first rows, `params` and `gradient` `[m, d]`.

        A step is linear in the learning rate, so a scaled one is a part of the optimizer's own. What is
        frozen has no gradient, and keeps its value and its optimizer state.
        """
        rows = len(params)
        before = params.clone()
        kept: dict[str, Tensor] = {}
        frozen = None if self.masks is None else ~self.masks[:rows]
        if frozen is not None:
            gradient.masked_fill_(frozen, 0)
            kept = {name: value.clone() for name, value in state.items() if value.shape == params.shape}
        optimizer.update_(params, gradient, state)
        if self.scales is not None:
            torch.lerp(before, params, self.scales[:rows], out=params)
        if frozen is not None:
            torch.where(frozen, before, params, out=params)
            for name, value in kept.items():
                torch.where(frozen, value, state[name], out=state[name])
