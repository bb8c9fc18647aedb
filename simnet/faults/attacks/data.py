"""Attacks on data: the node is honest, what it learns from is not."""

from typing import ClassVar, Self

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from simnet.faults.attacks.attack import DataAttack


class LabelFlip(DataAttack):
    """Class `y` becomes `C - 1 - y`, or one class another.

    Tolpegin et al., "Data Poisoning Attacks Against Federated Learning Systems" (ESORICS 2020), for one class
    to another; `C - 1 - y` is usual in studies of robust rules.
    """

    name: ClassVar[str] = "label-flip"

    source: int | None = Field(default=None, ge=0, description="Class that is flipped; all if not given.")
    target: int | None = Field(default=None, ge=0, description="What it becomes; C - 1 - y if not given.")
    share: float = Field(default=1.0, gt=0, le=1, description="Share of the samples that are flipped.")

    def transform(
        self, inputs: Tensor, targets: Tensor, *, classes: int, rng: np.random.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """The inputs as they are, and the flipped targets."""
        _check_classes(self.name, targets, classes, self.source, self.target)
        flipped = classes - 1 - targets if self.target is None else torch.full_like(targets, self.target)
        chosen = _chosen(self.name, targets, self.share, rng)
        if self.source is not None:
            chosen = chosen & (targets == self.source)
        return inputs, torch.where(chosen, flipped, targets)


class Poison(DataAttack):
    """Sets some features to a value, and the target to a class: a back door that the trigger opens.

    Gu, Dolan-Gavitt and Garg, "BadNets" (2017, arXiv:1708.06733); for federated learning, Bagdasaryan et al.
    (AISTATS 2020).
    """

    name: ClassVar[str] = "poison"

    features: tuple[int, ...] = Field(
        min_length=1, description="Features that make the trigger, counted through all of an input."
    )
    value: float = Field(default=1.0, allow_inf_nan=False, description="What they are set to.")
    target: int = Field(default=0, ge=0, description="The class that the trigger stands for.")
    share: float = Field(default=0.5, gt=0, le=1, description="Share of the samples that are poisoned.")

    @model_validator(mode="after")
    def _features_from_the_front(self) -> Self:
        if min(self.features) < 0:
            raise ValueError(f"features are counted from 0, got {min(self.features)}")
        return self

    def transform(
        self, inputs: Tensor, targets: Tensor, *, classes: int, rng: np.random.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Inputs with the trigger where the sample is poisoned, and their targets."""
        _check_classes(self.name, targets, classes, self.target)
        chosen = _chosen(self.name, targets, self.share, rng)
        triggered = self.trigger(inputs, targets.ndim)
        shape = (*targets.shape, *(1,) * (inputs.ndim - targets.ndim))
        poisoned = torch.where(chosen.reshape(shape), triggered, inputs)
        return poisoned, torch.where(chosen, torch.full_like(targets, self.target), targets)

    def trigger(self, inputs: Tensor, leading: int = 1) -> Tensor:
        """Every input with the trigger: what measures how far the back door is open.

        The first `leading` dimensions count samples. Raises `ValueError` for a feature that does not exist.
        """
        if inputs.ndim <= leading or not inputs.is_floating_point():
            raise ValueError(
                f"poison sets features of inputs that are numbers, got {tuple(inputs.shape)} {inputs.dtype}"
            )
        flat = inputs.flatten(leading).clone()
        if max(self.features) >= flat.shape[-1]:
            raise ValueError(f"poison sets feature {max(self.features)}, but an input has {flat.shape[-1]}")
        flat[..., list(self.features)] = self.value
        return flat.reshape(inputs.shape)


def _check_classes(name: str, targets: Tensor, classes: int, *given: int | None) -> None:
    if targets.is_floating_point():
        raise ValueError(f"{name} needs targets that are classes, got {targets.dtype}")
    for one in given:
        if one is not None and one >= classes:
            raise ValueError(f"{name} names class {one}, but there are {classes}")


def _chosen(name: str, targets: Tensor, share: float, rng: np.random.Generator | None) -> Tensor:
    if share == 1.0:
        return torch.ones_like(targets, dtype=torch.bool)
    if rng is None:
        raise ValueError(f"{name} of a share of {share} draws its samples, so it needs rng")
    return torch.from_numpy(rng.random(tuple(targets.shape)) < share).to(targets.device)
