"""Ranges, zipped axes, seeds and conditions: what points a sweep stands for."""

import itertools
import math
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from simnet.scenario import ScenarioError, expand, load_text
from simnet.units import bytes_per_second, seconds

BASE: dict[str, Any] = {
    "seed": 3,
    "network": {"topology": "ring", "link": {"bandwidth": "1 Mbps", "latency": "1 ms"}},
    "workers": {"count": 2},
    "algorithms": ["allreduce", {"name": "diloco", "local_steps": 5}],
    "stop": {"steps": 1},
}


def points(sweep: dict[str, Any]) -> list[dict[str, Any]]:
    return [point.point for point in expand({**BASE, "sweep": sweep})]


def values(given: Any, key: str = "stop.steps") -> list[Any]:
    return [point[key] for point in points({key: given})]


def problem(sweep: dict[str, Any]) -> str:
    with pytest.raises(ScenarioError) as caught:
        expand({**BASE, "sweep": sweep})
    return str(caught.value)


def test_logspace_multiplies_by_one_factor() -> None:
    found = values({"logspace": ["1 Mbps", "1 Gbps"], "points": 4}, "network.link.bandwidth")
    assert found == ["1 Mbps", "10 Mbps", "100 Mbps", "1000 Mbps"]


@given(
    st.floats(1e-6, 1e6), st.floats(1e-6, 1e6), st.integers(2, 40), st.sampled_from(["Mbps", "kB/s", "Gbps"])
)
def test_logspace_and_linspace_have_their_ends_and_even_gaps(
    first: float, last: float, number: int, unit: str
) -> None:
    ends = [f"{first!r} {unit}", f"{last!r} {unit}"]
    exact = [bytes_per_second(end) for end in ends]
    assume(not math.isclose(*exact, rel_tol=1e-3))
    for kind, measure in (("logspace", math.log), ("linspace", float)):
        texts = values({kind: ends, "points": number}, "network.link.bandwidth")
        rates = [bytes_per_second(text) for text in texts]
        assert len(rates) == number
        assert [rates[0], rates[-1]] == pytest.approx(exact, rel=1e-11)
        places = [measure(rate) for rate in rates]
        gap = (measure(exact[1]) - measure(exact[0])) / (number - 1)
        for i, place in enumerate(places):
            scale = max(map(abs, places))
            assert place == pytest.approx(measure(exact[0]) + gap * i, rel=1e-9, abs=1e-9 * scale)


@given(st.integers(-50, 50), st.integers(-50, 50), st.integers(-7, 7).filter(bool))
def test_range_is_that_of_python(start: int, stop: int, step: int) -> None:
    expected = list(range(start, stop, step))
    if expected:
        found = values({"range": [start, stop, step]})
        assert found == expected
        assert all(type(value) is int for value in found)
    else:
        assert "an empty range" in problem({"stop.steps": {"range": [start, stop, step]}})


def test_a_range_of_quantities_is_exact() -> None:
    found = values({"range": ["0 ms", "1 s", "100 ms"]}, "network.link.latency")
    assert [seconds(text) for text in found] == [i / 10 for i in range(10)]  # not 0.30000000000000004
    assert values({"range": [0, 0.5, 0.1]}, "algorithms.1.share") == [0.0, 0.1, 0.2, 0.3, 0.4]
    assert values({"range": 3}) == [0, 1, 2]


def test_whole_numbers_stay_whole() -> None:
    assert values({"logspace": [1, 1000], "points": 4}) == [1, 10, 100, 1000]
    assert [type(value) for value in values({"linspace": [0, 1], "points": 3})] == [int, float, int]


def test_seeds_count_from_the_scenarios_own() -> None:
    assert values({"range": 2}) == [0, 1]
    assert points({"seeds": 3}) == [{"seed": 3}, {"seed": 4}, {"seed": 5}]


@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 3))
def test_zipped_axes_go_together_and_the_rest_is_a_grid(length: int, latencies: int, seeds: int) -> None:
    counts = [2 * i + 1 for i in range(length)]
    sweep = {
        "network.link.latency": [f"{i} ms" for i in range(latencies)],
        "zip": {"workers.count": counts, "stop.steps": {"range": length}},
        "seeds": seeds,
    }
    expected = [
        {"network.link.latency": f"{i} ms", "workers.count": counts[j], "stop.steps": j, "seed": 3 + k}
        for i, j, k in itertools.product(range(latencies), range(length), range(seeds))
    ]
    assert points(sweep) == expected
    for point in expand({**BASE, "sweep": sweep}):
        assert point.resolved["workers"]["count"] == 2 * point.resolved["stop"]["steps"] + 1


@given(st.lists(st.integers(0, 9), min_size=1), st.lists(st.integers(0, 9), min_size=1), st.integers(0, 90))
def test_a_condition_leaves_out_what_a_filter_would(steps: list[int], local: list[int], most: int) -> None:
    sweep = {"stop.steps": steps, "algorithms.diloco.local_steps": local}
    kept = [
        point
        for point in points(sweep)
        if point["stop.steps"] * point["algorithms.diloco.local_steps"] <= most
    ]
    sweep["when"] = f"stop.steps * algorithms.diloco.local_steps <= {most}"  # type: ignore[assignment]
    if kept:
        assert points(sweep) == kept
    else:
        assert "leaves no point" in problem(sweep)


def test_conditions_know_units_and_text() -> None:
    sweep = {"network.link.latency": ["5 ms", "2 s"], "network.topology": ["ring", "star"]}
    assert points({**sweep, "when": "network.link.latency < 1 s"}) == [
        {"network.link.latency": "5 ms", "network.topology": "ring"},
        {"network.link.latency": "5 ms", "network.topology": "star"},
    ]
    both = ["network.topology != 'ring'", "(network.link.latency + 1 s) * 2 >= 6 s"]
    assert points({**sweep, "when": both}) == [{"network.link.latency": "2 s", "network.topology": "star"}]


def test_whole_sections_can_be_swept() -> None:
    sweep = {"network": ["networks/lan-1g", {"topology": "star", "link": {"latency": "9 ms"}}]}
    found = [point.resolved["network"] for point in expand({**BASE, "sweep": sweep})]
    assert found == sweep["network"]


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"stop.steps": {"logspase": [1, 2], "points": 2}}, "did you mean `logspace`?"),
        ({"stop.steps": {"logspace": [1, 2]}}, "sweep.stop.steps.points: not a number of points"),
        ({"stop.steps": {"logspace": [1, 2], "points": True}}, "not a number of points"),
        ({"stop.steps": {"logspace": [1, 2], "point": 3, "points": 3}}, "did you mean `points`?"),
        ({"stop.steps": {"logspace": [0, 2], "points": 3}}, "has no logarithm"),
        ({"stop.steps": {"linspace": [1, 2, 3], "points": 3}}, "not two values"),
        ({"stop.steps": {"linspace": ["1 s", "1 Mbps"], "points": 3}}, "not measured in s"),
        ({"stop.steps": {"linspace": ["1 s", 2], "points": 3}}, "not measured in s"),
        ({"stop.steps": {"linspace": ["1 parsec", "2 parsec"], "points": 3}}, "parsec"),
        ({"stop.steps": {"linspace": ["fast", "slow"], "points": 3}}, "not a number"),
        ({"stop.steps": {"linspace": [1, math.inf], "points": 3}}, "not a number"),
        ({"stop.steps": {"range": [0, 5, 0]}}, "without end"),
        ({"stop.steps": {"range": [0, 1e9]}}, "1000000000 values"),
        ({"stop.steps": {"range": []}}, "not a range"),
        ({"stop.steps": 3}, "not a list"),
        ({"zip": {"stop.steps": [1, 2], "workers.count": [1]}}, "stop.steps has 2, workers.count has 1"),
        ({"zip": [[1]]}, "sweep.zip.0: not a mapping"),
        ({"zip": {"stop.steps": [1]}, "stop.steps": [2]}, "swept twice"),
        ({"zip": [{"seed.x": [1]}]}, "sweep.zip.0.seed.x: names nothing"),
        ({"seeds": 2, "seed": [0]}, "swept twice"),
        ({"seeds": 0}, "not a number of seeds"),
        ({"seeds": 2, "when": "sed < 2"}, "did you mean `seed`?"),
        ({"seeds": 2, "when": "seed < "}, "the line ends at column 8"),
        ({"seeds": 2, "when": "seed"}, "nothing is compared"),
        ({"seeds": 2, "when": 3}, "not a comparison"),
        ({"seeds": 2, "when": ["seed < 9", "seed < 'a'"]}, "sweep.when.1: cannot be worked out for seed=3"),
        ({"network": [{"use": "x"}], "when": "network == 'x'"}, "cannot be worked out"),
        ({"when": "1 < 2"}, "nothing is swept"),
        ({"name": ["a", "b"]}, "`name` cannot be swept"),
    ],
)
def test_what_cannot_be_read_is_told(sweep: dict[str, Any], message: str) -> None:
    assert message in problem(sweep)


TEXT = """\
name: small
network: {topology: star, link: {bandwidth: 1 Gbps, latency: 1 ms}}
workers: {count: 2, device: cpu}
task: {name: classification, batch_size: 8, optimizer: {name: sgd, lr: 0.1}}
algorithms: [allreduce, {name: diloco, local_steps: 2}]
stop: {steps: 4}
sweep:
  stop.steps: {linspace: [1, 4], points: 3}
  zip:
    - network.link.latency: [1 ms, 2 ms]
      network.link.bandwidth: [1 Gbps, 2]
  when: stop.steps < 9
"""


def test_a_value_of_an_axis_is_blamed_on_its_line() -> None:
    with pytest.raises(ScenarioError) as caught:
        load_text(TEXT, name="x.yaml")
    message = str(caught.value)
    assert "x.yaml:8: stop.steps: wrong value" in message  # 2.5 steps
    assert "x.yaml:11: network.link.bandwidth" in message
    broken = TEXT.replace("points: 3", "point: 3").replace("< 9", "<> 9").replace(", 2]", "]")
    with pytest.raises(ScenarioError) as caught:
        load_text(broken, name="x.yaml")
    message = str(caught.value)
    for place in ("x.yaml:8: sweep.stop.steps", "x.yaml:10: sweep.zip.0: axes", "x.yaml:12: sweep.when"):
        assert place in message


def test_the_json_schema_takes_every_form() -> None:
    from simnet.scenario.axes import sweep_schema

    stated = sweep_schema()
    forms = stated["additionalProperties"]["anyOf"]
    assert {key for form in forms for key in form.get("properties", {})} == {
        *("logspace", "linspace", "range", "points")
    }
    assert set(stated["properties"]) == {"zip", "when", "seeds"}
