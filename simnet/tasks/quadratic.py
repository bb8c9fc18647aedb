"""Heterogeneous quadratics: a convex problem whose optimum is known exactly."""

from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from simnet.scenario import Problem, Scenario, ScenarioError
from simnet.scenario.fields import Number, PositiveInteger
from simnet.streams import Streams
from simnet.tasks.batches import drawn_batches, full_batches
from simnet.tasks.entry import Options
from simnet.tasks.models.quadratic import Quadratic
from simnet.tasks.task import Task

Floats = NDArray[np.float64]


class QuadraticOptions(Options):
    """Options of `quadratic` besides the batch size."""

    dimensions: PositiveInteger = Field(32, description="Number of parameters.")
    heterogeneity: Annotated[Number, Field(ge=0)] = Field(
        1.0, description="Distance of the workers' optima from their mean (root mean square)."
    )
    noise: Annotated[Number, Field(ge=0)] = Field(
        0.1,
        description="Standard deviation of one sample's gradient: the root of the expected squared distance "
        "from the worker's true gradient. A batch of b samples divides it by sqrt(b); batch_size full "
        "has none.",
    )
    condition: Annotated[Number, Field(ge=1)] = Field(
        10.0, description="Largest over smallest eigenvalue of the curvature; the largest is 1."
    )
    distance: Annotated[Number, Field(ge=0)] = Field(
        1.0, description="Distance of the starting point from the optimum."
    )


def build_quadratic(
    options: QuadraticOptions, scenario: Scenario, workers: int, device: torch.device
) -> Task:
    """Worker i minimises f_i(x) = (x - c_i)' A (x - c_i) / 2; together they minimise the mean of the f_i.

    A is dense, symmetric and positive definite, the same for all, with eigenvalues spread evenly in
    logarithm from 1 / condition to 1. The mean of the f_i is least at the mean c of the c_i. The loss is
    what is left to gain: on held-out data exactly (x - c)' A (x - c) / 2, on a worker's batch an unbiased
    estimate of f_i(x) minus the least mean. The metric `distance` is the squared distance from c.

    A sample is u = c_i + A^-1 xi with xi normal, and the model gives A^(1/2) (x - u), so that the gradient
    of half its square is A (x - c_i) - xi.

    Raises `ScenarioError` where the scenario names a dataset, a model or a partition.
    """
    config = scenario.task
    assert config.batch_size is not None, "the schema requires it"
    unused = {"dataset": config.dataset, "model": config.model}
    if config.partition != type(config).model_fields["partition"].default:
        unused["partition"] = config.partition
    problems = [
        Problem(("task", key), "quadratic makes its own data and model", value.name, f"no `{key}`")
        for key, value in unused.items()
        if value is not None
    ]
    if problems:
        raise ScenarioError(problems)
    streams = Streams(scenario.seed)
    size = options.dimensions
    eigenvalues, vectors = _curvature(streams.generator("curvature"), size, options.condition)
    root = vectors * np.sqrt(eigenvalues) @ vectors.T
    inverse = torch.from_numpy(vectors / eigenvalues @ vectors.T)
    optimum, optima = _optima(streams.generator("optima"), workers, options)
    excess = np.square((optima - optimum) @ root).sum(1).mean() / 2  # the least mean of the f_i

    factor = torch.from_numpy(root).float().to(device)
    inverse_factor = torch.from_numpy(vectors / np.sqrt(eigenvalues) @ vectors.T).float().to(device)

    def draw(generator: np.random.Generator, worker: int, count: int) -> NDArray[np.float32]:
        xi = generator.standard_normal((count, size)) * (options.noise / size**0.5)
        # By torch, which keeps to its number of threads: numpy's would compete with them for the cores.
        shift = (torch.from_numpy(xi) @ inverse).numpy()
        constant = (xi * shift).sum(1, keepdims=True) / 2 + excess
        return np.concatenate([optima[worker] + shift, constant], axis=1, dtype=np.float32)

    exact = [np.append(own, excess)[None].astype(np.float32) for own in optima]

    def take(rows: Tensor) -> tuple[Tensor, Tensor]:
        values = rows.to(device)
        return values[..., :-1], values[..., -1]

    def distance(outputs: Tensor, targets: Tensor) -> Tensor:
        return (outputs @ inverse_factor.to(outputs)).square().sum(-1)

    batch_size = config.batch_size
    source = (
        full_batches(exact, take)
        if batch_size == "full"
        else drawn_batches(workers, batch_size, streams, draw, take)
    )
    best = torch.from_numpy(optimum).float().to(device)
    return Task(
        name=config.name,
        batch_sizes=source.batch_sizes,
        samples=(1,) * workers,
        make_model=lambda: Quadratic(factor),
        loss=suboptimality,
        metrics={"distance": distance},
        source=source,
        held_out=(best[None], best.new_zeros(1)),
        optimum=best,
    )


def suboptimality(outputs: Tensor, targets: Tensor) -> Tensor:
    """Half the square of outputs `[..., d]`, less the targets `[...]`: what a sample holds at the optimum."""
    return outputs.square().sum(-1) / 2 - targets


def _curvature(generator: np.random.Generator, size: int, condition: float) -> tuple[Floats, Floats]:
    eigenvalues = np.geomspace(1 / condition, 1, size) if size > 1 else np.ones(1)
    vectors, triangle = np.linalg.qr(generator.standard_normal((size, size)))
    return eigenvalues, vectors * np.sign(np.diag(triangle))


def _optima(generator: np.random.Generator, workers: int, options: QuadraticOptions) -> tuple[Floats, Floats]:
    """The mean optimum `[d]` and the workers' own `[workers, d]`."""
    direction = generator.standard_normal(options.dimensions)
    mean = options.distance * direction / np.linalg.norm(direction)
    spread = generator.standard_normal((workers, options.dimensions))
    spread -= spread.mean(0)
    if workers > 1:
        spread *= options.heterogeneity / np.sqrt(np.square(spread).sum(1).mean())
    return mean, mean + spread
