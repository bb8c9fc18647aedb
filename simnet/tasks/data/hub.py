"""Datasets from Hugging Face and torchvision, whose libraries are imported only where they are named."""

import importlib
import inspect
from types import ModuleType
from typing import Any

import numpy as np
from pydantic import Field

from simnet.scenario import ScenarioError, nearest, one_of
from simnet.tasks.data.plugin import attempt, stack_items
from simnet.tasks.data.samples import Arrays, Samples, TrainFraction, make_samples
from simnet.tasks.data.text import Megabytes, Text, TextOptions, make_text
from simnet.tasks.entry import Options, Origin


class HuggingFaceTextOptions(TextOptions):
    """Options of `huggingface-text`."""

    path: str = Field(description="The dataset's name on the hub, or a local folder.", min_length=1)
    config: str | None = Field(None, description="The dataset's configuration, where it has several.")
    split: str = Field("train", description="The split to read.")
    text: str = Field("text", description="The column with the text; rows are joined by newlines.")
    megabytes: Megabytes = Field(1.0, description="Size in MB (1e6 bytes) at which to stop.")


class HuggingFaceSamplesOptions(Options):
    """Options of `huggingface-images`."""

    path: str = Field(description="The dataset's name on the hub, or a local folder.", min_length=1)
    config: str | None = Field(None, description="The dataset's configuration, where it has several.")
    split: str = Field("train", description="The split to train on.")
    held_out: str | None = Field(
        None, description="The split to hold out; else a part of the samples is held out."
    )
    image: str = Field("image", description="The column with the images or vectors.")
    label: str = Field("label", description="The column with the labels 0, 1, ...")
    train_fraction: TrainFraction = Field(
        0.8,
        description="Where no split is held out: the fraction of the samples, chosen by the seed, "
        "to train on.",
    )


class TorchvisionOptions(Options):
    """Options of `torchvision`."""

    dataset: str = Field(
        description="The class in torchvision.datasets, such as MNIST or CIFAR10.", min_length=1
    )
    root: str = Field(
        "data", description="Where its files are or will be, relative to the scenario's folder."
    )
    download: bool = Field(True, description="Whether to download the files where they are missing.")


def library(name: str, origin: Origin) -> ModuleType:
    """An optional library; raises `ScenarioError` with how to install it where it is missing or broken."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # such as a torchvision that was built for another torch
        if isinstance(error, ModuleNotFoundError) and error.name == name:
            message = f"the library `{name}` is not installed"
        else:
            message = f"the library `{name}` cannot be imported: {type(error).__name__}: {error}"
        raise ScenarioError.at(origin.path, message, expected='pip install "simnet[hub]"') from error


def build_huggingface_text(options: HuggingFaceTextOptions, origin: Origin) -> Text:
    """The text column of a Hugging Face dataset, up to a size."""
    rows = _load(options.path, options.config, options.split, (options.text,), origin)
    limit = int(options.megabytes * 1e6)
    parts: list[bytes] = []
    size = 0
    for row in rows:
        value = row[options.text]
        if not isinstance(value, str):
            raise ScenarioError.at(
                origin.at("text"), f"column `{options.text}` holds {type(value).__name__}", expected="text"
            )
        parts.append(value.encode() + b"\n")
        size += len(parts[-1])
        if size >= limit:
            break
    return make_text(b"".join(parts)[:limit], options.train_fraction)


def build_huggingface_samples(options: HuggingFaceSamplesOptions, origin: Origin) -> Samples:
    """Images (or vectors) and labels of a Hugging Face dataset."""
    columns = (options.image, options.label)

    def arrays(split: str) -> Arrays:
        rows = _load(options.path, options.config, split, columns, origin)
        items = attempt(
            lambda: [(np.asarray(row[options.image]), row[options.label]) for row in rows],
            options.path,
            origin,
        )
        inputs, labels = stack_items(items, options.path, origin)
        return channels_first(inputs), labels

    held_out = None if options.held_out is None else arrays(options.held_out)
    return make_samples(arrays(options.split), held_out, options.train_fraction, origin, options.path)


def _load(path: str, config: str | None, split: str, columns: tuple[str, ...], origin: Origin) -> Any:
    datasets = library("datasets", origin)
    local = origin.locate(path)
    found = attempt(
        lambda: datasets.load_dataset(str(local) if local.is_dir() else path, config, split=split),
        f"loading `{path}` from Hugging Face",
        origin,
    )
    for column in columns:
        if column not in found.column_names:
            raise ScenarioError.at(
                origin.path,
                f"`{path}` has no column `{column}`",
                expected=one_of(found.column_names),
                suggestion=nearest(column, found.column_names),
            )
    return found


def build_torchvision(options: TorchvisionOptions, origin: Origin) -> Samples:
    """A labelled image dataset of torchvision that has a training and a test part."""
    datasets = library("torchvision", origin).datasets
    names = [
        name for name in datasets.__all__ if "root" in inspect.signature(getattr(datasets, name)).parameters
    ]
    if options.dataset not in names:
        raise ScenarioError.at(
            origin.at("dataset"),
            "torchvision has no such dataset",
            given=options.dataset,
            expected="a class of torchvision.datasets, such as MNIST or CIFAR10",
            suggestion=nearest(options.dataset, names),
        )
    factory = getattr(datasets, options.dataset)
    parameters = inspect.signature(factory).parameters
    if not {"train", "split"} & set(parameters):
        raise ScenarioError.at(
            origin.at("dataset"), "this dataset has no training and test part", given=options.dataset
        )
    choice: list[dict[str, Any]] = (
        [{"train": True}, {"train": False}]
        if "train" in parameters
        else [{"split": "train"}, {"split": "test"}]
    )
    more = {"download": options.download} if "download" in parameters else {}
    root = str(origin.locate(options.root))

    def arrays(part: dict[str, Any]) -> Arrays:
        dataset = attempt(
            lambda: factory(root=root, **part, **more), f"torchvision.datasets.{options.dataset}", origin
        )
        inputs, labels = stack_items(dataset, options.dataset, origin)
        return channels_first(inputs), labels

    return make_samples(arrays(choice[0]), arrays(choice[1]), 0.8, origin, options.dataset)


def channels_first(images: Any) -> Any:
    """Images `[n, height, width]` or `[n, height, width, channels]` of type uint8 as `[n, channels, ...]`."""
    if images.dtype == np.uint8 and images.ndim == 3:
        return images[:, None]
    if images.dtype == np.uint8 and images.ndim == 4:
        return images.transpose(0, 3, 1, 2)
    return images
