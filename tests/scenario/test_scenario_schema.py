import copy
from typing import Any

import pytest

from simnet.scenario import (
    Component,
    DeviceConfig,
    Scenario,
    ScenarioError,
    canonical,
    dump,
    load_text,
    validated,
)

MINIMAL: dict[str, Any] = {
    "name": "small",
    "network": {
        "topology": {"kind": "star", "nodes": 4},
        "link": {"bandwidth": "100 Mbps", "latency": "25 ms"},
    },
    "workers": {"count": 4, "device": "t4"},
    "task": {"name": "quadratic", "batch_size": 1, "optimizer": {"name": "sgd", "lr": 0.1}},
    "algorithms": ["allreduce"],
    "stop": {"time": "1 min"},
    "evaluate": {"every": "1 s"},
}


def with_(path: str, value: Any) -> dict[str, Any]:
    """`MINIMAL` with one value set."""
    mapping = copy.deepcopy(MINIMAL)
    *way, last = path.split(".")
    at: Any = mapping
    for key in way:
        at = at.setdefault(key, {})
    at[last] = value
    return mapping


def problems(mapping: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    """By dotted path: message, expected, suggestion."""
    with pytest.raises(ScenarioError) as caught:
        validated(Scenario, mapping, ())
    return {
        ".".join(map(str, problem.path)): (problem.message, problem.expected, problem.suggestion)
        for problem in caught.value.problems
    }


def test_a_minimal_scenario_has_the_documented_defaults() -> None:
    scenario = validated(Scenario, MINIMAL, ())
    assert scenario.seed == 0
    assert (scenario.device, scenario.threads, scenario.server) == ("auto", None, None)
    assert scenario.network.link.bandwidth == 12.5e6
    assert scenario.network.link.latency == 0.025
    assert (scenario.network.link.duplex, scenario.network.routing) == ("full", None)  # latency, mostly
    assert (scenario.network.collectives, scenario.network.all_reduce) == ("fluid", "ring")
    assert scenario.network.topology.kind == "star"
    assert scenario.network.topology.options == {"nodes": 4}
    assert [(group.count, group.device, group.speed) for group in scenario.workers] == [(4, "t4", 1.0)]
    assert scenario.task.partition == Component(name="iid")
    assert scenario.task.optimizer.options == {"lr": 0.1}
    assert [entry.label for entry in scenario.algorithms] == ["allreduce"]
    assert (scenario.evaluate.seconds, scenario.evaluate.steps) == (1.0, None)
    assert (scenario.sweep, scenario.expect) == ({}, ())
    assert (scenario.source, scenario.folder) == (None, None)


def test_bare_names_and_mappings_say_the_same() -> None:
    bare = validated(Scenario, with_("task.model", "mlp"), ())
    assert bare == validated(Scenario, with_("task.model", {"name": "mlp"}), ())
    assert bare.task.model == Component(name="mlp")


def test_an_inline_device() -> None:
    device = {"flops": "35 TFLOP/s", "achieved": 0.4, "memory": "24 GiB"}
    scenario = validated(Scenario, with_("workers.device", device), ())
    assert scenario.workers[0].device == DeviceConfig(flops="35 TFLOP/s", achieved=0.4, memory="24 GiB")


def test_steps_may_be_the_interval_of_evaluation() -> None:
    scenario = validated(Scenario, with_("evaluate.every", "10 steps"), ())
    assert (scenario.evaluate.seconds, scenario.evaluate.steps) == (None, 10)


def test_the_label_of_own_code_is_its_class_in_kebab_case() -> None:
    names = ["my_code:FedAvgM", "pkg.mod:Mine", "a:HTTPSync"]
    scenario = validated(Scenario, with_("algorithms", names), ())
    assert [entry.label for entry in scenario.algorithms] == ["fed-avg-m", "mine", "http-sync"]


def test_a_scenario_does_not_change() -> None:
    scenario = validated(Scenario, MINIMAL, ())
    with pytest.raises(ValueError, match="frozen"):
        scenario.seed = 2  # type: ignore[misc]


@pytest.mark.parametrize(
    ("path", "value", "at", "message", "expected", "suggestion"),
    [
        ("sede", 1, "sede", "unknown key", "one of name, description, seed", "seed"),
        (
            "network.link.bandwith",
            1,
            "network.link.bandwith",
            "unknown key",
            "one of bandwidth, lat",
            "bandwidth",
        ),
        ("workers.sped", 2, "workers.sped", "unknown key", "one of count, nodes", "speed"),
        ("stop.tim", 2, "stop.tim", "unknown key", "one of time, steps", "time"),
        ("weather", {}, "weather", "unknown key", "one of name", ""),
        ("batch", {}, "batch", "unknown key", "one of name", ""),
        ("network.link.bandwidth", 100, "network.link.bandwidth", "a number without a unit", "100 Mbps", ""),
        (
            "network.link.bandwidth",
            "0 Mbps",
            "network.link.bandwidth",
            "not more than zero",
            "more than zero",
            "",
        ),
        ("network.link.bandwidth", "-1 Mbps", "network.link.bandwidth", "negative", "100 Mbps", ""),
        (
            "network.link.latency",
            "25 MB",
            "network.link.latency",
            "an amount of data, not a time",
            "25 ms",
            "",
        ),
        ("network.link.latency", False, "network.link.latency", "not a time", "25 ms", ""),
        (
            "network.link.duplex",
            "Half",
            "network.link.duplex",
            "not one of the choices",
            "one of full, half",
            "half",
        ),
        ("network.link", "fast", "network.link", "not a mapping", "bandwidth, latency, duplex", ""),
        (
            "network.model",
            "tpc",
            "network.model",
            "not a transport model",
            "one of ideal, tcp, receiver-serialised, or a mapping such as {window: 4 MiB, loss: cubic}",
            "tcp",
        ),
        ("seed", -1, "seed", "wrong value", "greater than or equal to 0", ""),
        ("seed", True, "seed", "not a number", "a number", ""),
        ("seed", "1", "seed", "not a number", "a number", ""),
        ("seed", 1.5, "seed", "wrong value", "a whole number", ""),
        ("name", "a b", "name", "not usable in folder names", "letters, digits", ""),
        ("name", "../up", "name", "not usable in folder names", "letters, digits", ""),
        ("name", 5, "name", "wrong value", "text", ""),
        ("device", "gpu", "device", "not a device to compute on", "auto, cpu, cuda", ""),
        ("threads", 0, "threads", "wrong value", "greater than 0", ""),
        ("workers.count", 0, "workers.count", "wrong value", "greater than 0", ""),
        ("workers.speed", 0, "workers.speed", "wrong value", "greater than 0", ""),
        ("workers.speed", float("nan"), "workers.speed", "wrong value", "", ""),
        ("workers.nodes", ["a"], "workers.count", "given twice", "", ""),
        ("workers.nodes", [], "workers.nodes", "empty", "at least 1", ""),
        ("workers.device", {"flops": "1 TFLOP/s"}, "workers.device.achieved", "missing key", "Fraction", ""),
        (
            "workers.device",
            {"flops": "1 TFLOP/s", "achieved": 1.1},
            "workers.device.achieved",
            "wrong value",
            "less than or equal to 1",
            "",
        ),
        (
            "workers",
            [{"device": "t4"}, {"device": "t4"}],
            "workers.1",
            "group 0 already takes",
            "`count` or `nodes`",
            "",
        ),
        ("workers", [], "workers", "empty", "at least 1", ""),
        ("task.batch_size", "ful", "task.batch_size", "not a batch size", "or full", ""),
        ("task.batch_size", 0, "task.batch_size", "not a batch size", "or full", ""),
        ("task.batch_size", True, "task.batch_size", "not a batch size", "or full", ""),
        ("task.optimizer", {"lr": 1}, "task.optimizer.name", "missing key", "Its name", ""),
        ("task.charge_as", {"parameters": "1.3 X"}, "task.charge_as.parameters", "not a count", "1.3B", ""),
        (
            "task.charge_as",
            {"parameters": "1B", "tokens_per_step": 1, "samples_per_step": 1},
            "task.charge_as.samples_per_step",
            "given beside `tokens_per_step`",
            "one of tokens_per_step, samples_per_step",
            "",
        ),
        ("algorithms", [], "algorithms", "empty", "at least 1", ""),
        ("algorithms", "diloco", "algorithms", "not a list", "a list", ""),
        ("algorithms", ["a", "a"], "algorithms.1", "a second algorithm called a", "`label:`", "label: a-2"),
        (
            "algorithms",
            [{"name": "a", "label": "x y"}],
            "algorithms.0.label",
            "not usable in folder",
            "letters",
            "",
        ),
        ("stop", {"loss": 2}, "stop", "a run might never end", "one of time, steps, bytes", ""),
        ("stop.time", 0, "stop.time", "not more than zero", "more than zero", ""),
        ("stop.steps", "10", "stop.steps", "not a number", "a number", ""),
        ("evaluate.every", 10, "evaluate.every", "a number without a unit", "10 steps", ""),
        ("evaluate.every", "0 steps", "evaluate.every", "must be more than zero", "10 steps", ""),
        ("evaluate.every", "ten steps", "evaluate.every", "not a count", "10 steps", ""),
        ("expect", ["time(allredcue) < 1"], "expect.0", "unknown algorithm", "allreduce", "allreduce"),
    ],
)
def test_each_error_names_key_expectation_and_suggestion(
    path: str, value: Any, at: str, message: str, expected: str, suggestion: str
) -> None:
    found = problems(with_(path, value))
    assert list(found) == [at]
    assert message in found[at][0]
    assert expected in found[at][1]
    assert found[at][2] == suggestion


@pytest.mark.parametrize("key", ["name", "network", "workers", "task", "algorithms", "stop"])
def test_what_has_no_default_must_be_given(key: str) -> None:
    found = problems({name: value for name, value in MINIMAL.items() if name != key})
    assert found[key][0] == "missing key"
    assert found[key][1]  # says what belongs there


def test_all_problems_are_told_at_once() -> None:
    mapping = with_("network.link.bandwith", 1) | {"sede": 3, "stop": {}, "algorithms": ["a", "a"]}
    mapping["expect"] = ["time(b) <"]
    found = problems(mapping)
    assert set(found) == {"network.link.bandwith", "sede", "stop", "algorithms.1", "expect.0"}


def test_an_options_key_that_is_called_like_a_part_of_pydantic_is_located() -> None:
    found = problems(with_("workers.device", {"name": "x", "inline": 1, "flops": "1 TFLOP/s", "achieved": 1}))
    assert set(found) == {"workers.device.name", "workers.device.inline"}


def test_equality_is_of_what_is_said_not_of_where() -> None:
    text = dump(validated(Scenario, MINIMAL, ()))
    here, there = (load_text(text, name=name).scenarios[0].scenario for name in ("a.yaml", "b.yaml"))
    assert here == there
    assert here != here.model_copy(update={"seed": 1})


def test_spellings_of_one_quantity_have_one_canonical_form() -> None:
    one = validated(Scenario, with_("network.link.bandwidth", "1 Gbps"), ())
    other = validated(Scenario, with_("network.link.bandwidth", "125 MB/s"), ())
    assert canonical(one) == canonical(other)
    assert list(canonical(one)) == sorted(canonical(one))


@pytest.mark.parametrize(
    ("stop", "steps", "seconds"),
    [({"steps": 100}, 5, None), ({"steps": 7}, 1, None), ({"time": "1 h"}, None, 180.0)],
)
def test_evaluation_is_twenty_times_over_the_run_if_nothing_is_said(
    stop: dict[str, Any], steps: int | None, seconds: float | None
) -> None:
    mapping = {key: value for key, value in MINIMAL.items() if key != "evaluate"}
    evaluate = Scenario.model_validate({**mapping, "stop": stop}).evaluate
    assert (evaluate.steps, evaluate.seconds) == (steps, seconds)


def test_evaluation_must_be_given_where_nobody_can_say_how_long_a_run_takes() -> None:
    mapping = {key: value for key, value in MINIMAL.items() if key != "evaluate"}
    assert "evaluate" in problems({**mapping, "stop": {"bytes": "1 GB"}})
