import copy
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.scenario import ScenarioError, Source, expand
from simnet.scenario.overrides import with_overrides, with_value

BASE: dict[str, Any] = {
    "seed": 0,
    "network": {"topology": "ring", "link": {"latency": "1 ms"}},
    "workers": [{"count": 2}, {"count": 3}],
    "task": {"model": "gpt"},
    "algorithms": [
        "allreduce",
        {"name": "diloco", "label": "slow-0.5"},
        {"name": "my:FedAvg"},
        {"name": "diloco"},
    ],
}


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("seed", ("seed",)),
        ("network.link.latency", ("network", "link", "latency")),
        ("network.topology.nodes", ("network", "topology", "nodes")),
        ("workers.1.count", ("workers", 1, "count")),
        ("task.model.width", ("task", "model", "width")),
        ("server.uplink", ("server", "uplink")),
        ("algorithms.diloco.local_steps", ("algorithms", 3, "local_steps")),
        ("algorithms.slow-0.5.local_steps", ("algorithms", 1, "local_steps")),
        ("algorithms.slow-0.5", ("algorithms", 1)),
        ("algorithms.fed-avg.share", ("algorithms", 2, "share")),
        ("algorithms.allreduce.x.y", ("algorithms", 0, "x", "y")),
    ],
)
def test_a_dotted_key_sets_one_value_and_nothing_else(key: str, path: tuple[str | int, ...]) -> None:
    before = copy.deepcopy(BASE)
    changed, found = with_value(BASE, key, "new")
    assert found == path
    assert before == BASE  # the original is not touched
    at: Any = changed
    for part in path:
        at = at[part]
    assert at == "new"
    for name in BASE.keys() - {path[0]}:
        assert changed[name] == BASE[name]


def test_a_bare_name_becomes_a_component_on_the_way() -> None:
    assert with_value(BASE, "task.model.width", 64)[0]["task"]["model"] == {"name": "gpt", "width": 64}
    assert with_value(BASE, "network.topology.n", 4)[0]["network"]["topology"] == {"kind": "ring", "n": 4}
    assert with_value(BASE, "algorithms.allreduce.x", 1)[0]["algorithms"][0] == {"name": "allreduce", "x": 1}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("workers.2.count", "no such entry"),
        ("workers.first.count", "no such entry"),
        ("algorithms.dilco.x", "no such entry"),
        ("seed.x", "has no keys, so no `x`"),
        ("a..b", "not a key"),
        ("", "not a key"),
    ],
)
def test_a_key_that_leads_nowhere_is_an_error(key: str, message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        with_value(BASE, key, 1)
    assert message in caught.value.problems[0].message


def test_two_entries_of_one_name_are_not_guessed_between() -> None:
    with pytest.raises(ScenarioError, match="more than one entry"):
        with_value({"algorithms": ["a", "a"]}, "algorithms.a.x", 1)


def test_the_last_override_wins_and_values_are_yaml() -> None:
    overrides = ["seed=1", "seed=2", "a=[1, x]", "b=3e-3", "c=", "d=x=y"]
    mapping, source = with_overrides(BASE, overrides, Source("x.yaml"))
    assert [mapping[key] for key in "abcd"] == [[1, "x"], 0.003, None, "x=y"]
    assert mapping["seed"] == 2
    assert source.place(("seed",)) == "--set seed=2"
    assert source.place(("network",)) == "x.yaml"


def test_without_a_sweep_there_is_one_point() -> None:
    assert [tuple(point) for point in expand(BASE)] == [({}, BASE, {})]
    assert len(expand({**BASE, "sweep": {}})) == 1


@given(
    st.dictionaries(
        st.sampled_from(["seed", "network.link.latency", "workers.0.count", "algorithms.diloco.x", "task.y"]),
        st.lists(st.integers(), min_size=1, max_size=4),
        max_size=4,
    )
)
def test_a_sweep_is_the_product_of_its_lists_in_order(sweep: dict[str, list[int]]) -> None:
    points = expand({**BASE, "sweep": sweep})
    assert len(points) == math.prod(len(values) for values in sweep.values())
    for number, point in enumerate(points):  # mixed radix, the last key fastest
        expected = {}
        for key, values in reversed(sweep.items()):
            number, digit = divmod(number, len(values))
            expected[key] = values[digit]
        assert point.point == expected
        assert list(point.point) == list(sweep)
        assert "sweep" not in point.resolved
        for key, value in expected.items():
            assert with_value(point.resolved, key, value)[0] == point.resolved  # it is there already


@pytest.mark.parametrize(
    ("sweep", "path", "message"),
    [
        (3, ("sweep",), "not a mapping"),
        ({"seed": 3}, ("sweep", "seed"), "not a list"),
        ({"seed": []}, ("sweep", "seed"), "an empty list"),
        ({"workers.7.count": [1]}, ("sweep", "workers.7.count"), "names nothing: workers.7: no such entry"),
        ({"algorithms.dilco.x": [1]}, ("sweep", "algorithms.dilco.x"), "names nothing: algorithms.dilco"),
        ({"name": ["a"]}, ("sweep", "name"), "`name` cannot be swept"),
    ],
)
def test_sweeps_that_cannot_be(sweep: Any, path: tuple[str, ...], message: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        expand({**BASE, "sweep": sweep})
    [problem] = caught.value.problems
    assert problem.path == path
    assert problem.message.startswith(message)
