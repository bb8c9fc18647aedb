"""Where methods swap places, against closed forms, and what is said where they do not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.answers import Measure, Search, SearchError, find_crossover, read_measure, read_span
from simnet.answers.crossover import Crossover, Evaluated
from simnet.cli.main import main
from simnet.scenario import ScenarioError, load_file
from simnet.units import bytes_per_second

PARAMETERS, STEP = 10e6, 0.5
SIZE = 4 * PARAMETERS


@pytest.fixture
def timing(tmp_path: Path) -> Callable[..., Path]:
    """Writes a timing-only scenario without latency: four workers on a star, half a second for a step."""

    def make(**changes: Any) -> Path:
        scenario = {
            "name": "timing",
            "network": {
                "topology": {"kind": "star", "nodes": 4},
                "link": {"bandwidth": "100 Mbps", "latency": "0 s"},
            },
            "workers": {"speed": 1},
            "task": {"name": "synthetic", "parameters": "10M", "step_seconds": "0.5 s"},
            "algorithms": ["allreduce", {"name": "local-sgd", "local_steps": 5}],
            "stop": {"steps": 10},
        } | changes
        file = tmp_path / "timing.yaml"
        file.write_text(yaml.safe_dump(scenario, sort_keys=False), encoding="utf-8")
        return file

    return make


def found(
    file: Path, axis: str, range_: str | None, between: tuple[str, str], metric: str = "time", **options: Any
) -> Crossover:
    document = load_file(file)
    search = Search(file.parent / "results", jobs=2)
    span = read_span(axis, range_, document.mapping)
    return find_crossover(file, span, between, read_measure(metric), search, **options)


def test_bandwidth_at_which_overlap_pays(timing):
    """A d-psgd step on a star takes max(c, (n-1) S/B), one of allreduce c + 2 (n-1)/n S/B."""
    crossing = (3 - 2 * 3 / 4) * SIZE / STEP  # of 3 S/B = c + 1.5 S/B, in bytes per second
    answer = found(timing(), "network.link.bandwidth", None, ("allreduce", "d-psgd"), precision=0.02)
    (swap,) = answer.swaps
    low, high = bytes_per_second(swap.below.value), bytes_per_second(swap.above.value)
    assert low < crossing < high
    assert high / low <= 1.02 + 1e-9
    assert answer.width(swap) == pytest.approx(high / low - 1)
    assert (swap.below.winner, swap.above.winner) == (0, 1)
    for point in answer.points:
        rate = bytes_per_second(point.value)
        assert point.means[0] == pytest.approx(10 * (STEP + 1.5 * SIZE / rate))
        assert point.means[1] == pytest.approx(10 * max(STEP, 3 * SIZE / rate), rel=1e-3)  # and the degrees
    assert answer.cost.runs == 2 * len(answer.points)
    assert answer.cost.simulated_seconds == pytest.approx(sum(sum(point.means) for point in answer.points))


def test_finished_runs_are_not_run_again(timing):
    file, asked = timing(), ("network.link.bandwidth", "500Mbps..2Gbps", ("allreduce", "d-psgd"))
    first = found(file, *asked)
    again = found(file, *asked)
    assert again.points == first.points
    assert (again.cost.runs, again.cost.reused) == (0, first.cost.runs)


def test_number_of_workers_is_told_to_the_neighbour(timing):
    """(n-1) S/B > c + 2 (n-1)/n S/B, with S/B = c/10: (n-1)(n-2)/n > 10, from n = 13 on."""
    link = {"bandwidth": f"{10 * SIZE / STEP} B/s", "latency": "0 s"}
    file = timing(network={"topology": {"kind": "star", "nodes": 4}, "link": link}, stop={"steps": 2})
    answer = found(file, "network.topology.nodes", "2..20", ("allreduce", "d-psgd"), precision=0.5)
    (swap,) = answer.swaps
    assert (swap.below.value, swap.above.value) == (12, 13)


def test_one_that_is_always_better(timing):
    answer = found(timing(), "network.link.bandwidth", "1Mbps..1Gbps", ("allreduce", "local-sgd"), points=3)
    assert not answer.swaps
    assert {point.winner for point in answer.points} == {1}
    assert len(answer.points) == 3


def test_a_stretch_of_ties_has_two_ends(timing):
    """Of 12 steps, H local ones make ceil(12 / H) rounds: 2 for all H from 6 to 11."""
    algorithms = [{"name": "local-sgd", "local_steps": h, "label": f"every-{h}"} for h in (6, 1)]
    file = timing(algorithms=algorithms, stop={"steps": 12})
    answer = found(file, "algorithms.every-1.local_steps", "1..12", ("every-6", "every-1"), "bytes", points=3)
    pairs = [(swap.below.value, swap.above.value) for swap in answer.swaps]
    assert pairs == [(5, 6), (11, 12)]
    rounds = {point.value: point.means[1] for point in answer.points}
    assert rounds[12] == pytest.approx(rounds[6] / 2)


def test_time_to_a_loss_swaps_with_the_bandwidth(small, tmp_path):
    """Where links are fast allreduce learns more per second, where they are slow local steps do."""
    changes = {
        "algorithms": ["allreduce", {"name": "local-sgd", "local_steps": 20}],
        "task.charge_as": {"parameters": "10M", "step_seconds": "1 s"},
        "task.partition": {"name": "by-class", "classes_per_worker": 2},
        "stop.steps": 200,
        "network.topology.nodes": 5,
        "evaluate": {"every": "5 steps", "samples": 200},
    }
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(small(changes)), encoding="utf-8")
    answer = found(
        file,
        "network.link.bandwidth",
        "1Mbps..100Gbps",
        ("local-sgd", "allreduce"),
        "time_to_loss",
        precision=1.0,
    )
    assert answer.measure.target is not None
    assert answer.points[0].winner == 0
    assert answer.points[-1].winner == 1
    assert len(answer.swaps) == 1
    assert answer.width(answer.swaps[0]) <= 1.0


def test_a_target_that_nobody_reaches_is_said(small, tmp_path):
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(small({"algorithms": ["allreduce", "gossip"]})), encoding="utf-8")
    span = read_span("network.link.bandwidth", None, load_file(file).mapping)
    search = Search(tmp_path / "results", jobs=1)
    with pytest.raises(SearchError, match="neither allreduce nor gossip"):
        find_crossover(file, span, ("allreduce", "gossip"), Measure("time", "loss", 0.01), search)


@pytest.mark.parametrize(
    ("axis", "range_", "told"),
    [
        ("network.link.bandwith", None, "says nothing"),
        ("network.link.bandwidth", "1Mbps", "not a range"),
        ("network.link.bandwidth", "1Mbps..2ms", "not measured in Mbps"),
        ("network.link.bandwidth", "1Mbps..1Mbps", "empty range"),
        ("network.topology.nodes", None, "says nothing"),
        ("algorithms.diloco.local_steps", "1..5", "no such entry"),
    ],
)
def test_ranges_that_cannot_be_read(timing, axis, range_, told):
    with pytest.raises(ScenarioError, match=told):
        read_span(axis, range_, load_file(timing()).mapping)


def test_methods_and_metrics_that_are_not_there(timing):
    with pytest.raises(ScenarioError, match="did you mean `allreduce`"):
        found(timing(), "network.link.bandwidth", None, ("allredcue", "d-psgd"))
    with pytest.raises(ScenarioError, match="time_to_loss"):
        read_measure("time_until_loss")
    with pytest.raises(ScenarioError, match="has no target"):
        read_measure("time", 2.0)


@given(
    st.floats(1e-3, 1e9), st.floats(1.01, 1e6), st.integers(2, 30), st.sampled_from(["ms", "Mbps", "MB", ""])
)
def test_points_of_a_span_are_in_order_and_in_it(low, factor, count, unit):
    text = f"{low:.6g} {unit}..{low * factor:.6g} {unit}"
    try:
        span = read_span("key", text, {})
    except ScenarioError:
        assert f"{low:.6g}" == f"{low * factor:.6g}"
        return
    points = span.points(count)
    assert points == sorted(set(points))
    assert (points[0], points[-1]) == (span.low, span.high)
    assert span.logarithmic == bool(unit)
    middle = span.middle(span.low, span.high)
    assert middle is None or span.low < middle < span.high


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=5), st.booleans())
@settings(max_examples=50)
def test_who_is_better_turns_with_the_direction(pairs, lower_wins):
    figures = tuple(zip(*pairs, strict=True))
    point = Evaluated(0.0, 0, figures, lower_wins)
    other = Evaluated(0.0, 0, figures, not lower_wins)
    if point.means[0] == point.means[1]:
        assert point.winner is other.winner is None
    else:
        assert {point.winner, other.winner} == {0, 1}
        assert point.agreeing == other.agreeing <= len(pairs)


def test_from_the_command_line(timing, monkeypatch, capsys):
    file = timing()
    words = ["simnet", "crossover", str(file), "--axis", "network.link.bandwidth", "--between", "allreduce"]
    words += ["d-psgd", "--range", "500Mbps..2Gbps", "--results", str(file.parent / "r"), "--jobs", "1"]

    def run(*more: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", [*words, *more])
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), *capsys.readouterr()
        return 0, *capsys.readouterr()

    code, out, _ = run("--seeds", "2")
    assert code == 0
    assert "2 of 2" in out
    assert "allreduce is better below, d-psgd is better above" in out
    assert "runs done" in out
    code, out, _ = run("--json")
    answer = json.loads(out)
    assert (code, answer["swaps"][0]["better_above"]) == (0, "d-psgd")
    assert answer["cost"]["runs"] == 0  # the first seed was among those of before
    code, _, err = run("--target", "2")
    assert (code, "has no target" in err) == (2, True)
