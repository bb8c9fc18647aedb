"""Classification of labelled samples."""

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from simnet.scenario import Component, Scenario
from simnet.streams import Streams
from simnet.tasks.batches import drawn_batches, full_batches, shuffled_batches
from simnet.tasks.components import (
    check_model,
    make_allotment,
    make_samples,
    model_maker,
    no_full_batches,
)
from simnet.tasks.entry import Options, Origin
from simnet.tasks.losses import accuracy, cross_entropy
from simnet.tasks.partitions import Mixture, Shifted
from simnet.tasks.shifts import make_shift
from simnet.tasks.task import Task

HELD_OUT_SAMPLES = 1024
"""Held-out samples that are used unless `evaluate.samples` says otherwise."""


class ClassificationOptions(Options):
    """Options of `classification` besides dataset, model, partition and batch size: none."""


def build_classification(
    options: ClassificationOptions, scenario: Scenario, workers: int, device: torch.device
) -> Task:
    """Cross entropy and accuracy on a labelled dataset; by default an `mlp` on `digits`.

    The data are held once, whatever the number of workers. A feature shift changes what workers train on;
    held-out samples stay as they are.
    """
    config, streams = scenario.task, Streams(scenario.seed)

    def origin(key: str) -> Origin:
        return Origin(config.name, ("task", key), scenario.folder, streams)

    samples = make_samples(config.dataset or Component(name="digits"), origin("dataset"))
    allotment = make_allotment(config.partition, samples.targets.numpy(), workers, origin("partition"))
    make_model = model_maker(
        config.model or Component(name="mlp"), samples.shape, samples.classes, device, origin("model")
    )
    chosen = held_out_subset(len(samples.held_out_targets), scenario.evaluate.samples or HELD_OUT_SAMPLES)
    held_out = samples.held_out_inputs[chosen].to(device), samples.held_out_targets[chosen].to(device)
    trial = samples.inputs[:2].to(device)
    check_model(make_model(), trial, (len(trial), samples.classes), origin("model"))

    inputs, targets = samples.inputs.to(device), samples.targets.to(device)

    def take(rows: Tensor) -> tuple[Tensor, Tensor]:
        flat = rows.flatten().to(device)
        return (
            inputs.index_select(0, flat).view(*rows.shape, *samples.shape),
            targets.index_select(0, flat).view(rows.shape),
        )

    change = None
    if isinstance(allotment, Shifted):
        change = make_shift(
            allotment.options, samples.shape, workers, streams, device, origin("partition").path
        )
        allotment = allotment.given
    if isinstance(allotment, Mixture):
        if config.batch_size == "full":
            raise no_full_batches()
        seen = (len(targets),) * workers
        source = drawn_batches(workers, config.batch_size, streams, allotment.draw, take)
    else:
        seen = tuple(map(len, allotment))
        source = (
            full_batches(allotment, take)
            if config.batch_size == "full"
            else shuffled_batches(allotment, config.batch_size, streams, take)
        )
    if change is not None:
        source = replace(source, change=change)
    return Task(
        name=config.name,
        batch_sizes=source.batch_sizes,
        samples=seen,
        make_model=make_model,
        loss=cross_entropy,
        metrics={"accuracy": accuracy},
        source=source,
        held_out=held_out,
    )


def held_out_subset(available: int, cap: int) -> Tensor:
    """Indices of at most `cap` of the held-out samples, in order: a random choice that is always the same."""
    if available <= cap:
        return torch.arange(available)
    order = Streams(0).generator("held-out").permutation(available)
    return torch.from_numpy(np.sort(order[:cap]))
