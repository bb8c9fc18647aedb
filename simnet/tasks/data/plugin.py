"""Datasets of the user's own, named by `module:attribute`."""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import Field

from simnet.scenario import ScenarioError, load_plugin
from simnet.tasks.data.samples import Arrays, Samples, TrainFraction, make_samples
from simnet.tasks.data.text import Text, make_text
from simnet.tasks.entry import Options, Origin

T = TypeVar("T")


class PluginSamplesOptions(Options):
    """Options of a `module:attribute` dataset for classification."""

    held_out: str | None = Field(
        None, description="The held-out dataset, as module:attribute; else a part of the samples is held out."
    )
    train_fraction: TrainFraction = Field(
        0.8,
        description="Where there is no held-out dataset: the fraction of the samples, chosen by the seed, "
        "to train on.",
    )


class PluginTextOptions(Options):
    """Options of a `module:attribute` text for a language model."""

    train_fraction: TrainFraction = Field(
        0.9,
        description="Fraction of the text to train on; the rest, taken evenly from all over it, is held out.",
    )


def build_plugin_samples(name: str, options: PluginSamplesOptions, origin: Origin) -> Samples:
    """Samples of a `torch.utils.data.Dataset`: an instance, or a class or function called without arguments.

    It has a length, and items (input, label). What is held out is the dataset that `held_out` names, else
    the dataset's own attribute `held_out`, else a part chosen by the seed.
    """
    dataset = _dataset(name, origin, origin.path)
    own = getattr(dataset, "held_out", None)
    held_out: Arrays | None = None
    if options.held_out is not None:
        where = origin.at("held_out")
        held_out = stack_items(_dataset(options.held_out, origin, where), options.held_out, origin)
    elif own is not None:
        held_out = stack_items(own, f"{name}.held_out", origin)
    return make_samples(stack_items(dataset, name, origin), held_out, options.train_fraction, origin, name)


def build_plugin_text(name: str, options: PluginTextOptions, origin: Origin) -> Text:
    """A text that is `str` or `bytes`, or what a function without arguments gives."""
    found = load_plugin(name, origin.folder, origin.path)
    if callable(found):
        found = attempt(found, name, origin)
    if isinstance(found, str):
        found = found.encode()
    if not isinstance(found, bytes):
        raise ScenarioError.at(
            origin.path, f"{name} gives {type(found).__name__}", expected="str or bytes for a language model"
        )
    return make_text(found, options.train_fraction)


def attempt(call: Callable[[], T], what: str, origin: Origin) -> T:
    """What `call` gives; an error in it, which is the user's code, becomes a `ScenarioError`."""
    try:
        return call()
    except Exception as error:
        raise ScenarioError.at(origin.path, f"{what} failed: {type(error).__name__}: {error}") from error


def stack_items(dataset: Any, name: str, origin: Origin) -> Arrays:
    """All items (input, label) of a map-style dataset as two arrays."""
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise ScenarioError.at(
            origin.path,
            f"{name} is a {type(dataset).__name__}",
            expected="a map-style torch.utils.data.Dataset: with a length, and items (input, label)",
        )
    items = attempt(lambda: [dataset[i] for i in range(len(dataset))], name, origin)
    if any(not isinstance(item, tuple | list) or len(item) != 2 for item in items):
        raise ScenarioError.at(origin.path, f"{name}: an item is not a pair", expected="items (input, label)")
    inputs = attempt(lambda: np.stack([_array(item[0]) for item in items]), name, origin)
    labels = attempt(lambda: np.stack([_array(item[1]) for item in items]), name, origin)
    return inputs, labels


def _array(value: Any) -> Any:
    return value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)


def _dataset(name: str, origin: Origin, path: tuple[str | int, ...]) -> Any:
    found = load_plugin(name, origin.folder, path)
    if isinstance(found, type) or not hasattr(found, "__getitem__"):
        if not callable(found):
            raise ScenarioError.at(path, f"{name} is a {type(found).__name__}", expected="a Dataset")
        return attempt(found, name, origin)
    return found
