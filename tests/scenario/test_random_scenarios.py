"""Random valid scenarios: they are read back equal, and an unknown key is found anywhere in them."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simnet import units
from simnet.scenario import (
    Scenario,
    ScenarioError,
    canonical,
    dump,
    load_text,
    validated,
)

words = st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True)
text = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=12)
leaves = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | text
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3), max_leaves=5
)
reserved = {"name", "label", "kind", *Scenario.model_fields}
reserved |= {"dataset", "model", "partition", "batch_size", "optimizer", "charge_as", "options"}
options = st.dictionaries(words.filter(lambda word: word not in reserved), values, max_size=3)
components = words | st.builds(lambda name, more: {"name": name, **more}, words, options)
amounts = st.floats(1e-9, 1e15)
bandwidths = amounts.map(lambda value: units.format_bandwidth(value, exact=True))
times = amounts.map(lambda value: units.format_seconds(value, exact=True))
data = amounts.map(lambda value: units.format_bytes(value, exact=True))
rates = amounts.map(lambda value: units.format_flops(value, exact=True))
counts = st.integers(1, 10**6)
fractions = st.floats(0, 1, exclude_min=True)


def sections(required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(required, optional=optional)


limits = {"uplink": bandwidths, "downlink": bandwidths, "speed": st.floats(0.01, 100)}
devices = words | sections({"flops": rates, "achieved": fractions}, {"memory": data})
groups = st.lists(sections({"device": devices, "count": counts}, limits), min_size=1, max_size=3)
nodes = sections({"device": devices, "nodes": st.lists(words, min_size=1, max_size=3)}, limits)
scenarios = sections(
    {
        "name": words,
        "network": sections(
            {
                "topology": st.builds(lambda kind, more: {"kind": kind, **more}, words, options),
                "link": sections(
                    {"bandwidth": bandwidths, "latency": times | st.just(0)},
                    {"duplex": st.sampled_from(["full", "half"])},
                ),
            },
            {
                "routing": st.sampled_from(["latency", "hops", "bandwidth"]),
                "all_reduce": st.sampled_from(["ring", "tree", "auto"]),
            },
        ),
        "workers": groups | nodes | sections({"device": devices}, limits),
        "task": st.builds(
            lambda fixed, more: {**more, **fixed},
            sections(
                {"name": words, "batch_size": counts | st.just("full"), "optimizer": components},
                {
                    "dataset": components,
                    "model": components,
                    "partition": components,
                    "charge_as": sections({"parameters": counts}, {"tokens_per_step": counts}),
                },
            ),
            options,
        ),
        "algorithms": st.lists(
            components, min_size=1, max_size=3, unique_by=lambda c: c if isinstance(c, str) else c["name"]
        ),
        "stop": sections({"time": times}, {"steps": counts, "bytes": data, "loss": st.floats(-10, 10)}),
        "evaluate": sections({"every": times | counts.map("{} steps".format)}, {"samples": counts}),
    },
    {
        "description": text,
        "seed": st.integers(0, 2**63),
        "threads": counts,
        "server": sections({}, {"node": words, "device": devices, **limits}),
        "expect": st.just(["1 < 2", "30 min > 3 s"]),
    },
)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios)
def test_what_is_dumped_loads_back_equal(mapping: dict[str, Any]) -> None:
    scenario = validated(Scenario, mapping, ())
    again = load_text(dump(scenario)).scenarios[0].scenario
    assert again == scenario
    assert canonical(again) == canonical(scenario)
    assert dump(again) == dump(scenario)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of all mappings that the schema closes."""
    open_keys = {"topology", "optimizer", "dataset", "model", "partition", "algorithms", "task"}
    found = [path] if isinstance(value, dict) and not (path and path[-1] in open_keys) else []
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        if key not in open_keys - {"task"} and (path[:1] != ("task",) or key == "charge_as"):
            found += places(below, (*path, key))
    return [at for at in found if at[:1] != ("task",) or at[-1] == "charge_as"]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(scenarios, st.data())
def test_an_unknown_key_anywhere_is_named_with_its_line(
    mapping: dict[str, Any], choice: st.DataObject
) -> None:
    text = dump(validated(Scenario, mapping, ())).splitlines()
    resolved = load_text("\n".join(text)).mapping
    path = choice.draw(st.sampled_from(places(resolved)))
    at: Any = resolved
    for key in path:
        at = at[key]
    at["zzz_unknown"] = 1
    written = dump_plain(resolved)
    with pytest.raises(ScenarioError) as caught:
        load_text(written, name="x.yaml")
    [problem] = caught.value.problems
    assert problem.path == (*path, "zzz_unknown")
    assert problem.message == "unknown key"
    line = next(i for i, row in enumerate(written.splitlines(), 1) if "zzz_unknown" in row)
    assert str(caught.value).startswith(f"x.yaml:{line}: {'.'.join(map(str, problem.path))}: unknown key\n")


def dump_plain(value: Any) -> str:
    import io

    from ruamel.yaml import YAML

    stream = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.dump(value, stream)
    return stream.getvalue()
