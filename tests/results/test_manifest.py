from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

import pytest

from simnet.results import Manifest, ResultsError

LATER = {"reason": "", "emulation": {}}
"""Keys that came while the schema was 3, and what runs of before say."""


def test_json_has_exactly_the_documented_keys_sorted(manifest: Manifest, fields: dict[str, Any]) -> None:
    pairs = json.loads(manifest.to_json(), object_pairs_hook=list)
    assert [key for key, _ in pairs] == sorted([*fields, "schema", "scenario", "prices", *LATER])
    assert json.loads(manifest.to_json())["schema"] == 3
    assert manifest.to_json().startswith('{\n  "algorithm": "diloco",\n')


def test_round_trip(manifest: Manifest) -> None:
    assert Manifest.from_json(manifest.to_json()) == manifest


def test_numbers_that_json_lacks_survive_as_valid_json(fields: dict[str, Any]) -> None:
    values = {"loss": math.nan, "up": math.inf, "down": -math.inf}
    text = Manifest(**(fields | {"final": values})).to_json()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    back = Manifest.from_json(text).final
    assert math.isnan(back["loss"])
    assert (back["up"], back["down"]) == (math.inf, -math.inf)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": ""}, "label"),
        ({"seed": 1.0}, "seed"),
        ({"seed": True}, "seed"),
        ({"torch_threads": 0}, "torch_threads"),
        ({"worker_steps": -1}, "worker_steps"),
        ({"wall_seconds": math.inf}, "wall_seconds"),
        ({"virtual_seconds": "60 s"}, "virtual_seconds"),
        ({"utilization": 1.5}, "utilization"),
        ({"versions": {"simnet": "0"}}, "versions"),
        ({"final": {"loss": None}}, "final.loss"),
        ({"final": [2.5]}, "final"),
        ({"schema": 4}, "schema"),
    ],
)
def test_impossible_values_are_refused_by_name(
    fields: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ResultsError, match=message):
        Manifest(**(fields | change))


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Manifest)])
def test_reading_is_strict(manifest: Manifest, name: str) -> None:
    data = json.loads(manifest.to_json())
    missing = {key: value for key, value in data.items() if key != name}
    if name in LATER:
        assert getattr(Manifest.from_json(json.dumps(missing)), name) == LATER[name]
    else:
        with pytest.raises(ResultsError, match="schema" if name == "schema" else f"missing: {name}"):
            Manifest.from_json(json.dumps(missing))
    with pytest.raises(ResultsError, match=f"unknown: {name}s2"):
        Manifest.from_json(json.dumps(data | {f"{name}s2": 1}))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"schema": 9}'])
def test_what_is_no_manifest_is_refused(text: str) -> None:
    with pytest.raises(ResultsError):
        Manifest.from_json(text)
