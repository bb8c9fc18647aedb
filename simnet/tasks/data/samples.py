"""Labelled samples, and what must hold for them."""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from simnet.scenario import ScenarioError
from simnet.scenario.fields import Number
from simnet.tasks.entry import Origin

TrainFraction = Annotated[Number, Field(gt=0, lt=1)]


@dataclass(frozen=True, eq=False)
class Samples:
    """A classification dataset: inputs `[samples, ...]` in float32, targets `[samples]` in int64."""

    inputs: Tensor
    targets: Tensor
    held_out_inputs: Tensor
    held_out_targets: Tensor
    classes: int

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one sample."""
        return tuple(self.inputs.shape[1:])


Arrays = tuple[NDArray[np.generic], NDArray[np.generic]]


def make_samples(
    training: Arrays, held_out: Arrays | None, train_fraction: float, origin: Origin, source: str
) -> Samples:
    """Samples out of (inputs, labels) arrays, checked.

    Inputs of type uint8 (images) are divided by 255. Without `held_out`, the training data are split by
    a random order that depends on the seed alone. `source` says in messages where the arrays came from.

    Raises `ScenarioError` where inputs are not numbers, are not finite, or do not agree in shape; where
    labels are not whole numbers from 0; where there are fewer than two samples or classes.
    """
    inputs, targets = _checked(training, origin, source)
    if held_out is None:
        if len(inputs) < 2:
            raise ScenarioError.at(origin.path, f"{source} has {len(inputs)} samples; at least 2 are needed")
        order = origin.streams.generator("split").permutation(len(inputs))
        count = min(max(round(len(inputs) * train_fraction), 1), len(inputs) - 1)
        keep, hold = np.sort(order[:count]), np.sort(order[count:])
        held_inputs, held_targets = inputs[hold], targets[hold]
        inputs, targets = inputs[keep], targets[keep]
    else:
        held_inputs, held_targets = _checked(held_out, origin, f"the held-out part of {source}")
        if held_inputs.shape[1:] != inputs.shape[1:]:
            raise ScenarioError.at(
                origin.path,
                f"{source}: held-out samples have shape {list(held_inputs.shape[1:])}, "
                f"training samples {list(inputs.shape[1:])}",
            )
    classes = int(max(targets.max(), held_targets.max())) + 1
    if classes < 2:
        raise ScenarioError.at(origin.path, f"{source}: all labels are 0; there is nothing to tell apart")
    return Samples(
        torch.from_numpy(inputs),
        torch.from_numpy(targets),
        torch.from_numpy(held_inputs),
        torch.from_numpy(held_targets),
        classes,
    )


MAX_CLASSES = 1_000_000


def _checked(arrays: Arrays, origin: Origin, source: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    inputs: NDArray[Any] = np.asarray(arrays[0])
    labels: NDArray[Any] = np.asarray(arrays[1])
    if inputs.dtype.kind not in "fiub":
        raise ScenarioError.at(origin.path, f"{source}: inputs of type {inputs.dtype} are not numbers")
    if labels.dtype.kind not in "fiub":
        raise ScenarioError.at(origin.path, f"{source}: labels of type {labels.dtype} are not numbers")
    if inputs.ndim < 2 or labels.ndim != 1 or len(inputs) != len(labels) or not inputs.size:
        raise ScenarioError.at(
            origin.path,
            f"{source}: inputs of shape {list(inputs.shape)} do not fit labels of shape {list(labels.shape)}",
            expected="inputs [samples, ...] and labels [samples], at least one sample",
        )
    scale = 255 if inputs.dtype == np.uint8 else 1
    floats = np.ascontiguousarray(inputs, dtype=np.float32) / np.float32(scale)
    if not np.isfinite(floats).all():
        raise ScenarioError.at(origin.path, f"{source}: some inputs are not finite numbers in float32")
    if not np.isfinite(labels).all() or (labels != np.floor(labels)).any() or labels.min() < 0:
        wrong = labels[~(np.isfinite(labels) & (labels == np.floor(labels)) & (labels >= 0))]
        raise ScenarioError.at(
            origin.path,
            f"{source}: labels out of range, such as {wrong[0]}",
            expected="whole numbers 0, 1, ..., classes - 1",
        )
    if labels.max() >= MAX_CLASSES:
        raise ScenarioError.at(
            origin.path,
            f"{source}: label {labels.max()} is too large for a class",
            expected="whole numbers 0, 1, ..., classes - 1",
        )
    return floats, labels.astype(np.int64)
