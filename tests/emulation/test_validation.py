"""The simulator held against real processes: a small part of what `simnet validate-network` does.

On a machine that does other things at once; what is promised on a quiet one is in docs/emulation.md.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from emulated_networks import CI, network, star

from simnet.emulation.validation import Comparison, Validation, read_validation, validate_network
from simnet.emulation.validation.measuring import parts_of, predicted, probing, with_model
from simnet.emulation.validation.operations import planned
from simnet.emulation.validation.probe import Operation
from simnet.network.analytic import ring_all_reduce_seconds
from simnet.network.transport import IDEAL, TCP, transport_of
from simnet.scenario import Scenario

MBPS = 1e6 / 8
LATENCY = 0.005


@pytest.fixture
def scenario(small: Callable[..., dict[str, Any]]) -> Scenario:
    link = {"bandwidth": "50 Mbps", "latency": f"{1e3 * LATENCY:g} ms"}
    changes = {
        "network.link": link,
        "stop": {"steps": 4},
        "workers": [{"device": {"flops": "1 GFLOP/s", "achieved": 0.5}}],
    }
    return Scenario.model_validate(small(changes))


@pytest.mark.usefixtures("fabric_machine")
def test_simulated_seconds_are_real_ones(scenario: Scenario) -> None:
    """Transfers, rings, gossip, incast, and a training run: within a fifth, on a machine that is busy."""
    found = validate_network(scenario, sizes=(1e6,), repeats=1, gloo=False)
    told = {(one.operation, one.size): one.ratio for one in found.summaries()}
    assert {name for name, _ in told} == {
        "cold transfer",
        "transfer",
        "ring all-reduce",
        "gossip round",
        "incast of 3",
        "allreduce",
    }
    assert told == pytest.approx(dict.fromkeys(told, 1.0), abs=CI)


@pytest.mark.usefixtures("fabric_machine")
def test_gloo_reduces_as_fast_as_its_messages_do_in_the_simulator(scenario: Scenario, tmp_path: Path) -> None:
    from simnet.emulation.driver import open_driver
    from simnet.emulation.validation.measuring import gloo_seconds
    from simnet.network import build_topology

    ring = Operation(name="ring", kind="gloo", bytes=1e6)
    expected = predicted(with_model(scenario, parts_of(TCP, 0.0)), [ring])["ring"]
    with open_driver("fabric") as driver:
        topology = build_topology(scenario)
        driver.up(topology)
        seconds = gloo_seconds(driver, topology.workers, [1e6], 2, tmp_path / "log")
    assert min(seconds[1e6]) == pytest.approx(expected, rel=CI)


def test_predictions_are_closed_forms(scenario: Scenario) -> None:
    """On an ideal star: a transfer S/B + 2L, a ring 2 (n-1) (S/n / B + 2L), and overheads on top of it."""
    overhead = 0.003
    what, _ = planned(star(4, "50 Mbps", "5 ms"), (1e6,))
    operations = [one.operation for one in what]
    plain = predicted(with_model(scenario, parts_of(IDEAL, 0.0)), operations)
    late = predicted(with_model(scenario, parts_of(IDEAL, overhead)), operations)
    rate, latency = 50 * MBPS, 2 * LATENCY
    assert plain["transfer 1e+06"] == pytest.approx(1e6 / rate + latency)
    assert plain["ring 1e+06"] == pytest.approx(ring_all_reduce_seconds(4, 1e6, rate, latency))
    assert plain["gossip"] == pytest.approx(2 * 1e6 / rate + latency)
    assert plain["incast of 3 1e+06"] == pytest.approx(3 * 1e6 / rate + latency)
    assert late["transfer 1e+06"] - plain["transfer 1e+06"] == pytest.approx(overhead)
    assert late["ring 1e+06"] - plain["ring 1e+06"] == pytest.approx(6 * overhead)


def test_tiny_messages_of_gloo_wait_for_their_receivers(scenario: Scenario) -> None:
    """Two segments are on the way at a time, each behind the word of who waits for it: 4 (n-1) latencies."""
    ring = Operation(name="ring", kind="gloo", bytes=32.0)
    seconds = predicted(with_model(scenario, parts_of(IDEAL, 0.0)), [ring])["ring"]
    assert seconds == pytest.approx(4 * 3 * 2 * LATENCY, rel=0.02)


def test_the_preset_survives_being_written_in_parts() -> None:
    assert transport_of(parts_of(TCP, 0.0)) == TCP
    assert transport_of(parts_of(TCP, 0.002)) == replace(TCP, host_overhead=0.002)


def test_flows_cross_where_a_topology_has_one_link_for_two_pairs() -> None:
    nodes = ["a", "b", "c", "d", {"name": "left", "switch": True}, {"name": "right", "switch": True}]
    ends = [("a", "left"), ("b", "left"), ("c", "right"), ("d", "right"), ("left", "right")]
    links = [{"between": list(pair)} for pair in ends]
    topology = network(
        {"kind": "explicit", "nodes": nodes, "links": links}, {"bandwidth": "50 Mbps", "latency": "5 ms"}
    )
    titles = [one.title for one in planned(topology, (1e6,))[0]]
    assert "two flows on a shared link" in titles
    what, notes = planned(star(4), (1e6,))
    assert "two flows on a shared link" not in [one.title for one in what]
    assert any("no crossing flows" in note for note in notes)
    what, notes = planned(star(2), (1e6, 4e6, 16e6))
    assert sum(one.title == "cold transfer" for one in what) == 2
    assert len(notes) == 3


def test_cold_transfers_come_before_anything_else_on_their_connection() -> None:
    what, _ = planned(star(4), (1e6, 4e6, 16e6))
    first = next(number for number, one in enumerate(what) if not one.title)
    assert [one.title for one in what[:first]] == ["cold transfer"] * 3
    pairs = [(flow.source, flow.target) for one in what[:first] for flow in one.operation.flows]
    assert len(set(pairs)) == 3


def test_a_probe_leaves_out_what_is_not_the_network(scenario: Scenario) -> None:
    plan = probing(scenario, [Operation(name="ring", kind="all-reduce", bytes=1e6)])
    assert plan.world.faults.churn is None
    assert plan.scenario.network.link == scenario.network.link
    assert plan.scenario.task.name == "synthetic"


def validation(ratios: dict[str, list[float]], limit: float | None) -> Validation:
    comparisons = [
        Comparison(name, "1 MB", repeat, 2.0, 2.0 * ratio, limit)
        for name, each in ratios.items()
        for repeat, ratio in enumerate(each)
    ]
    return Validation("small", "fabric", 4, {}, 0.001, 0.0, comparisons, 0.1, (), ())


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    found = validation({"ring": [1.0, 1.2, 1.04], "incast": [0.9]}, 0.05)
    assert read_validation(found.write(tmp_path).parent) == replace(found, invalid=[], notes=[])
    ring, incast = found.summaries()
    assert (ring.ratio, ring.least, ring.most, ring.held) == pytest.approx((1.04, 1.0, 1.2, True))
    assert not incast.held
    (tmp_path / "validation.json").write_text("{}")
    with pytest.raises(ValueError, match="no validation"):
        read_validation(tmp_path)


def test_the_figure_has_a_row_for_each_operation(tmp_path: Path) -> None:
    from simnet_analysis import validation_figure

    validation({"ring": [1.0, 1.2, 1.04], "incast": [0.9]}, 0.05).write(tmp_path)
    (axes,) = validation_figure(tmp_path).axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["ring, 1 MB", "incast, 1 MB"]
    medians = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D"]
    assert medians == pytest.approx([1.04, 0.9])
