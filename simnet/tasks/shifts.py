"""Feature shift: what each worker's sensor does to its inputs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from simnet.scenario import Component, Path, ScenarioError
from simnet.scenario.fields import Number
from simnet.streams import Streams
from simnet.tasks.entry import Options

NotNegative = Annotated[Number, Field(ge=0)]


class FeatureShiftOptions(Options):
    """Options of `feature-shift`."""

    shares: Component = Field(
        Component(name="iid"),
        description="How the samples are split beneath the shift: another partition, with its options.",
    )
    rotation: Annotated[NotNegative, Field(le=180)] = Field(
        0.0,
        description="Images are turned by an angle that is drawn for each worker from -rotation to rotation, "
        "in degrees.",
    )
    contrast: Annotated[NotNegative, Field(lt=1)] = Field(
        0.0,
        description="Inputs are multiplied by a factor that is drawn for each worker from 1 - contrast to "
        "1 + contrast.",
    )
    brightness: NotNegative = Field(
        0.0,
        description="A number is added to inputs that is drawn for each worker from -brightness to "
        "brightness.",
    )
    pattern: NotNegative = Field(
        0.0,
        description="Standard deviation of a fixed noise pattern of each worker, one value per feature, that "
        "is added to all of its inputs.",
    )


@dataclass(frozen=True, eq=False)
class FeatureShift:
    """Inputs x of worker i become a_i R_i(x) + b_i: one record of numbers per worker, none per sample."""

    angles: Tensor
    """`[workers]`, radians, counter-clockwise."""
    factors: Tensor
    """`[workers]`."""
    offsets: Tensor
    """`[workers]`, or `[workers, *sample shape]` with a fixed noise pattern."""
    turns: bool
    """Whether any image is turned."""

    def __call__(self, inputs: Tensor, workers: Sequence[int]) -> Tensor:
        """What these workers see of inputs `[steps, n, batch, *sample shape]`: a tensor of the same shape."""
        if self.turns:
            inputs = rotated(inputs.transpose(0, 1), self.angles[list(workers)]).transpose(0, 1)
        own = (len(workers), 1)
        factors, offsets = self.factors[list(workers)], self.offsets[list(workers)]
        sample = inputs.shape[3:]
        factors = factors.view(*own, *[1] * len(sample))
        if offsets.dim() > 1:
            offsets = offsets.view(*own, *sample)
        else:
            offsets = offsets.view(*own, *[1] * len(sample))
        return torch.addcmul(offsets, inputs, factors)


def make_shift(
    options: FeatureShiftOptions,
    shape: tuple[int, ...],
    workers: int,
    streams: Streams,
    device: torch.device,
    path: Path,
) -> FeatureShift:
    """The shifts of so many workers, for samples of the given shape; a worker's follows from the seed and it.

    Raises `ScenarioError` where samples are to be turned that are no images.
    """
    if options.rotation and len(shape) != 3:
        raise ScenarioError.at(
            (*path, "rotation"),
            f"samples of shape {list(shape)} cannot be turned",
            given=options.rotation,
            expected="0, or images [channels, height, width]",
        )
    angles, factors, offsets = (torch.empty(workers) for _ in range(3))
    patterns = torch.empty(workers, *shape) if options.pattern else None
    for worker in range(workers):
        generator = streams.generator("shift", worker)
        turn, factor, offset = generator.uniform(-1, 1, 3)
        angles[worker] = math.radians(options.rotation * turn)
        factors[worker] = 1 + options.contrast * factor
        offsets[worker] = options.brightness * offset
        if patterns is not None:
            noise = generator.standard_normal(shape, dtype="float32")
            patterns[worker] = torch.from_numpy(noise) * options.pattern + offsets[worker]
    return FeatureShift(
        angles=angles.to(device),
        factors=factors.to(device),
        offsets=(offsets if patterns is None else patterns).to(device),
        turns=options.rotation > 0,
    )


def rotated(images: Tensor, angles: Tensor) -> Tensor:
    """Images `[n, ..., height, width]` turned about their middle by `angles` `[n]`, counter-clockwise.

    Bilinear; what comes in from outside is 0. A quarter turn of a square image is exact up to rounding.
    """
    height, width = images.shape[-2:]
    cosines, sines = angles.cos(), angles.sin()
    # Grid coordinates go from -1 to 1 along each side, so a turn in pixels is scaled by the sides' ratio.
    zeros = torch.zeros_like(cosines)
    turns = torch.stack(
        [
            torch.stack([cosines, -sines * (height / width), zeros], -1),
            torch.stack([sines * (width / height), cosines, zeros], -1),
        ],
        1,
    ).to(images.dtype)
    planes = images.flatten(1, -3)
    grid = F.affine_grid(turns, list(planes.shape), align_corners=False)
    return F.grid_sample(planes, grid, align_corners=False).view(images.shape)
