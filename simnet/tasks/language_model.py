"""Byte-level language modelling."""

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from simnet.scenario import Component, Scenario, ScenarioError
from simnet.scenario.fields import PositiveInteger
from simnet.streams import Streams
from simnet.tasks.batches import drawn_batches, full_batches
from simnet.tasks.classification import held_out_subset
from simnet.tasks.components import check_model, make_allotment, make_text, model_maker, no_full_batches
from simnet.tasks.entry import Options, Origin
from simnet.tasks.losses import bits_per_byte, cross_entropy
from simnet.tasks.partitions import Mixture, Shifted
from simnet.tasks.task import Task
from simnet.tasks.windows import cut, draw_windows, windows_in_turn

VOCABULARY = 256

HELD_OUT_WINDOWS = 256
"""Held-out windows that are used unless `evaluate.samples` says otherwise."""


class LanguageModelOptions(Options):
    """Options of `language-model` besides dataset, model, partition and batch size."""

    context: PositiveInteger | None = Field(
        None, description="Bytes in a training window; the model's `context` if not given."
    )
    groups: PositiveInteger = Field(
        10,
        description="For partitions by class (dirichlet and others): into how many groups of neighbouring "
        "documents (topics) the text is cut; a group is what a class is elsewhere.",
    )


def build_language_model(
    options: LanguageModelOptions, scenario: Scenario, workers: int, device: torch.device
) -> Task:
    """Next-byte prediction, in nats, and in bits per byte; by default a `gpt` on `python-docs`.

    The text is cut in blocks of at least 1024 bytes and eight windows. A tenth of the blocks (the last of
    every ten) is held out; the others are shared out over the workers. A sample is a window of
    `context + 1` bytes at a random place in a worker's blocks, so held-out bytes never come in training.
    """
    config, streams = scenario.task, Streams(scenario.seed)

    def origin(key: str) -> Origin:
        return Origin(config.name, ("task", key), scenario.folder, streams)

    text = make_text(config.dataset or Component(name="python-docs"), origin("dataset"))
    make_model = model_maker(config.model or Component(name="gpt"), (), VOCABULARY, device, origin("model"))
    context = _context(options.context, make_model(), origin("model"))
    length = context + 1
    blocks = cut(len(text.data), length, text.train_fraction, origin("dataset"))
    groups = min(options.groups, len(blocks.training))
    labels = np.arange(len(blocks.training)) * groups // len(blocks.training)
    allotment = make_allotment(config.partition, labels, workers, origin("partition"))
    parts = allotment.members if isinstance(allotment, Mixture) else allotment
    assert not isinstance(parts, Shifted)  # which is for classification alone
    # Workers that share a share share what is made of it, so memory does not grow with them.
    distinct = {id(part): blocks.spans(blocks.training[part]) for part in parts}
    spans = [distinct[id(part)] for part in parts]

    # All windows are views of one text of bytes; ids are widened batch by batch.
    windows = torch.tensor(text.data, device=device).unfold(0, length, 1)

    def take(rows: Tensor) -> tuple[Tensor, Tensor]:
        drawn = windows.index_select(0, rows.flatten().to(device))
        ids = drawn.long().view(*rows.shape, length)
        return ids[..., :-1], ids[..., 1:]

    held_starts = torch.from_numpy(windows_in_turn(blocks.spans(blocks.held_out), length))
    chosen = held_out_subset(len(held_starts), scenario.evaluate.samples or HELD_OUT_WINDOWS)
    held_out = take(held_starts[chosen])
    trial = held_out[0][:2]
    check_model(make_model(), trial, (*trial.shape, VOCABULARY), origin("model"))

    def draw(generator: np.random.Generator, worker: int, count: int) -> NDArray[np.int64]:
        if not isinstance(allotment, Mixture):
            return draw_windows(generator, spans[worker], length, count)
        groups = allotment.groups(generator, worker, count)
        starts = np.empty(count, dtype=np.int64)
        for group in np.unique(groups):
            places = np.flatnonzero(groups == group)
            starts[places] = draw_windows(generator, spans[group], length, len(places))
        return starts

    in_turn = {key: windows_in_turn(own, length) for key, own in distinct.items()}
    if isinstance(allotment, Mixture):
        if config.batch_size == "full":
            raise no_full_batches()
        seen = (sum(map(len, in_turn.values())),) * workers
    else:
        seen = tuple(len(in_turn[id(part)]) for part in parts)
    source = (
        full_batches([in_turn[id(part)] for part in parts], take)
        if config.batch_size == "full"
        else drawn_batches(workers, config.batch_size, streams, draw, take)
    )
    return Task(
        name=config.name,
        batch_sizes=source.batch_sizes,
        samples=seen,
        make_model=make_model,
        loss=cross_entropy,
        metrics={"bits_per_byte": bits_per_byte},
        source=source,
        held_out=held_out,
        tokens_per_sample=context,
    )


def _context(asked: int | None, model: torch.nn.Module, origin: Origin) -> int:
    own = getattr(model, "context", None)
    if asked is None:
        if not isinstance(own, int) or own < 1:
            raise ScenarioError.at(
                ("task", "context"),
                "missing key: the model does not say how many bytes it sees",
                expected="the bytes in a training window, or a model with an attribute `context`",
            )
        return own
    if isinstance(own, int) and asked > own:
        raise ScenarioError.at(
            ("task", "context"),
            "longer than what the model sees at once",
            given=asked,
            expected=f"at most {own}, or a larger `{'.'.join(map(str, origin.at('context')))}`",
        )
    return asked
