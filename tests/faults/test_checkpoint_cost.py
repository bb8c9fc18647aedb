"""The closed forms of checkpoints, held against each other and against a slow replay of the same rules."""

from math import inf, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simnet.faults.checkpoint import CheckpointCost, optimal_interval, young_interval

positive = st.floats(1e-3, 1e3)
sizes = st.floats(1e6, 1e12)


def costs(size: float, copy: float, write: float, hidden: float) -> dict[str, CheckpointCost]:
    return {
        mode: CheckpointCost(size, size / copy, size / write, mode, hidden)
        for mode in ("lazy", "snapshot", "synchronous")
    }


@given(sizes, positive, positive, positive, positive)
def test_lazy_costs_less_than_a_snapshot_and_that_less_than_waiting(size, copy, write, hidden, work):
    by_mode = costs(size, copy, write, hidden)
    overheads = [by_mode[mode].overhead_seconds(work) for mode in ("lazy", "snapshot", "synchronous")]
    assert overheads[0] < overheads[1] < overheads[2]


@given(sizes, positive, positive, positive)
def test_with_rare_checkpoints_the_overhead_is_that_of_the_paper(size, copy, write, hidden):
    by_mode = costs(size, copy, write, hidden)
    rare = 10 * (copy + write)
    assert by_mode["synchronous"].overhead_seconds(rare) == pytest.approx(copy + write)
    assert by_mode["snapshot"].overhead_seconds(rare) == pytest.approx(copy, abs=1e-9 * rare)
    assert by_mode["lazy"].overhead_seconds(rare) == pytest.approx(max(0, copy - hidden), abs=1e-9 * rare)


@given(positive, positive, positive, positive)
def test_the_long_run_is_where_a_replay_ends_up(copy, write, hidden, work):
    for mode, cost in costs(1e9, copy, write, hidden).items():
        now = free_at = began = 0.0
        for _ in range(50):
            began = now
            copying = max(now, free_at) if mode != "synchronous" else now
            free_at = copying + (max(copy, write) if mode == "lazy" else copy + write)
            blocked = copy - hidden if mode == "lazy" else copy if mode == "snapshot" else copy + write
            now = copying + max(0.0, blocked) + work
        assert now - began == pytest.approx(cost.cycle_seconds(work)), mode


@given(positive, st.floats(1.0, 1e6))
def test_youngs_interval_is_where_the_loss_is_least(stall, mtbf):
    best = young_interval(stall, mtbf)

    def lost(interval: float) -> float:  # per second of work: stalls, and half an interval per failure
        return stall / interval + interval / (2 * mtbf)

    assert best == pytest.approx(sqrt(2 * stall * mtbf))
    assert lost(best) <= min(lost(0.9 * best), lost(1.1 * best))


def test_the_optimum_leaves_storage_time_to_follow():
    lazy = CheckpointCost(1e9, 1e9, 1e8, "lazy", hidden_seconds=5.0)
    assert lazy.stall_seconds() == 0
    assert optimal_interval(lazy, 1000.0) == lazy.commit_seconds == 10.0
    snapshot = CheckpointCost(1e9, 1e9, 1e8, "snapshot")
    assert optimal_interval(snapshot, 1000.0) == pytest.approx(1 + sqrt(2 * 1 * 1000))
    synchronous = CheckpointCost(1e9, 1e9, 1e8, "synchronous")
    assert optimal_interval(synchronous, 1000.0) == pytest.approx(11 + sqrt(2 * 11 * 1000))


@pytest.mark.parametrize(("stall", "mtbf"), [(-1.0, 10.0), (1.0, 0.0)])
def test_youngs_interval_of_nonsense(stall, mtbf):
    with pytest.raises(ValueError, match="needs a stall"):
        young_interval(stall, mtbf)


def test_without_failures_nothing_is_worth_a_checkpoint():
    assert young_interval(1.0, inf) == inf
