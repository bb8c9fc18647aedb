"""The training steps that calibration measures: the shipped models at several sizes, on made-up data."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch

from simnet.compute.calibrate import Subject
from simnet.optim import AdamW, Optimizer
from simnet.scenario import Component, ScenarioError
from simnet.streams import Streams
from simnet.tasks.components import model_maker, models
from simnet.tasks.entry import Origin
from simnet.tasks.losses import cross_entropy

SMALL_IMAGES, IMAGES = (1, 8, 8), (3, 32, 32)
"""Shapes of the images: those of the digits, and of CIFAR."""
CLASSES = 10
SYMBOLS = 256
Sizes = Mapping[str, tuple[tuple[Mapping[str, Any], tuple[int, ...], int], ...]]
CONTEXT = 64
"""Length of sequences for models that have no `context` of their own."""

FITTED: Sizes = {
    "mlp": (
        ({"hidden": [64]}, SMALL_IMAGES, 32),
        ({"hidden": [256, 256]}, SMALL_IMAGES, 128),
        ({"hidden": [512, 512]}, IMAGES, 32),
        ({"hidden": [1024]}, IMAGES, 256),
    ),
    "cnn": (
        ({}, SMALL_IMAGES, 16),
        ({}, IMAGES, 32),
        ({"channels": [16, 32]}, IMAGES, 16),
    ),
    "gpt": (
        ({"width": 32, "context": 32}, (), 4),
        ({}, (), 8),
        ({"layers": 4, "width": 128}, (), 8),
        ({"layers": 4, "width": 256, "context": 128}, (), 4),
    ),
}
"""Options, shape of a sample and batch size of the steps that a profile is fitted to, by model.

Models without an entry are taken as they are by default, at the batch sizes of `DEFAULT_BATCHES`."""

HELD_OUT: Sizes = {
    "mlp": (
        ({"hidden": []}, SMALL_IMAGES, 16),
        ({"hidden": [128]}, SMALL_IMAGES, 8),
        ({"hidden": [128]}, IMAGES, 64),
        ({"hidden": [1024, 1024]}, IMAGES, 64),
    ),
    "cnn": (
        ({}, SMALL_IMAGES, 128),
        ({"channels": [8, 16, 32]}, IMAGES, 8),
        ({"channels": [32, 64]}, IMAGES, 16),
    ),
    "gpt": (
        ({"positions": "rotary"}, (), 4),
        ({"layers": 3, "width": 96, "context": 32}, (), 32),
        ({"layers": 2, "width": 128, "context": 128}, (), 1),
        ({"layers": 6, "width": 256}, (), 2),
    ),
}
"""Steps of the same models that no profile is fitted to, to hold it against."""

DEFAULT_BATCHES, HELD_OUT_BATCHES = (8, 64), (16,)


Skipped = Callable[[str], None]
"""Told of a model in the registry that cannot be measured without options of its own, and why."""


def fitting_set(device: torch.device, skipped: Skipped) -> Iterator[Subject]:
    """The steps that a device profile is fitted to, every shipped model among them."""
    return _all(FITTED, DEFAULT_BATCHES, device, skipped)


def held_out_set(device: torch.device, skipped: Skipped) -> Iterator[Subject]:
    """Other sizes of the shipped models."""
    return _all(HELD_OUT, HELD_OUT_BATCHES, device, skipped)


def subject(
    model: str,
    options: Mapping[str, Any],
    batch: int,
    device: torch.device,
    shape: tuple[int, ...] = IMAGES,
    optimizer: Optimizer | None = None,
) -> Subject:
    """The training step of a shipped model (or of `module:attribute`) on random data.

    Models of text get sequences of bytes, as long as their `context`; others images `[channels, height,
    width]` of the given shape in ten classes. The optimizer is AdamW if not given. Raises `ScenarioError`
    for an unknown model and for options or shapes that do not suit.
    """
    entry = models.get(model)
    text = entry is not None and "language-model" in entry.tasks
    origin = Origin(
        task="language-model" if text else "classification",
        path=("model",),
        folder=None,
        streams=Streams(0),
    )
    draws = torch.Generator().manual_seed(0)
    component = Component.model_validate({"name": model, **options})
    if text:
        length = options.get("context", getattr(_default(model), "context", CONTEXT))
        inputs = torch.randint(0, SYMBOLS, (batch, length), generator=draws)
        targets = torch.randint(0, SYMBOLS, (batch, length), generator=draws)
        make = model_maker(component, (), SYMBOLS, device, origin)
    else:
        inputs = torch.randn(batch, *shape, generator=draws)
        targets = torch.randint(0, CLASSES, (batch,), generator=draws)
        make = model_maker(component, shape, CLASSES, device, origin)
    written = ", ".join(f"{key}={value}" for key, value in options.items())
    sample = "" if text else f" on {'x'.join(map(str, shape))}"
    return Subject(
        name=f"{model}{f' ({written})' if written else ''}{sample}, batch {batch}",
        model=make(),
        inputs=inputs.to(device),
        targets=targets.to(device),
        loss=cross_entropy,
        optimizer=optimizer or AdamW(lr=1e-3),
    )


def _default(model: str) -> object:
    return models[model].options()


def _all(
    chosen: Sizes, batches: tuple[int, ...], device: torch.device, skipped: Skipped
) -> Iterator[Subject]:
    for name in models:
        for options, shape, batch in chosen.get(name, [({}, IMAGES, batch) for batch in batches]):
            try:
                made = subject(name, options, batch, device, shape)
            except ScenarioError as error:
                skipped(str(error))
                break
            yield made
