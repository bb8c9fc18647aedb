from __future__ import annotations

from collections.abc import Callable

import pytest

from simnet.results import ResultsError, Run
from simnet_analysis.groups import group_runs

ROWS = [(0.0, 0.0, 0.0, 1.0)]


def test_seeds_of_one_setting_are_one_group(make_run: Callable[..., Run]) -> None:
    runs = [make_run(label, ROWS, seed=seed) for seed in (0, 1) for label in ("diloco", "allreduce")]
    groups = group_runs(runs)
    assert [(group.name, [run.manifest.seed for run in group.runs]) for group in groups] == [
        ("diloco", [0, 1]),
        ("allreduce", [0, 1]),
    ]


def test_a_sweep_is_told_apart_by_what_was_swept(make_run: Callable[..., Run]) -> None:
    runs = [make_run("diloco", ROWS, seed=seed, bandwidth=b) for b in ("1 Mbps", "9 Mbps") for seed in (0, 1)]
    groups = group_runs([*runs, make_run("allreduce", ROWS)])
    assert [group.name for group in groups] == [
        "diloco, bandwidth=1 Mbps",
        "diloco, bandwidth=9 Mbps",
        "allreduce",
    ]
    assert [len(group.runs) for group in groups] == [2, 2, 1]


def test_a_difference_that_has_no_name_still_tells_apart(make_run: Callable[..., Run]) -> None:
    one, two = make_run("diloco", ROWS), make_run("diloco", ROWS, bandwidth="1 Mbps")
    (two.folder / "scenario.yaml").write_text(one.scenario_yaml + "# a remark\n")
    names = [group.name for group in group_runs([one, two])]
    assert len(set(names)) == 2


def test_nothing_to_group_is_an_error() -> None:
    with pytest.raises(ResultsError, match="no runs"):
        group_runs([])
