"""The scenario as a JSON Schema, so that editors complete and check the YAML while it is typed."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from simnet.scenario.network import TopologyConfig
from simnet.scenario.schema import AlgorithmEntry, Scenario
from simnet.scenario.task import TaskConfig
from simnet.scenario.validate import PLUGIN

Components = Mapping[str, Mapping[str, type[BaseModel] | None]]
"""Per kind of component, its names and the model of each one's options (None: any options)."""

# Where each kind of component stands: the section, its key there, and the key that holds the name.
_PLACES = {
    "tasks": None,
    "topologies": ("NetworkConfig", "topology", "kind"),
    "algorithms": ("Scenario", "algorithms", "name"),
    "datasets": ("TaskConfig", "dataset", "name"),
    "models": ("TaskConfig", "model", "name"),
    "partitions": ("TaskConfig", "partition", "name"),
    "optimizers": ("TaskConfig", "optimizer", "name"),
    "devices": None,
    "boundaries": None,
}
_OWN_KEYS = {
    "topologies": tuple(TopologyConfig.model_fields),
    "algorithms": tuple(AlgorithmEntry.model_fields),
    "tasks": tuple(TaskConfig.model_fields),
}
_DEFS = "#/$defs/"


def json_schema(components: Components) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of a scenario file, with the names and options of ``components``.

    The kinds are ``algorithms``, ``optimizers``, ``models``, ``datasets``, ``partitions``, ``topologies``,
    ``tasks``, ``devices`` and ``boundaries``; a kind that is not given stays open. A name may always be
    ``module:attribute`` too, whose options are not known here. Raises `KeyError` for another kind.
    """
    for kind in components:
        _PLACES[kind]
    named = [model for models in components.values() for model in models.values() if model is not None]
    unique: list[type[BaseModel]] = list(dict.fromkeys([Scenario, *named]))
    references, shared = models_json_schema(
        [(model, "validation") for model in unique], ref_template=_DEFS + "{model}"
    )
    definitions: dict[str, Any] = shared.get("$defs", {})
    for kind, models in components.items():
        reference_of = {
            name: None if model is None else references[(model, "validation")]["$ref"]
            for name, model in models.items()
        }
        _insert(kind, reference_of, definitions)
    return _finished(definitions)


def _insert(kind: str, models: Mapping[str, str | None], definitions: dict[str, Any]) -> None:
    if kind == "devices":
        for section in ("WorkerGroup", "ServerConfig"):
            device = definitions[section]["properties"]["device"]
            key = "oneOf" if "oneOf" in device else "anyOf"
            named = {"enum": list(models)}
            device[key] = [named if branch.get("type") == "string" else branch for branch in device[key]]
        return
    if kind == "boundaries":  # options of algorithms, which say of what form they are
        return
    if kind == "tasks":
        _choose_by_name(definitions["TaskConfig"], "name", models, _OWN_KEYS[kind], definitions)
        return
    place = _PLACES[kind]
    assert place is not None
    section, key, name_key = place
    base = {"topologies": "TopologyConfig", "algorithms": "AlgorithmEntry"}.get(kind, "Component")
    component = {**definitions[base], "title": kind, "properties": dict(definitions[base]["properties"])}
    _choose_by_name(component, name_key, models, _OWN_KEYS.get(kind, ("name",)), definitions)
    if kind == "topologies":  # networkx's generators are too many to list
        component["properties"][name_key]["anyOf"].append({"type": "string"})
    definitions[kind] = {"anyOf": [component["properties"][name_key], component]}
    slot = definitions[section]["properties"][key]
    reference = {"$ref": f"{_DEFS}{kind}"}
    if kind == "algorithms":
        slot["items"] = reference
    else:
        optional = [{"type": "null"}] if {"type": "null"} in slot.get("anyOf", ()) else []
        description = {name: slot[name] for name in ("description", "default") if name in slot}
        definitions[section]["properties"][key] = description | {"anyOf": [reference, *optional]}


def _choose_by_name(
    component: dict[str, Any],
    name_key: str,
    models: Mapping[str, str | None],
    own: Iterable[str],
    definitions: Mapping[str, Any],
) -> None:
    """Let ``component`` name one of ``models``, and have that one's options beside its ``own`` keys."""
    described = component["properties"][name_key].get("description")
    component["properties"][name_key] = _name(models) | ({"description": described} if described else {})
    component["allOf"] = [
        {
            "if": {"properties": {name_key: {"const": name}}, "required": [name_key]},
            "then": _options(definitions[reference.removeprefix(_DEFS)], own),
        }
        for name, reference in models.items()
        if reference is not None
    ]


def _options(model: Mapping[str, Any], own: Iterable[str]) -> dict[str, Any]:
    closed = model.get("additionalProperties") is False
    properties: dict[str, Any] = dict.fromkeys(own, True) | dict(model.get("properties", {}))
    kept = {key: model[key] for key in ("description", "required") if key in model}
    return kept | {"properties": properties} | ({"additionalProperties": False} if closed else {})


def _name(names: Iterable[str]) -> dict[str, Any]:
    return {"anyOf": [{"enum": list(names)}, {"type": "string", "pattern": f"^{PLUGIN.pattern}$"}]}


def _finished(definitions: dict[str, Any]) -> dict[str, Any]:
    scenario = definitions.pop("Scenario")
    # The YAML may be shorter than the model: a bare name for a component, one group for a list of groups.
    for short, key in (("Component", "name"), ("AlgorithmEntry", "name"), ("TopologyConfig", "kind")):
        if short in definitions:
            bare = {"type": "string", "description": f"The {key} alone."}
            definitions[short] = {"anyOf": [bare, definitions[short]]}
    workers = scenario["properties"]["workers"]
    group = {"$ref": f"{_DEFS}WorkerGroup"}
    scenario["properties"]["workers"] = {
        "description": workers["description"],
        "anyOf": [group, {"type": "array", "items": group, "minItems": 1}],
    }
    faults = definitions["FaultsConfig"]["properties"]
    for key, value in faults.items():
        if value.get("type") == "array":
            kept = {name: value[name] for name in ("description", "default") if name in value}
            entries = {"type": "array", "items": value["items"]}
            faults[key] = {**kept, "anyOf": [value["items"], entries]}
    _let_use(definitions)
    whole = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "simnet scenario",
        **{key: value for key, value in scenario.items() if key != "title"},
        "$defs": definitions,
    }
    standard: dict[str, Any] = _standard(whole)
    return standard


def _let_use(definitions: dict[str, Any]) -> None:
    """Let a network name a file whose network it uses, and then leave everything else to that."""
    name = {
        "type": "string",
        "description": "A file or a network of the library, such as networks/wan-100m, that is used.",
    }
    network = definitions["NetworkConfig"]
    network["properties"] = {"use": name, **network["properties"]}
    required = network.pop("required", [])
    network["anyOf"] = [{"required": ["use"]}, {"required": required}]
    definitions["NetworkConfig"] = {"anyOf": [name, network]}


_BOUNDS = {"gt": "exclusiveMinimum", "ge": "minimum", "lt": "exclusiveMaximum", "le": "maximum"}


def _standard(schema: Any) -> Any:
    """The same in the standard's words for bounds, where pydantic left its own (after other validators)."""
    if isinstance(schema, list):
        return [_standard(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        _BOUNDS[key] if key in _BOUNDS and isinstance(value, int | float) else key: _standard(value)
        for key, value in schema.items()
    }
