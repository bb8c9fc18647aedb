"""Faults of links and slow hosts in the table of faults: what is told is what acted."""

from __future__ import annotations

from typing import Any

import pytest

import simnet
from simnet.faults.planned import planned_events
from simnet.network import build_topology
from simnet.results import Run
from simnet.scenario import Scenario

STAR = {
    "name": "told",
    "network": {
        "topology": {"kind": "star", "nodes": 3},
        "link": {"bandwidth": "1 Gbps", "latency": "1 ms"},
        "model": {"loss": "cubic"},
    },
    "workers": {},
    "task": {"name": "synthetic", "parameters": "1M", "step_seconds": "1 s"},
    "algorithms": ["allreduce"],
    "stop": {"steps": 20},
}
HOSTS = {"n0": "n0", "n1": "n1", "n2": "n2"}


def scenario_with(**faults: Any) -> Scenario:
    return Scenario.model_validate({**STAR, "faults": faults})


def told(end: float = 100.0, most: int = 1000, **faults: Any) -> list[tuple[float, str, str, str]]:
    scenario = scenario_with(**faults)
    return [tuple(row) for row in planned_events(scenario, build_topology(scenario), HOSTS, end, most)]


def test_faults_of_links_begin_and_end_as_the_scenario_says() -> None:
    links = [
        {"kind": "down", "link": "n0", "at": "5 s", "for": "10 s"},
        {"kind": "degraded", "link": "n1->hub", "at": "7 s", "for": "1 s", "bandwidth": 0.5},
        {"kind": "lossy", "node": "n2", "loss": 0.01},
        {"kind": "down", "link": "n2", "at": "100 s"},
    ]
    assert told(links=links) == [
        (0.0, "n2-hub", "link-lossy", "lossy"),
        (5.0, "n0-hub", "link-down", "down"),
        (7.0, "n1->hub", "link-degraded", "degraded"),
        (8.0, "n1->hub", "link-restored", "degraded"),
        (15.0, "n0-hub", "link-up", "down"),
    ]


def test_slow_times_have_the_factors_in_force() -> None:
    stragglers = [
        {"kind": "scheduled", "nodes": ["n1"], "factor": 2, "at": "10 s", "for": "20 s"},
        {"kind": "scheduled", "nodes": ["n1"], "factor": 3, "at": "20 s", "for": "20 s"},
        {"kind": "lognormal", "sigma": 0.5},
    ]
    assert told(stragglers=stragglers) == [
        (10.0, "n1", "slow", "scheduled (2)"),
        (20.0, "n1", "slow", "scheduled (2) and scheduled (3)"),
        (30.0, "n1", "slow", "scheduled (3)"),
        (40.0, "n1", "full-speed", ""),
    ]


def test_what_is_drawn_is_told_as_it_acts() -> None:
    """The same draws as those of the run's own profiles, whoever asks first."""
    scenario = scenario_with(
        links={"kind": "flapping", "mean_up": "20 s", "mean_down": "5 s"},
        stragglers={"kind": "episodes", "factor": 4, "mean_slow": "5 s", "mean_fast": "10 s"},
    )
    topology = build_topology(scenario)
    from simnet.faults.faults import build_faults

    slowdowns = build_faults(scenario, topology).slowdowns
    rows = planned_events(scenario, topology, HOSTS, 500.0)
    assert rows == sorted(rows, key=lambda row: row.time)
    assert rows == planned_events(scenario, build_topology(scenario), HOSTS, 500.0)
    assert {row.event for row in rows} == {"slow", "full-speed", "link-down", "link-up"}
    assert topology.dynamics is not None
    resource = {name: index for index, name in enumerate(topology.resource_names)}
    for row in rows:
        if row.event.startswith("link-"):
            there = resource[row.node.replace("-", "->")]
            rate = topology.dynamics.capacities[there].at(row.time)
            assert (rate == 0) == (row.event == "link-down")
        else:
            (profile,) = slowdowns[row.node].profiles
            assert profile.at(row.time) == (4 if row.event == "slow" else 1)


def test_of_too_many_changes_the_first_are_told() -> None:
    flaps = {"kind": "flapping", "mean_up": "1 ms", "mean_down": "1 ms"}
    rows = told(end=1e6, most=30, links=flaps)
    assert len(rows) == 3 * (10 + 1)
    for link in ("n0-hub", "n1-hub", "n2-hub"):
        own = [event for _, node, event, _ in rows if node == link]
        assert own == ["link-down", "link-up"] * 5 + ["unlisted"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """A calm run, one with faults of links and slow hosts, and one in which they only might come."""
    slow = {"kind": "scheduled", "nodes": ["n1"], "factor": 2, "at": "5 s", "for": "4 s"}
    down = {"kind": "down", "link": "n0", "at": "3 s", "for": "2 s"}
    folder = tmp_path_factory.mktemp("told")
    return {
        name: simnet.run(scenario_with(**faults), folder / name)[0]
        for name, faults in {
            "calm": {},
            "bad": {"stragglers": slow, "links": down},
            "later": {"links": {**down, "at": "1000 s"}},
            "steps": {"stragglers": {"kind": "lognormal", "sigma": 0.5}},
        }.items()
    }


def test_a_run_has_them_in_its_table_and_nobody_counts_as_down(runs: dict[str, Run]) -> None:
    bad = runs["bad"]
    assert bad.faults["event"].tolist() == ["link-down", "link-up", "slow", "full-speed"]
    assert bad.faults["time"].tolist() == [3.0, 5.0, 5.0, 9.0]
    assert bad.availability() == {}
    assert bad.mean_availability == 1.0


@pytest.mark.parametrize("name", ["calm", "later", "steps"])
def test_where_nothing_happened_there_is_no_file(runs: dict[str, Run], name: str) -> None:
    assert not (runs[name].folder / "faults.parquet").exists()
