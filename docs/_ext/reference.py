"""Sphinx directives that write reference tables from simnet itself, so that they cannot go stale.

- `{keys} NetworkConfig`: the keys of one section of a scenario;
- `{options} algorithms [NAME ...]`: the components of one kind, each with its options;
- `{rules} aggregations`: rules, pre-aggregators or attacks, each with its options;
- `{devices}`: the device profiles;
- `{units}`: examples of every kind of quantity;
- `{command} run`: arguments and options of one command;
- `{tables}`: the columns of a run folder's tables.

Each is a function that gives Markdown, in `GENERATORS`; the tests call those functions without Sphinx.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel

if TYPE_CHECKING:
    from sphinx.application import Sphinx

Schema = Mapping[str, Any]

SECTIONS = {
    "AlgorithmEntry": "a name, or a mapping: see [algorithms](#algorithms)",
    "ByzantineConfig": "see [faults.byzantine](#byzantine-nodes)",
    "ChargeAs": "see [charge_as](#charge_as)",
    "CheckpointConfig": "see [checkpoint](#checkpoint)",
    "Component": "a name, or a mapping with `name` and options",
    "DeviceConfig": "[a device in place](#device)",
    "EngineConfig": "see [engine](#engine)",
    "EvaluateConfig": "see [evaluate](#evaluate)",
    "AccessConfig": "see [access links](#accessconfig)",
    "ExplicitLink": "links",
    "ExplicitRoute": "see [routes](#explicitroute)",
    "LognormalStragglers": "see [stragglers](#stragglers)",
    "ParetoStragglers": "see [stragglers](#stragglers)",
    "ExponentialStragglers": "see [stragglers](#stragglers)",
    "UniformStragglers": "see [stragglers](#stragglers)",
    "BimodalStragglers": "see [stragglers](#stragglers)",
    "Episodes": "see [stragglers](#stragglers)",
    "TraceStragglers": "see [stragglers](#stragglers)",
    "ScheduledStragglers": "see [stragglers](#stragglers)",
    "LinkDown": "see [link faults](#link-faults)",
    "LinkDegraded": "see [link faults](#link-faults)",
    "LinkLossy": "see [link faults](#link-faults)",
    "LinkFlapping": "see [link faults](#link-faults)",
    "Crash": "[a crash](#churn)",
    "DetectionConfig": "see [detection](#detection)",
    "DiurnalChurn": "[diurnal](#churn)",
    "ExponentialChurn": "[exponential](#churn)",
    "FaultsConfig": "see [faults](#faults)",
    "Join": "[a join](#churn)",
    "Leave": "[a leave](#churn)",
    "Partition": "see [partitions](#partitions)",
    "Rejoin": "[a rejoin](#churn)",
    "TraceChurn": "[a trace](#churn)",
    "WeibullChurn": "[weibull](#churn)",
    "LinkConfig": "see [link](#link)",
    "NetworkConfig": "see [network](#network)",
    "NodeConfig": "node with properties",
    "PipelineConfig": "see [pipeline](#pipeline)",
    "RunningCosts": "see [costs](#costs)",
    "PartialLink": "any of the keys of [link](#link)",
    "SiteConfig": "site with properties",
    "StageCharge": "see [below](#stagecharge)",
    "ServerConfig": "see [server](#server)",
    "StopConfig": "see [stop](#stop)",
    "TaskConfig": "see [task](#task)",
    "TopologyConfig": "see [topology](#topology)",
    "WanLink": "keys of [link](#link)",
    "WorkerGroup": "see [workers](#workers)",
    "AllReduceConfig": "[with options](#collective-options)",
    "BandwidthOnOff": "[on and off](#changing-values)",
    "BandwidthWave": "[a wave](#changing-values)",
    "BroadcastConfig": "[with options](#collective-options)",
    "GammaJitter": "[gamma](#jitter)",
    "LatencyOnOff": "[on and off](#changing-values)",
    "LatencyWave": "[a wave](#changing-values)",
    "LognormalJitter": "[lognormal](#jitter)",
    "Mahimahi": "[a Mahimahi trace](#changing-values)",
    "NetworkEvent": "see [events](#events)",
    "Trace": "[a trace](#changing-values)",
    "TransportConfig": "[switches](#transport)",
    "UniformJitter": "[uniform](#jitter)",
}
"""What a table's second column says of a value that is a section; the links are those of `scenario.md`."""


def keys(section: str) -> str:
    """The keys of one section of a scenario: `Scenario` itself, or one of the models that it refers to."""
    from simnet.scenario import Scenario

    schema = Scenario.model_json_schema()
    return _table(schema if section == "Scenario" else schema["$defs"][section])


def options(kind: str, *names: str) -> str:
    """The components of one kind, or those called `names`, each with its line and a table of its options."""
    from simnet.cli.components import components, listed

    described: dict[str, str] = {}
    if kind in ("algorithms", "topologies", "datasets", "models", "optimizers", "boundaries"):
        described = {name: line for name, line, _ in listed(kind)}
    parts = []
    for name, model in components()[kind].items():
        if names and name not in names:
            continue
        line = described.get(name) or _summary(kind, name)
        parts += [f"**`{name}`**: {line[:1].upper()}{line[1:].rstrip('.')}."] if line else [f"**`{name}`**"]
        parts.append(_table(_schema(model)) if model and model.model_fields else "No options.")
    return "\n\n".join(parts)


def rules(kind: str) -> str:
    """Each of one registry: `aggregations`, `gossip_rules`, `pre_aggregations` or `attacks`."""
    from simnet import aggregation
    from simnet.faults import attacks

    registries: dict[str, Mapping[str, type[BaseModel]]] = {
        "aggregations": aggregation.aggregations,
        "gossip_rules": aggregation.gossip_rules,
        "pre_aggregations": aggregation.pre_aggregations,
        "attacks": attacks.attacks,
    }
    parts = []
    for name, model in registries[kind].items():
        line = (model.__doc__ or "").strip().splitlines()[0].rstrip(".")
        own = {key for key in model.model_fields if key != "before"}
        parts.append(f"**`{name}`**: {line}.")
        parts.append(_table(model.model_json_schema(), without=("before",)) if own else "No options.")
    return "\n\n".join(parts)


def _schema(model: type[BaseModel]) -> dict[str, Any]:
    """The model's JSON Schema, in which an optimizer that is a default says its name and what was set."""
    from simnet.optim import Optimizer

    schema = model.model_json_schema()
    for name, field in model.model_fields.items():
        if isinstance(field.default, Optimizer):
            written = {"name": field.default.name, **field.default.model_dump(exclude_unset=True)}
            schema["properties"][name]["default"] = written
    return schema


def _summary(kind: str, name: str) -> str:
    from simnet.tasks import registry

    return str(getattr(registry, kind)[name].summary)


def nested(model: str) -> str:
    """The keys of what topologies are made of: `NodeConfig`, `ExplicitLink`, `AccessConfig`, ..."""
    from simnet.network import shapes

    part: type[BaseModel] = getattr(shapes, model)
    return _table(part.model_json_schema())


def schedules() -> str:
    """The learning-rate schedules with their options."""
    from simnet.optim import schedule

    kinds = (schedule.Constant, schedule.Linear, schedule.Cosine, schedule.WSD, schedule.InverseSqrt)
    return "\n\n".join(
        f"**`{kind.model_fields['name'].default}`**: {(kind.__doc__ or '').strip().splitlines()[0]}\n\n"
        + _table(kind.model_json_schema(), without=("name",))
        for kind in kinds
    )


def devices() -> str:
    """The device profiles."""
    from simnet.compute import DEVICES
    from simnet.units import format_bytes, format_flops

    rows = [
        (
            f"`{device.name}`",
            format_flops(device.flops),
            f"{device.achieved:.0%}",
            "" if device.memory is None else format_bytes(device.memory),
            f"{device.source}. Achieved: {device.achieved_source}",
        )
        for device in DEVICES.values()
    ]
    return _rows(("name", "peak", "achieved", "memory", "source"), rows)


def units() -> str:
    """One row per kind of quantity, each example with what simnet reads it as."""
    from simnet import units as read

    kinds: tuple[tuple[str, Callable[[object], float], str, tuple[str, ...]], ...] = (
        ("time", read.seconds, "s", ("25 ms", "30 min", "2 h", "2 days")),
        ("data", read.bytes_, "bytes", ("100 MB", "1.5 GiB", "8 Mbit")),
        ("bandwidth", read.bytes_per_second, "bytes/s", ("100 Mbps", "12.5 MB/s", "1 Gbit/s")),
        ("arithmetic", read.flops_per_second, "FLOP/s", ("35 TFLOP/s", "500 GFLOPS")),
        ("count", read.count, "", ("124M", "1.3B", "20k", "8192")),
    )
    rows = [
        (name, ", ".join(f"`{text}` = {parse(text):,.10g} {unit}".strip() for text in texts))
        for name, parse, unit, texts in kinds
    ]
    return _rows(("quantity", "examples, and what they are read as"), rows)


def tables() -> str:
    """The columns of the tables in a run folder."""
    from simnet.results import parquet

    types = {"f64": "float64", "i64": "int64", "str": "string", "seconds": "map of string to float64"}
    parts = []
    for name, columns in parquet.TABLES.items():
        parts.append(f"`{name}.parquet`:")
        rows = [
            (f"`{column}`", types[kind.rstrip("?")], "may be null" if kind.endswith("?") else "")
            for column, kind in columns.items()
        ]
        parts.append(_rows(("column", "type", ""), rows))
    return "\n\n".join(parts)


def manifest() -> str:
    """The names of the fields of `manifest.json`."""
    from dataclasses import fields

    from simnet.results import Manifest

    return ", ".join(f"`{field.name}`" for field in fields(Manifest))


def _commands() -> dict[str, Any]:
    import typer

    from simnet.cli.main import app

    group: Any = typer.main.get_command(app)
    commands: dict[str, Any] = group.commands
    return commands


def command_names() -> list[str]:
    """The commands of the command line."""
    return list(_commands())


def command(*names: str) -> str:
    """Arguments and options of one command of the command line, or of a command of a command."""
    found = _commands()[names[0]]
    for name in names[1:]:
        found = found.commands[name]
    rows = []
    for parameter in found.params:
        text = " ".join(str(getattr(parameter, "help", "") or "").split())
        if parameter.name == "help":
            continue
        if parameter.param_type_name == "argument":
            many = " ..." if parameter.nargs == -1 else ""
            label = f"`{str(parameter.name).upper()}{many}`"
            label += "" if parameter.required else f", default `{parameter.default}`"
        else:
            value = "" if parameter.is_flag else f" {parameter.metavar or str(parameter.name).upper()}"
            label = f"`{parameter.opts[0]}{value}`"
        rows.append((label, _without_markup(text)))
    return _rows(("argument or option", "meaning"), rows)


def _without_markup(text: str) -> str:
    return text.replace("[cyan]", "`").replace("[/]", "`")


GENERATORS: dict[str, Callable[..., str]] = {
    "keys": keys,
    "options": options,
    "rules": rules,
    "nested": nested,
    "schedules": schedules,
    "devices": devices,
    "units": units,
    "tables": tables,
    "manifest": manifest,
    "command": command,
}


def _table(schema: Schema, without: Sequence[str] = ()) -> str:
    required = schema.get("required", [])
    rows = [
        (
            f"`{name}`",
            _kind(value),
            "required" if name in required else _default(value.get("default")),
            " ".join(str(value.get("description", "")).split()),
        )
        for name, value in schema.get("properties", {}).items()
        if name not in without
    ]
    return _rows(("key", "value", "default", "meaning"), rows)


def _rows(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in lines)


def _kind(value: Schema) -> str:
    """A value's type in a few words."""
    if "examples" in value:
        return " or ".join(f"`{example}`" for example in value["examples"])
    if "enum" in value:
        return ", ".join(f"`{choice}`" for choice in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if "$ref" in value:
        return SECTIONS[value["$ref"].rpartition("/")[2]]
    if isinstance(value.get("type"), list):  # a name or a mapping, as only codecs at cuts say it
        return "a [codec](scenario.md#boundaries)"
    alternatives = [item for item in _alternatives(value) if item.get("type") != "null"]
    if any("krum" in item.get("enum", ()) for item in alternatives):
        return "an [aggregation](robust-aggregation.md#rules-for-equal-vectors)"
    if any("properties" in item for item in alternatives):  # names, then mappings: else only optimizers are
        return "an [optimizer](scenario.md#optimizers)"
    if value.get("discriminator"):
        named = [item["$ref"].rpartition("/")[2] for item in alternatives if "$ref" in item]
        known = dict.fromkeys(SECTIONS[name] for name in named if name in SECTIONS)
        return " or ".join(known) or "a [schedule](#schedules)"
    if alternatives:
        return " or ".join(dict.fromkeys(_kind(item) for item in alternatives))
    if value.get("type") == "array":
        if "prefixItems" in value:
            return f"list of {len(value['prefixItems'])} ({_kind(value['prefixItems'][0])})"
        return f"list ({_kind(value['items'])})" if value.get("items") else "list"
    return {
        "string": "text",
        "integer": "whole number",
        "number": "number",
        "boolean": "true or false",
        "object": "mapping",
    }[value["type"]]


def _alternatives(value: Schema) -> Iterator[Schema]:
    yield from value.get("anyOf", [])
    yield from value.get("oneOf", [])


def _default(value: object) -> str:
    if value is None or value in ("", [], {}):
        return ""
    if isinstance(value, Mapping):
        if set(value) == {"name"}:
            return f"`{value['name']}`"
        return "`{" + ", ".join(f"{key}: {item}" for key, item in value.items() if item is not None) + "}`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def setup(app: "Sphinx") -> dict[str, bool]:
    """Register a directive for each generator."""
    from docutils import nodes
    from sphinx.util.docutils import SphinxDirective

    class Generated(SphinxDirective):
        optional_arguments = 1
        final_argument_whitespace = True
        generate: ClassVar[Callable[..., str]]

        def run(self) -> list[nodes.Node]:
            text = type(self).generate(*(self.arguments[0].split() if self.arguments else ()))
            return self.parse_text_to_nodes(text)

    for name, function in GENERATORS.items():
        app.add_directive(name, type(name, (Generated,), {"generate": staticmethod(function)}))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
