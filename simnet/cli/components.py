"""Everything that a scenario can name, with its options, for `simnet list` and `simnet schema`."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

Listed = tuple[str, str, list[str]]
"""Name, one line, and one line per option."""


def components() -> dict[str, dict[str, type[BaseModel] | None]]:
    """Options of everything that can be named, by kind."""
    from simnet.algorithms import algorithm_registry
    from simnet.compute import DEVICES
    from simnet.network import topologies
    from simnet.optim import registry as optimizers
    from simnet.tasks.registry import datasets, models, partitions, tasks

    return {
        "devices": dict.fromkeys(DEVICES),
        "algorithms": dict(algorithm_registry()),
        "topologies": dict(topologies),
        "optimizers": dict(optimizers),
        "tasks": {name: entry.options for name, entry in tasks.items()},
        "datasets": {name: entry.options for name, entry in datasets.items()},
        "models": {name: entry.options for name, entry in models.items()},
        "partitions": {name: entry.options for name, entry in partitions.items()},
        "boundaries": dict(_boundary_models()),
    }


def listed(kind: str) -> Iterator[Listed]:
    """The entries of one kind."""
    return _LISTINGS[kind]()


def _algorithms() -> Iterator[Listed]:
    from simnet.algorithms import algorithm_registry

    return _models(algorithm_registry())


def _topologies() -> Iterator[Listed]:
    from simnet.network import topologies

    yield from _models(topologies)
    yield (
        "<any of networkx>",
        "Any graph generator of networkx, with or without _graph: {kind: grid_2d_graph, m: 4, n: 4}.",
        ["<its parameters>: as networkx documents them; seed is the scenario's if not given"],
    )


def _networks() -> Iterator[Listed]:
    from simnet.scenario import network_descriptions

    for name, description in network_descriptions().items():
        yield name, description, []


def _optimizers() -> Iterator[Listed]:
    from simnet.optim import registry

    return _models(registry)


def _boundary_models() -> dict[str, type[BaseModel]]:
    """Codecs that can stand at the cuts of a pipeline."""
    from simnet.compression import codecs
    from simnet.pipeline.boundaries import boundaries

    return {**boundaries, **{name: codec for name, codec in codecs.items() if name not in boundaries}}


def _boundaries() -> Iterator[Listed]:
    return _models(_boundary_models())


def _task_entries(kind: str) -> Iterator[Listed]:
    from simnet.tasks import registry

    for name, entry in getattr(registry, kind).items():
        yield name, entry.summary, options(entry.options)


def _devices() -> Iterator[Listed]:
    from simnet.compute import DEVICES
    from simnet.units import format_bytes, format_flops

    for name, device in DEVICES.items():
        memory = (
            ", memory not known: whether a model fits is not checked"
            if device.memory is None
            else f", {format_bytes(device.memory)} of memory"
        )
        peak = (
            f"{format_flops(device.flops)} ({device.precision}), {device.achieved:.0%} of it achieved{memory}"
        )
        yield name, peak, [device.source, f"achieved: {device.achieved_source}"]


_LISTINGS: dict[str, Callable[[], Iterator[Listed]]] = {
    "algorithms": _algorithms,
    "topologies": _topologies,
    "networks": _networks,
    "devices": _devices,
    "datasets": partial(_task_entries, "datasets"),
    "models": partial(_task_entries, "models"),
    "optimizers": _optimizers,
    "tasks": partial(_task_entries, "tasks"),
    "partitions": partial(_task_entries, "partitions"),
    "boundaries": _boundaries,
}


def _models(registry: Mapping[str, type[BaseModel]]) -> Iterator[Listed]:
    for name, model in registry.items():
        yield name, (model.__doc__ or "").strip().split("\n", 1)[0], options(model)


def options(model: type[BaseModel]) -> list[str]:
    """`name (default): description` of each field."""
    lines = []
    for name, field in model.model_fields.items():
        if field.default is not PydanticUndefined:
            default = _shown(field.default)
        elif field.default_factory is not None:
            default = _shown(field.get_default(call_default_factory=True))
        else:
            default = "required"
        lines.append(f"{name} ({default}): {field.description or ''}".rstrip(": "))
    return lines


def _shown(value: object) -> str:
    """A default as one would write it in YAML."""
    from simnet.scenario import shown

    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json", exclude_defaults=True) or "default"
    return shown(list(value) if isinstance(value, tuple) else value)
