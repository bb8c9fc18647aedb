"""Small tasks around the shipped models, on made-up data, and the plain torch loop that they are held to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from simnet.tasks.losses import accuracy, cross_entropy
from simnet.tasks.models.cnn import CNN
from simnet.tasks.models.gpt import GPT
from simnet.tasks.models.mlp import MLP
from simnet.tasks.models.quadratic import Quadratic
from simnet.tasks.quadratic import suboptimality
from simnet.tasks.task import Task


@dataclass(frozen=True)
class Pool:
    """Each worker draws its batches from its own samples, in turn."""

    inputs: Tensor
    targets: Tensor
    batch_sizes: tuple[int, ...]

    def gather(self, requests: Sequence[tuple[int, int]], steps: int) -> tuple[Tensor, Tensor]:
        size, samples = self.batch_sizes[requests[0][0]], self.inputs.shape[1]
        workers = torch.tensor([worker for worker, _ in requests]).view(1, -1, 1)
        first = torch.tensor([start for _, start in requests]).view(1, -1, 1)
        index = ((first + torch.arange(steps).view(-1, 1, 1)) * size + torch.arange(size)) % samples
        flat = (index + workers * samples).flatten()
        inputs = self.inputs.flatten(0, 1).index_select(0, flat)
        targets = self.targets.flatten(0, 1).index_select(0, flat)
        return inputs.view(*index.shape, *inputs.shape[1:]), targets.view(*index.shape, *targets.shape[1:])


def pool_task(
    make: Callable[[], nn.Module],
    inputs: Tensor,
    targets: Tensor,
    batch_sizes: Sequence[int],
    loss: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    dtype: torch.dtype | None = None,
) -> Task:
    """A task of `len(inputs)` workers: `inputs` and `targets` are `[workers, samples, ...]`."""

    def make_model() -> nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(5)
            model = make()
        return model.to(dtype or (inputs.dtype if inputs.is_floating_point() else torch.float64))

    return Task(
        name="pool",
        batch_sizes=tuple(batch_sizes),
        samples=(inputs.shape[1],) * len(inputs),
        make_model=make_model,
        loss=loss,
        metrics={"accuracy": accuracy} if loss is cross_entropy else {},
        source=Pool(inputs, targets, tuple(batch_sizes)),
        held_out=(inputs[:, :7].flatten(0, 1), targets[:, :7].flatten(0, 1)),
    )


def image_task(
    workers: int,
    shape: Sequence[int],
    make: Callable[[], nn.Module],
    batch_sizes: Sequence[int] | None = None,
    dtype: torch.dtype = torch.float64,
) -> Task:
    """Random images in ten classes."""
    draws = torch.Generator().manual_seed(1)
    inputs = torch.randn(workers, 40, *shape, generator=draws, dtype=torch.float64).to(dtype)
    targets = torch.randint(0, 10, (workers, 40), generator=draws)
    return pool_task(make, inputs, targets, batch_sizes or [6] * workers)


def mlp_task(
    workers: int = 4, batch_sizes: Sequence[int] | None = None, dtype: torch.dtype = torch.float64
) -> Task:
    return image_task(workers, [12], lambda: MLP(12, 10, (9,)), batch_sizes, dtype)


def cnn_task() -> Task:
    return image_task(4, [1, 8, 8], lambda: CNN((1, 8, 8), 10, (3, 4)))


def gpt_task(positions: Literal["learned", "rotary"] = "learned", tied: bool = True) -> Task:
    draws = torch.Generator().manual_seed(1)
    text = torch.randint(0, 17, (4, 30, 9), generator=draws)

    def make() -> nn.Module:
        return GPT(17, layers=2, width=8, heads=2, context=8, positions=positions, tied=tied)

    return pool_task(make, text[..., :-1], text[..., 1:], [4] * 4)


def quadratic_task() -> Task:
    draws = torch.Generator().manual_seed(1)
    inputs = torch.randn(4, 30, 5, generator=draws, dtype=torch.float64)
    factor = torch.randn(5, 5, generator=draws, dtype=torch.float64)
    targets = torch.zeros(4, 30, dtype=torch.float64)
    return pool_task(lambda: Quadratic(factor), inputs, targets, [6] * 4, suboptimality)


TASKS: dict[str, Callable[[], Task]] = {
    "mlp": mlp_task,
    "cnn": cnn_task,
    "gpt-learned": gpt_task,
    "gpt-rotary": lambda: gpt_task("rotary", tied=False),
    "quadratic": quadratic_task,
}
"""Every model that is shipped, small."""


@dataclass
class Separate:
    """One worker as torch trains it: a module of its own, with an optimizer from `torch.optim`."""

    task: Task
    worker: int
    make_optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer]
    schedule: Callable[[int], float] | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        self.model = self.task.make_model().train()
        self.optimizer = self.make_optimizer(list(self.model.parameters()))
        self.rates = torch.optim.lr_scheduler.LambdaLR(self.optimizer, self.schedule or (lambda step: 1.0))
        self.losses: list[float] = []

    def train(self, steps: int, first_batch: int) -> None:
        for inputs, targets in zip(*self.task.batches(self.worker, first_batch, steps), strict=True):
            self.optimizer.zero_grad()
            loss = self.task.loss(self.model(inputs), targets).mean()
            loss.backward()
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
            self.optimizer.step()
            self.rates.step()
            self.losses.append(loss.item())

    @property
    def flat(self) -> Tensor:
        return nn.utils.parameters_to_vector(self.model.parameters()).detach()
