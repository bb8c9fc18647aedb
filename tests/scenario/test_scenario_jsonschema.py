import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from simnet.scenario import json_schema


class Momentum(BaseModel):
    """Momentum."""

    model_config = ConfigDict(extra="forbid")
    lr: float = Field(description="Learning rate.")


class Diloco(BaseModel):
    """Local steps, then an outer step."""

    model_config = ConfigDict(extra="forbid")
    local_steps: int = Field(50, description="Steps between synchronisations.")
    outer: Momentum = Momentum(lr=0.7)


class Star(BaseModel):
    """A star."""

    model_config = ConfigDict(extra="forbid")
    nodes: int


COMPONENTS: dict[str, dict[str, type[BaseModel] | None]] = {
    "algorithms": {"diloco": Diloco, "allreduce": None},
    "optimizers": {"momentum": Momentum},
    "models": {"gpt": None},
    "datasets": {"digits": None},
    "partitions": {"iid": None},
    "topologies": {"star": Star},
    "tasks": {"classification": None},
    "devices": {"t4": None, "h100": None},
}


def subschemas(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for below in schema.values():
            yield from subschemas(below)
    elif isinstance(schema, list):
        for below in schema:
            yield from subschemas(below)


@pytest.mark.parametrize("components", [{}, COMPONENTS, {"devices": {"t4": None}}])
def test_every_reference_leads_somewhere_and_it_is_json(components: dict[str, Any]) -> None:
    schema = json.loads(json.dumps(json_schema(components)))
    assert schema["$schema"].endswith("2020-12/schema")
    references = [below["$ref"] for below in subschemas(schema) if isinstance(below.get("$ref"), str)]
    assert references
    for reference in references:
        assert reference.removeprefix("#/$defs/") in schema["$defs"]


def test_every_key_of_a_scenario_is_there_with_its_description() -> None:
    schema = json_schema(COMPONENTS)
    assert {"name", "network", "workers", "task", "algorithms", "stop"} == set(schema["required"])
    assert all(key.get("description") for key in schema["properties"].values())
    assert schema["additionalProperties"] is False
    quantity, *changing = schema["$defs"]["LinkConfig"]["properties"]["bandwidth"]["oneOf"]
    assert (quantity["type"], quantity["examples"]) == ("string", ["100 Mbps", "12.5 MB/s"])
    forms = ("Trace", "Mahimahi", "BandwidthWave", "BandwidthOnOff")
    assert [form["$ref"].removeprefix("#/$defs/") for form in changing] == list(forms)


def test_an_algorithm_is_named_or_own_code_and_its_options_are_its_model_s() -> None:
    schema = json_schema(COMPONENTS)
    bare, mapping = schema["$defs"]["algorithms"]["anyOf"]
    assert bare["anyOf"][0] == {"enum": ["diloco", "allreduce"]}
    assert mapping["properties"]["name"]["anyOf"][1]["pattern"].startswith("^[A-Za-z_]")
    [rule] = mapping["allOf"]
    assert rule["if"]["properties"] == {"name": {"const": "diloco"}}
    assert set(rule["then"]["properties"]) == {"name", "label", "checkpoint", "local_steps", "outer"}
    assert rule["then"]["properties"]["local_steps"]["description"] == "Steps between synchronisations."
    assert rule["then"]["additionalProperties"] is False


def test_an_unknown_kind_of_component_is_refused() -> None:
    with pytest.raises(KeyError, match="modles"):
        json_schema({"modles": {}})


def test_bounds_are_those_of_the_standard() -> None:
    schema = json_schema(COMPONENTS)
    assert schema["$defs"]["WorkerGroup"]["properties"]["speed"]["exclusiveMinimum"] == 0
    assert not [word for word in ('"gt"', '"ge"', '"lt"', '"le"') if word in json.dumps(schema)]
