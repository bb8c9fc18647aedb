"""What goes wrong in a scenario goes wrong at the same times on real processes and links."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from emulated_networks import CI
from runs_for_real import STREAM, for_real, planned, simulated, table

pytestmark = pytest.mark.usefixtures("fabric_machine")

SOON = 0.25
"""Seconds within which a busy machine does what is due."""


def test_a_link_changes_when_the_scenario_says(small: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """Parts of 100 kB, one after the other: 20 Mbit/s at first, a quarter of it from a second on."""
    (tmp_path / "stream.py").write_text(STREAM)
    changes = {
        "network.topology": {"kind": "star", "nodes": 2},
        "network.link": {"bandwidth": "20 Mbps", "latency": "5 ms"},
        "network.model": "tcp",
        "network.events": [{"at": "1 s", "link": "n0-hub", "bandwidth": "5 Mbps"}],
        "algorithms": ["stream:Stream"],
    }
    plan = planned(small(changes), tmp_path)
    found = []
    for recorder in (for_real(plan).recorder, simulated(plan)):
        parts = table(recorder, "transfers").query("kind == 'part'").sort_values("start")
        seconds = (parts.delivered - parts.start).to_numpy()
        before = parts.delivered.to_numpy() < 1.0
        after = parts.start.to_numpy() > 1.0
        found.append([seconds[before].mean(), seconds[after].mean(), before.sum(), parts.delivered.max()])
    real, expected = found
    assert real == pytest.approx(expected, rel=CI)
    assert real[1] > 2.5 * real[0]


def test_a_straggler_is_as_slow_as_the_scenario_says(
    small: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    changes = {
        "workers": [{"device": {"flops": "20 MFLOP/s", "achieved": 0.5}}],
        "faults": {
            "stragglers": {"kind": "scheduled", "nodes": ["n1"], "at": "0 s", "for": "1 min", "factor": 3}
        },
        "stop": {"steps": 4},
    }
    plan = planned(small(changes), tmp_path)
    found = []
    for recorder in (for_real(plan).recorder, simulated(plan)):
        spans = table(recorder, "spans").query("kind == 'compute'")
        found.append((spans.end - spans.start).groupby(spans.node).median())
    real, expected = found
    assert expected["n1"] == pytest.approx(3 * expected["n0"])
    assert real.to_dict() == pytest.approx(expected.to_dict(), rel=CI)


def test_a_node_goes_and_comes_at_the_scenarios_times(
    small: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    """Its process is killed and another one started; the others go on, and it takes part again."""
    changes = {
        "workers": [{"device": {"flops": "20 MFLOP/s", "achieved": 0.5}}],
        "algorithms": ["gossip"],
        "network.detection_timeout": "200 ms",
        "faults": {"churn": {"kind": "crash", "node": "n2", "at": "1 s", "down": "1 s"}},
        "stop": {"time": "5 s"},
        "evaluate": {"every": "1 s", "samples": 64},
    }
    plan = planned(small(changes), tmp_path)
    emulated = for_real(plan)
    real, counts = emulated.recorder, emulated.outcome.invariants
    faults = table(real, "faults").query("node == 'n2'")
    expected = table(simulated(plan), "faults").query("node == 'n2' and event in ('down', 'up')")
    assert list(faults.event) == ["down", "up"] == list(expected.event)
    assert faults.time.to_list() == pytest.approx(expected.time.to_list(), abs=SOON)
    spans = table(real, "spans").query("kind == 'compute'")
    its = spans.query("node == 'n2'")
    assert not ((its.start > 1.0 + SOON) & (its.start < 2.0)).any()
    assert (its.start < 1.0).sum() >= 3, "what it did before it was killed is kept"
    assert abs(counts["steps_computed"] - len(spans)) <= 2, "its steps count, too"
    assert counts["bytes_lost"] < 0.1 * counts["bytes_sent"], "what is lost was under way to it"
    assert (its.start > 2.0).sum() >= 3
    others = spans.query("node != 'n2'")
    assert ((others.start > 1.2 + SOON) & (others.start < 2.0)).any()
