from __future__ import annotations

from collections.abc import Callable
from math import inf, isnan, nan

import pytest

from simnet.results import Run
from simnet_analysis import comparison_table, default_target, format_table, table_cells
from simnet_analysis.table import _round_up

MakeRun = Callable[..., Run]

FAST = [(0.0, 0.0, 0.0, 4.0), (60.0, 10.0, 1e6, 2.0), (120.0, 20.0, 2e6, 1.0)]
SLOW = [(0.0, 0.0, 0.0, 4.0), (60.0, 2.0, 4e6, 3.0), (120.0, 4.0, 8e6, 2.5)]


def test_values_by_hand(make_run: MakeRun) -> None:
    table = comparison_table([make_run("slow", SLOW, utilization=0.1), make_run("fast", FAST)])
    assert table.attrs == {"target": 2.5, "metric": "loss"}  # the worst of the best: slow's 2.5
    assert table.to_dict("records") == [
        {
            "method": "fast",
            "runs": 1,
            "final_loss": 1.0,
            "seconds_to_target": 60.0,
            "bytes_to_target": 1e6,
            "reached": 1,
            "virtual_seconds": 120.0,
            "steps": 20.0,
            "bytes_sent": 2e6,
            "raw_bytes_sent": 2e6,
            "utilization": 0.5,
            "diverged": 0,
        },
        {
            "method": "slow",
            "runs": 1,
            "final_loss": 2.5,
            "seconds_to_target": 120.0,
            "bytes_to_target": 8e6,
            "reached": 1,
            "virtual_seconds": 120.0,
            "steps": 4.0,
            "bytes_sent": 8e6,
            "raw_bytes_sent": 8e6,
            "utilization": 0.1,
            "diverged": 0,
        },
    ]


def test_the_text_says_units_and_aligns(make_run: MakeRun) -> None:
    text = format_table(comparison_table([make_run("slow", SLOW, utilization=0.1), make_run("fast", FAST)]))
    assert text.splitlines() == [
        "method  final loss  time to 2.5  bytes to 2.5  virtual time  bytes sent  utilization",
        "------  ----------  -----------  ------------  ------------  ----------  -----------",
        "fast             1         60 s          1 MB         2 min        2 MB          50%",
        "slow           2.5        2 min          8 MB         2 min        8 MB          10%",
    ]


def test_raw_and_charged_bytes_stand_side_by_side_where_they_differ(make_run: MakeRun) -> None:
    table = comparison_table([make_run("slow", SLOW), make_run("fast", FAST)])
    table["raw_bytes_sent"] = [5e3, 4e3]
    cells = table_cells(table)
    assert cells[0][5:7] == ["bytes sent", "raw bytes"]
    assert [row[5:7] for row in cells[1:]] == [["2 MB", "5 kB"], ["8 MB", "4 kB"]]


def test_without_a_metric_the_table_is_of_time_and_bytes(make_run: MakeRun) -> None:
    cells = table_cells(comparison_table([make_run("slow", SLOW), make_run("fast", FAST)], metric=None))
    assert cells == [
        ["method", "virtual time", "bytes sent", "utilization"],
        ["slow", "2 min", "8 MB", "50%"],
        ["fast", "2 min", "2 MB", "50%"],
    ]


def test_a_target_that_nobody_reaches(make_run: MakeRun) -> None:
    table = comparison_table([make_run("slow", SLOW), make_run("fast", FAST)], target=0.5)
    assert table["seconds_to_target"].tolist() == [inf, inf]
    assert table["method"].tolist() == ["fast", "slow"]  # then by the final loss
    assert table_cells(table)[1][2:4] == ["never", "never"]


def test_seeds_are_averaged_and_partial_success_is_not_hidden(make_run: MakeRun) -> None:
    late = [(0.0, 0.0, 0.0, 4.0), (120.0, 20.0, 3e6, 2.0)]
    runs = [make_run("fast", FAST, seed=0), make_run("fast", late, seed=1)]
    row = comparison_table(runs, target=2.0).iloc[0]
    assert (row["runs"], row["final_loss"], row["seconds_to_target"], row["bytes_to_target"]) == (
        2,
        1.5,
        90.0,
        2e6,
    )
    partly = comparison_table(runs, target=1.5)
    assert (partly["seconds_to_target"].iloc[0], partly["reached"].iloc[0]) == (inf, 1)
    assert table_cells(partly)[1] == ["fast", "2", "1.5", "1/2 runs", "1/2 runs", "2 min", "2.5 MB", "50%"]


@pytest.mark.parametrize("bad", [nan, inf])
def test_diverged_runs_are_called_so_and_come_last(make_run: MakeRun, bad: float) -> None:
    broken = [(0.0, 0.0, 0.0, 4.0), (60.0, 10.0, 1e6, bad)]
    table = comparison_table([make_run("broken", broken), make_run("slow", SLOW), make_run("fast", FAST)])
    assert table["method"].tolist() == ["fast", "slow", "broken"]
    assert table.attrs["target"] == 2.5
    assert table["diverged"].tolist() == [0, 0, 1]
    assert table_cells(table)[3][1:4] == ["diverged", "never", "never"]
    some = comparison_table([make_run("m", FAST, seed=0), make_run("m", broken, seed=1)])
    assert table_cells(some)[1][2] == "1/2 diverged"


def test_only_diverged_runs_still_give_a_table(make_run: MakeRun) -> None:
    table = comparison_table([make_run("broken", [(0.0, 0.0, 0.0, nan)])])
    assert table.attrs["target"] is None
    assert isnan(table["final_loss"].iloc[0])
    assert "diverged" in format_table(table)


def test_accuracy_counts_upwards(make_run: MakeRun) -> None:
    good = make_run("good", [(0.0, 0.0, 0.0, 0.1), (5.0, 1.0, 1.0, 0.9)], metric="accuracy")
    poor = make_run("poor", [(0.0, 0.0, 0.0, 0.1), (5.0, 1.0, 1.0, 0.5009)], metric="accuracy")
    table = comparison_table([poor, good], metric="accuracy")
    assert table.attrs["target"] == 0.5  # rounded to the easier side
    assert table["reached"].tolist() == [1, 1]
    assert table["method"].tolist() == ["good", "poor"]


def test_who_never_improves_does_not_set_the_target(make_run: MakeRun) -> None:
    stuck = make_run("stuck", [(0.0, 0.0, 0.0, 4.0), (60.0, 9.0, 1e6, 4.5)])
    assert default_target([stuck, make_run("slow", SLOW)]) == 2.5
    assert default_target([stuck]) is None
    assert default_target([make_run("once", FAST[:1])]) is None


@pytest.mark.parametrize(
    ("value", "rounded"),
    [
        (2.5, 2.5),
        (2.4401, 2.45),
        (1234.5, 1240.0),
        (0.0012341, 0.00124),
        (-2.449, -2.44),
        (0.0, 0.0),
        (99.99, 100.0),
    ],
)
def test_rounding_is_to_three_digits_and_never_down(value: float, rounded: float) -> None:
    assert _round_up(value) == pytest.approx(rounded, rel=1e-12)
    assert _round_up(value) >= value
