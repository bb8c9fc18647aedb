"""The synthetic task of timing-only runs: a model's size and its seconds, and nothing to learn."""

from dataclasses import dataclass
from typing import Annotated, NoReturn

import torch
from pydantic import Field
from torch import Tensor

from simnet.scenario import Problem, Scenario, ScenarioError
from simnet.scenario.fields import BytesEach, Number, Positive, PositiveInteger
from simnet.tasks.entry import Options
from simnet.tasks.task import Task
from simnet.units import Count, Seconds

MEANINGLESS = ("dataset", "model", "batch_size", "optimizer", "charge_as")
"""Keys of `task` that say something of data, learning or another size."""


class SyntheticOptions(Options):
    """Options of `synthetic`: what a training step takes, and what is sent of the model."""

    parameters: Annotated[Count, Positive] = Field(description="Parameters of the model, such as 1B.")
    step_seconds: Annotated[Seconds, Positive] = Field(
        description="Seconds of one training step of a worker of speed 1, all that it computes."
    )
    layers: PositiveInteger = Field(
        1, description="Layers of equal size, for methods that send layer by layer."
    )
    bytes_per_parameter: BytesEach = Field(
        4.0, description="What a parameter takes on the wire: 2, or 13.4 bit."
    )
    forward_fraction: Annotated[Number, Field(gt=0, lt=1)] = Field(
        1 / 3, description="Share of a step before its backward pass begins."
    )


@dataclass(frozen=True, eq=False)
class SyntheticTask(Task):
    """A task without data, model or loss: its numbers are all there is."""

    parameters: int = 0
    """Parameters of the pretended model."""
    layers: int = 1
    """Layers of equal size."""
    step_seconds: float = 0.0
    """Of one training step of a worker of speed 1."""
    bytes_per_parameter: float = 4.0
    """On the wire."""
    forward_fraction: float = 1 / 3
    """Share of a step before its backward pass begins."""


def build_synthetic(
    options: SyntheticOptions, scenario: Scenario, workers: int, device: torch.device
) -> SyntheticTask:
    """The task of a timing-only run.

    Raises `ScenarioError` where the scenario speaks of data, a model, an optimizer, a loss to stop at, or
    more layers than parameters.
    """
    problems = [
        Problem(("task", key), "a synthetic task learns nothing", getattr(scenario.task, key), f"no `{key}`")
        for key in MEANINGLESS
        if getattr(scenario.task, key) is not None
    ]
    if scenario.task.partition != type(scenario.task).model_fields["partition"].default:
        given = scenario.task.partition.name
        problems.append(
            Problem(("task", "partition"), "a synthetic task has no data", given, "no `partition`")
        )
    if scenario.stop.loss is not None:
        problems.append(
            Problem(
                ("stop", "loss"), "a synthetic task has no loss", scenario.stop.loss, "time, steps or bytes"
            )
        )
    if options.layers > options.parameters:
        expected = f"at most {options.parameters:g}"
        problems.append(Problem(("task", "layers"), "more layers than parameters", options.layers, expected))
    if problems:
        raise ScenarioError(problems)
    return SyntheticTask(
        name=scenario.task.name,
        batch_sizes=(1,) * workers,
        samples=(1,) * workers,
        make_model=_nothing,
        loss=_nothing,
        source=_NoBatches(),
        held_out=(torch.empty(0), torch.empty(0)),
        parameters=int(options.parameters),
        layers=options.layers,
        step_seconds=options.step_seconds,
        bytes_per_parameter=options.bytes_per_parameter,
        forward_fraction=options.forward_fraction,
    )


class _NoBatches:
    def gather(self, requests: object, steps: int) -> tuple[Tensor, Tensor]:
        _nothing()


def _nothing(*_: object) -> NoReturn:
    raise ValueError("a synthetic task has no model, no data and no loss: only its sizes and times are known")
