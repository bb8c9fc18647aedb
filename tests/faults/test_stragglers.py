"""What `faults.stragglers` says: whom it slows down, by how much, and that luck has no favourites."""

from collections import Counter
from itertools import pairwise
from math import erf, exp, log, sqrt
from typing import Any

import numpy as np
import pytest
from pydantic import TypeAdapter

from simnet.faults import NO_FAULTS, build_faults
from simnet.faults.slowdown import BLOCK, Slowdown
from simnet.faults.stragglers import draw
from simnet.network import build_topology
from simnet.network.profiles import OnOff
from simnet.scenario import FaultsConfig, Scenario, ScenarioError, dump, load_text
from simnet.scenario.stragglers import StragglersConfig

MANY = 200_000


@pytest.fixture
def slowdowns(small):
    """The slowdowns of a small scenario with these stragglers and other changes, by host."""

    def make(stragglers: Any, changes: Any = None, with_server: bool = False) -> dict[str, Slowdown]:
        mapping = small({"faults.stragglers": stragglers, **(changes or {})})
        scenario = Scenario.model_validate(mapping)
        return dict(build_faults(scenario, build_topology(scenario, with_server)).slowdowns)

    return make


def factors(stragglers: dict[str, Any], size: int = MANY) -> np.ndarray:
    (entry,) = TypeAdapter(StragglersConfig).validate_python(stragglers)
    return draw(entry, np.random.default_rng(1), size)


@pytest.mark.parametrize(
    ("entry", "mean", "least", "cdf"),
    [
        (
            {"kind": "lognormal", "sigma": 0.5},
            exp(0.125),
            0.0,
            lambda x: 0.5 * (1 + erf(log(x) / 0.5 / sqrt(2))),
        ),
        ({"kind": "pareto", "alpha": 3}, 1.5, 1.0, lambda x: 1 - x**-3.0),
        ({"kind": "exponential", "mean": 0.5}, 1.5, 1.0, lambda x: 1 - exp(-(x - 1) / 0.5)),
        ({"kind": "uniform", "low": 0.5, "high": 3}, 1.75, 0.5, lambda x: (x - 0.5) / 2.5),
        ({"kind": "bimodal", "probability": 0.2, "factor": 5}, 1.8, 1.0, lambda x: 0.8),
    ],
)
def test_distributions(entry: dict[str, Any], mean: float, least: float, cdf: Any) -> None:
    found = factors(entry)
    assert found.mean() == pytest.approx(mean, rel=0.01)
    assert found.min() >= least
    for x in (1.1, 1.5, 2.5):
        assert (found <= x).mean() == pytest.approx(cdf(x), abs=0.005)


def test_the_most_of_n_exponentials_is_a_harmonic_number() -> None:
    worst = factors({"kind": "exponential", "mean": 2.0}).reshape(-1, 20).max(axis=1)
    assert worst.mean() == pytest.approx(1 + 2.0 * sum(1 / k for k in range(1, 21)), rel=0.01)


def test_the_slow_share_of_episodes(slowdowns) -> None:
    found = slowdowns({"kind": "episodes", "factor": 4, "mean_slow": "10 s", "mean_fast": "30 s"})
    assert len(found) == 4
    for slowdown in found.values():
        # A quarter of the time is slow, and does a quarter of the work: 0.75 + 0.25 / 4.
        assert slowdown.work(0.0, 4e5) / 4e5 == pytest.approx(0.8125, rel=0.02)


@pytest.mark.parametrize(("start", "factor"), [("slow", 4.0), ("fast", 1.0)])
def test_episodes_begin_as_told(slowdowns, start: str, factor: float) -> None:
    entry = {"kind": "episodes", "factor": 4, "mean_slow": "10 s", "mean_fast": "30 s", "start": start}
    for slowdown in slowdowns(entry).values():
        (profile,) = slowdown.profiles
        assert isinstance(profile, OnOff)
        assert profile.at(0.0) == factor
        assert profile.mean == 1.75


def test_entries_multiply(slowdowns) -> None:
    entries = [
        {"kind": "uniform", "low": 2, "high": 2.000001, "per": "run"},
        {"kind": "bimodal", "probability": 1, "factor": 3},
        {"kind": "scheduled", "at": "10 s", "for": "5 s", "factor": 4, "nodes": ["n1"]},
        {"kind": "scheduled", "at": 0, "factor": 5, "nodes": ["n1"]},
    ]
    found = slowdowns(entries)
    assert found["n0"].seconds(10.0, found["n0"].of_step(7)) == pytest.approx(6, rel=1e-5)
    assert found["n1"].seconds(0.0, found["n1"].of_step(7) / 30) == pytest.approx(1, rel=1e-5)
    assert found["n1"].seconds(10.0, found["n1"].of_step(7) / 120) == pytest.approx(1, rel=1e-5)
    assert found["n1"].work(10.0, 15.0) == pytest.approx(5 / 40, rel=1e-5)


def test_a_run_factor_stays_and_differs_between_hosts(slowdowns) -> None:
    found = slowdowns({"kind": "lognormal", "sigma": 1, "per": "run"})
    assert len({slowdown.constant for slowdown in found.values()}) == 4
    assert all(slowdown.steps is None and not slowdown.profiles for slowdown in found.values())


def test_luck_depends_on_seed_entry_host_and_step_alone(slowdowns) -> None:
    """Not on the algorithm, on other entries, on who else is there, or on the order of asking."""
    entry = {"kind": "lognormal", "sigma": 0.5}
    steps = [0, 1, BLOCK - 1, BLOCK, 5 * BLOCK + 3]

    def of(host: str, found: dict[str, Slowdown], order: list[int] = steps) -> list[float]:
        by_step = {step: found[host].of_step(step) for step in order}
        return [by_step[step] for step in steps]

    usual = slowdowns(entry)
    assert of("n2", usual, steps[::-1]) == of("n2", slowdowns(entry))
    assert of("n2", usual) == of("n2", slowdowns(entry, {"algorithms": ["fedavg"]}, with_server=True))
    assert of("n2", usual) == of("n2", slowdowns(entry, {"network.topology.nodes": 9}))
    assert of("n2", usual) == of("n2", slowdowns(entry | {"nodes": ["n2"]}))
    assert of("n2", usual) != of("n1", usual)
    assert of("n2", usual) != of("n2", slowdowns(entry, {"seed": 1}))
    both = slowdowns([entry, entry])
    assert of("n2", usual) != of("n2", both)  # the second entry has luck of its own
    assert max(Counter(usual["n2"].of_step(step) for step in range(3 * BLOCK)).values()) == 1


def test_more_stragglers_are_those_and_others(slowdowns) -> None:
    def chosen(count: int) -> set[str]:
        entry = {"kind": "scheduled", "factor": 2, "count": count}
        return set(slowdowns(entry, {"network.topology.nodes": 30}))

    sets = [chosen(count) for count in (1, 5, 12, 30)]
    assert [len(found) for found in sets] == [1, 5, 12, 30]
    assert all(fewer < more for fewer, more in pairwise(sets))


def test_a_server_is_slow_where_it_is_named(slowdowns) -> None:
    entry = {"kind": "scheduled", "factor": 2, "nodes": ["server"]}
    served = {"algorithms": ["fedavg"]}
    assert set(slowdowns(entry, served, with_server=True)) == {"server"}
    assert "server" not in slowdowns(entry | {"nodes": None}, served, with_server=True)


def test_no_stragglers_are_no_faults(small) -> None:
    scenario = Scenario.model_validate(small())
    assert build_faults(scenario, build_topology(scenario)) == NO_FAULTS


def test_a_trace_by_hand(small, tmp_path) -> None:
    (tmp_path / "load.csv").write_text("time [min],factor\n0,1\n1,4\n2,0.5\n")
    text = dump(Scenario.model_validate(small()))
    text += "\nfaults: {stragglers: {kind: trace, trace: load.csv, loop: true, nodes: [n3]}}\n"
    (point,) = load_text(text, name="x.yaml", folder=tmp_path).scenarios
    scenario = point.scenario
    slowdown = build_faults(scenario, build_topology(scenario)).slowdowns["n3"]
    # 60 s of work in the first minute, 15 s in the second, 120 s in the third: 195 s in each round.
    assert slowdown.work(0.0, 180.0) == pytest.approx(195, rel=1e-12)
    assert slowdown.seconds(0.0, 2 * 195 + 60 + 5) == pytest.approx(360 + 60 + 20, rel=1e-12)
    assert slowdown.seconds(30.0, 30 + 15 + 60) == pytest.approx(30 + 60 + 30, rel=1e-12)


@pytest.mark.parametrize(
    ("line", "message"),
    [("1,0", "no factor of time"), ("1,fast", "not a number"), ("1,2 s", "not a number"), ("1", "columns")],
)
def test_a_trace_that_makes_no_sense(small, tmp_path, line: str, message: str) -> None:
    (tmp_path / "load.csv").write_text(f"0,1\n{line}\n")
    text = dump(Scenario.model_validate(small()))
    text += "\nfaults: {stragglers: [{kind: trace, trace: load.csv}]}\n"
    (point,) = load_text(text, name="x.yaml", folder=tmp_path).scenarios
    with pytest.raises(ScenarioError, match=message) as caught:
        build_faults(point.scenario, build_topology(point.scenario))
    (problem,) = caught.value.problems
    assert problem.path == ("faults", "stragglers", 0, "trace")
    assert "load.csv:2" in str(caught.value)


@pytest.mark.parametrize(
    ("stragglers", "path", "message"),
    [
        ({"kind": "lognormal"}, ("sigma",), "missing"),
        ({"kind": "lognormal", "sigma": -1}, ("sigma",), ""),
        ({"kind": "lognormal", "sgima": 1, "sigma": 1}, ("sgima",), "sigma"),
        ({"kind": "lognormall", "sigma": 1}, ("kind",), "lognormal"),
        ({"sigma": 1}, (), "no kind"),
        ({"kind": "pareto", "alpha": 1}, ("alpha",), "greater than 1"),
        ({"kind": "uniform", "low": 3, "high": 2}, ("low",), "not below"),
        ({"kind": "bimodal", "factor": 2, "probability": 1.5}, ("probability",), ""),
        ({"kind": "bimodal", "factor": 0, "probability": 0.5}, ("factor",), ""),
        ({"kind": "episodes", "factor": 2, "mean_slow": 5, "mean_fast": "5 s"}, ("mean_slow",), "unit"),
        ({"kind": "scheduled", "factor": 2, "for": "0 s"}, ("for",), "more than zero"),
        ({"kind": "scheduled", "factor": 2, "count": 2, "nodes": ["n1"]}, ("count",), "nodes"),
        ({"kind": "trace", "trace": "x.csv", "period": "5 s"}, ("period",), "loop"),
    ],
)
def test_what_makes_no_sense_is_refused(small, stragglers: Any, path: Any, message: str) -> None:
    for given, at in ((stragglers, ()), ([{"kind": "scheduled", "factor": 2}, stragglers], (1,))):
        with pytest.raises(ScenarioError) as caught:
            load_text(
                dump(Scenario.model_validate(small()))
                + f"\nfaults: {{stragglers: {given!r}}}\n".replace("'", '"'),
                name="x.yaml",
            )
        (problem,) = caught.value.problems
        assert problem.path[-len(path) :] == path if path else True
        assert problem.path[:2] == ("faults", "stragglers")
        assert at == () or problem.path[2] == at[0]
        assert message in str(caught.value)


@pytest.mark.parametrize(
    ("stragglers", "path", "message"),
    [
        ({"kind": "scheduled", "factor": 2, "nodes": ["n1", "n7"]}, ("nodes", 1), "n7"),
        ({"kind": "scheduled", "factor": 2, "nodes": ["hub"]}, ("nodes", 0), "hub"),
        ({"kind": "scheduled", "factor": 2, "count": 5}, ("count",), "at most 4"),
    ],
)
def test_hosts_that_are_not_there_are_refused(slowdowns, stragglers: Any, path: Any, message: str) -> None:
    with pytest.raises(ScenarioError, match=message) as caught:
        slowdowns(stragglers)
    (problem,) = caught.value.problems
    assert problem.path == ("faults", "stragglers", 0, *path)


def test_what_is_written_loads_back(small) -> None:
    faults = {
        "stragglers": [
            {"kind": "lognormal", "sigma": 0.3, "per": "run"},
            {"kind": "scheduled", "at": "1 min", "for": "90 s", "factor": 3, "count": 2},
            {"kind": "episodes", "factor": 2, "mean_slow": "1 s", "mean_fast": "2 s"},
        ],
        "links": [{"kind": "down", "link": "n1", "at": "3 s", "for": "4 s"}],
    }
    scenario = Scenario.model_validate(small({"faults": faults}))
    (point,) = load_text(dump(scenario), name="x.yaml").scenarios
    assert point.scenario.faults == scenario.faults == FaultsConfig.model_validate(faults)
