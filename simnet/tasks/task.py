"""What a task is to the rest of simnet: data per worker, a model, a loss and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

Elementwise = Callable[[Tensor, Tensor], Tensor]
"""A function of (outputs, targets) with any leading dimensions that gives one value per target."""


class BatchSource(Protocol):
    """Where the workers' batches come from; every answer is a pure function of what is asked."""

    def gather(self, requests: Sequence[tuple[int, int]], steps: int) -> tuple[Tensor, Tensor]:
        """Batches of several (worker, first batch) pairs: `[steps, len(requests), batch, ...]` each."""
        ...


@dataclass(frozen=True, eq=False)
class Task:
    """A learning problem that is shared out over workers."""

    name: str
    """The task's name in the scenario."""
    batch_sizes: tuple[int, ...]
    """Samples in one batch of each worker; all equal, unless the scenario says otherwise."""
    samples: tuple[int, ...]
    """Training samples that each worker owns."""
    make_model: Callable[[], nn.Module]
    """Makes the model, on the task's device, with the same initial weights each time."""
    loss: Elementwise
    """The training loss; callers take the mean over what it returns."""
    source: BatchSource
    """Makes the batches."""
    held_out: tuple[Tensor, Tensor]
    """Held-out inputs and targets, on the task's device."""
    metrics: Mapping[str, Elementwise] = field(default_factory=dict)
    """Metrics on held-out data besides the loss, by name; callers take the mean."""
    tokens_per_sample: int = 1
    """Length of a sample where samples are sequences, else 1."""
    flops_per_sample: float | None = None
    """FLOPs of forward and backward on one sample, where torch's counter cannot see them."""
    optimum: Tensor | None = None
    """The flat parameter vector that minimises the loss, where it is known."""

    @property
    def workers(self) -> int:
        """The number of workers that the training data are shared out to."""
        return len(self.samples)

    @property
    def batch_size(self) -> int:
        """The batch size of every worker.

        Raises `ValueError` where workers differ: use `batch_sizes` there.
        """
        if len(set(self.batch_sizes)) != 1:
            raise ValueError(f"the workers' batch sizes differ: {self.batch_sizes}")
        return self.batch_sizes[0]

    @property
    def classes(self) -> int | None:
        """How many classes its model tells apart; None where targets are no classes of whole samples."""
        inputs, targets = self.held_out
        if targets.ndim != 1 or targets.is_floating_point():
            return None
        with torch.no_grad():
            outputs: Tensor = self.make_model().eval()(inputs[:1])
        return outputs.shape[-1] if outputs.ndim == 2 else None

    def batches(self, worker: int, start: int, steps: int) -> tuple[Tensor, Tensor]:
        """Batches `start .. start + steps - 1` of one worker: inputs and targets, `[steps, batch, ...]`.

        A pure function of the scenario's seed, the worker and the indices of the batches: neither the
        order of asking nor the algorithm matters. Raises `IndexError` for a worker that does not exist.
        """
        inputs, targets = self.gather([(worker, start)], steps)
        return inputs[:, 0], targets[:, 0]

    def gather(self, requests: Sequence[tuple[int, int]], steps: int) -> tuple[Tensor, Tensor]:
        """Batches of several (worker, first batch) pairs at once: `[steps, len(requests), batch, ...]`.

        The same data as one `batches` call per pair, but gathered in one indexing operation. Raises
        `ValueError` where the batch sizes of the workers differ, `IndexError` for an unknown worker.
        """
        for worker, start in requests:
            if not 0 <= worker < self.workers:
                raise IndexError(f"worker {worker} of {self.workers}")
            if start < 0:
                raise IndexError(f"batch {start}: batches are numbered from 0")
        if len({self.batch_sizes[worker] for worker, _ in requests}) > 1:
            raise ValueError("gather needs workers with one batch size")
        return self.source.gather(requests, steps)

    def evaluation(self) -> tuple[Tensor, Tensor]:
        """Held-out inputs and targets, `[samples, ...]` each, on the task's device."""
        return self.held_out
