"""What a task is put together from: datasets, models and partitions by name."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from simnet.scenario import Component, ScenarioError, choose, nearest, one_of, validated
from simnet.scenario.validate import PLUGIN
from simnet.tasks.data.array_file import ArrayFileOptions, build_array_file
from simnet.tasks.data.digits import DigitsOptions, build_digits
from simnet.tasks.data.hub import (
    HuggingFaceSamplesOptions,
    HuggingFaceTextOptions,
    TorchvisionOptions,
    build_huggingface_samples,
    build_huggingface_text,
    build_torchvision,
)
from simnet.tasks.data.plugin import (
    PluginSamplesOptions,
    PluginTextOptions,
    build_plugin_samples,
    build_plugin_text,
)
from simnet.tasks.data.samples import Samples
from simnet.tasks.data.text import (
    PythonSourcesOptions,
    Text,
    TextFileOptions,
    TextOptions,
    build_python_docs,
    build_python_sources,
    build_text_file,
)
from simnet.tasks.entry import AnyEntry, Entry, Origin
from simnet.tasks.models.cnn import CNNOptions, build_cnn
from simnet.tasks.models.gpt import GPTOptions, build_gpt
from simnet.tasks.models.gru import GRUOptions, build_gru
from simnet.tasks.models.logistic import LogisticOptions, build_logistic
from simnet.tasks.models.mlp import MLPOptions, build_mlp
from simnet.tasks.models.plugin import PluginModelOptions, build_plugin_model
from simnet.tasks.models.resnet import ResNetOptions, build_resnet
from simnet.tasks.models.vit import ViTOptions, build_vit
from simnet.tasks.partitions import Allotment, Indices, partitions

TEXT = ("language-model",)
LABELLED = ("classification",)

datasets: dict[str, AnyEntry] = {
    "digits": Entry(
        DigitsOptions, build_digits, "handwritten digits, 1797 of 8 x 8 (scikit-learn)", LABELLED
    ),
    "array-file": Entry(ArrayFileOptions, build_array_file, "a local .npz or .csv file", LABELLED),
    "huggingface-images": Entry(
        HuggingFaceSamplesOptions,
        build_huggingface_samples,
        "images from Hugging Face (extra: hub)",
        LABELLED,
    ),
    "torchvision": Entry(
        TorchvisionOptions, build_torchvision, "images from torchvision (extra: hub)", LABELLED
    ),
    "python-docs": Entry(TextOptions, build_python_docs, "CPython's language reference, 0.5 MB", TEXT),
    "python-sources": Entry(
        PythonSourcesOptions, build_python_sources, "the standard library's source code", TEXT
    ),
    "text-file": Entry(TextFileOptions, build_text_file, "a local file, read as bytes", TEXT),
    "huggingface-text": Entry(
        HuggingFaceTextOptions, build_huggingface_text, "a text column from Hugging Face (extra: hub)", TEXT
    ),
}

models: dict[str, AnyEntry] = {
    "logistic": Entry(LogisticOptions, build_logistic, "logistic regression: convex", LABELLED),
    "mlp": Entry(MLPOptions, build_mlp, "multilayer perceptron", LABELLED),
    "cnn": Entry(CNNOptions, build_cnn, "small convolutional network for images", LABELLED),
    "resnet": Entry(ResNetOptions, build_resnet, "residual network with group norm, for images", LABELLED),
    "vit": Entry(ViTOptions, build_vit, "small vision transformer", LABELLED),
    "gpt": Entry(GPTOptions, build_gpt, "pre-norm causal transformer over bytes", TEXT),
    "gru": Entry(GRUOptions, build_gru, "recurrent: over bytes, or classes of sequences", (*TEXT, *LABELLED)),
}


def make_samples(component: Component, origin: Origin) -> Samples:
    """The labelled dataset that `component` names."""
    if PLUGIN.fullmatch(component.name):
        options = validated(PluginSamplesOptions, component.options, origin.path)
        return build_plugin_samples(component.name, options, origin)
    entry = _usable(component, datasets, origin, "dataset")
    samples: Samples = entry.build(validated(entry.options, component.options, origin.path), origin)
    return samples


def make_text(component: Component, origin: Origin) -> Text:
    """The text that `component` names."""
    if PLUGIN.fullmatch(component.name):
        options = validated(PluginTextOptions, component.options, origin.path)
        return build_plugin_text(component.name, options, origin)
    entry = _usable(component, datasets, origin, "dataset")
    text: Text = entry.build(validated(entry.options, component.options, origin.path), origin)
    return text


def model_maker(
    component: Component, shape: tuple[int, ...], outputs: int, device: torch.device, origin: Origin
) -> Callable[[], nn.Module]:
    """A function that makes the model which `component` names, with the same weights each time.

    `shape` is that of one sample; `outputs` is how many classes or symbols there are.
    """
    if PLUGIN.fullmatch(component.name):
        own = validated(PluginModelOptions, component.options, origin.path)
        return seeded(lambda: build_plugin_model(component.name, own, origin), device, origin)
    entry = _usable(component, models, origin, "model")
    options = validated(entry.options, component.options, origin.path)

    def make() -> nn.Module:
        try:
            model: nn.Module = entry.build(options, shape, outputs)
        except ValueError as error:
            raise ScenarioError.at(origin.path, str(error)) from None
        return model

    return seeded(make, device, origin)


def seeded(make: Callable[[], nn.Module], device: torch.device, origin: Origin) -> Callable[[], nn.Module]:
    """`make` with torch's generator at the run's initial seed, and as it was again afterwards."""
    seed = origin.streams.torch_seed("init")

    def make_model() -> nn.Module:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            return make().to(device)

    return make_model


def check_model(model: nn.Module, inputs: Tensor, expected: tuple[int, ...], origin: Origin) -> None:
    """Run the model once on `inputs`; raises `ScenarioError` unless its outputs have the expected shape."""
    device = inputs.device
    try:
        with torch.no_grad(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            outputs = model(inputs)
    except Exception as error:  # the user's code may raise anything
        raise ScenarioError.at(
            origin.path,
            f"the model fails on inputs of shape {list(inputs.shape)}: {type(error).__name__}: {error}",
        ) from error
    if not isinstance(outputs, Tensor) or outputs.shape != expected:
        given = f"shape {list(outputs.shape)}" if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ScenarioError.at(
            origin.path,
            f"on inputs of shape {list(inputs.shape)} the model gives {given}",
            expected=f"a tensor of shape {list(expected)}",
        )


def make_allotment(component: Component, labels: Indices, workers: int, origin: Origin) -> Allotment:
    """What each worker sees, by the partition that `component` names."""
    entry = choose(component.name, partitions, origin.path, "partition")
    if entry.tasks and origin.task not in entry.tasks:
        usable = [name for name, other in partitions.items() if not other.tasks or origin.task in other.tasks]
        raise ScenarioError.at(
            origin.path,
            f"not a partition for {origin.task}",
            given=component.name,
            expected=one_of(usable),
        )
    options = validated(entry.options, component.options, origin.path)
    return entry.build(options, labels, workers, origin.streams.generator("partition"), origin.path)


def no_full_batches() -> ScenarioError:
    """The error for `batch_size: full` where a worker has a distribution and no samples of its own."""
    return ScenarioError.at(
        ("task", "batch_size"),
        "a worker that draws from a mixture has no full batch",
        given="full",
        expected="a number, or another partition",
    )


def _usable(component: Component, registry: Mapping[str, AnyEntry], origin: Origin, what: str) -> AnyEntry:
    entry = choose(component.name, registry, origin.path, what)
    if origin.task not in entry.tasks:
        usable = [name for name, other in registry.items() if origin.task in other.tasks]
        raise ScenarioError.at(
            origin.path,
            f"not a {what} for {origin.task}",
            given=component.name,
            expected=f"{one_of(usable)}, or module:attribute",
            suggestion=nearest(component.name, usable),
        )
    return entry
