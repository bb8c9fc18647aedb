"""Figures of faults: what they show is what happened, and shares add up."""

from dataclasses import astuple, fields

import pytest
from matplotlib.figure import Figure
from typer.testing import CliRunner

from simnet.cli.main import app
from simnet.experiment import run
from simnet.results import ResultsError
from simnet.scenario import Scenario
from simnet_analysis import availability_figure, fault_timeline_figure, goodput_figure
from simnet_analysis.fault_timeline import LOOKS, episodes
from simnet_analysis.goodput import LOOKS as SHARES
from simnet_analysis.goodput import Shares, shares

SCENARIO = {
    "name": "storm",
    "network": {"topology": {"kind": "star", "nodes": 4}, "link": {"bandwidth": "1 Gbps", "latency": "1 ms"}},
    "workers": {},
    "task": {"name": "synthetic", "parameters": "1M", "step_seconds": "1 s"},
    "faults": {
        "churn": {"kind": "crash", "node": "n1", "at": "12.5 s", "down": "4 s"},
        "checkpoint": {
            "interval": "5 s",
            "size": "1 GB",
            "storage_bandwidth": "1 GB/s",
            "device_to_host": "10 GB/s",
            "restart_time": "2 s",
            "on_failure": "restart",
        },
    },
    "algorithms": ["allreduce", {"name": "local-sgd", "local_steps": 2}],
    "stop": {"steps": 20},
    "evaluate": {"every": "5 steps"},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return run(Scenario.model_validate(SCENARIO), tmp_path_factory.mktemp("storm"))


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    scenario = {key: value for key, value in SCENARIO.items() if key != "faults"}
    return run(Scenario.model_validate(scenario), tmp_path_factory.mktemp("calm"))


def test_episodes_are_what_happened(runs):
    found = {(one.where, one.what): (one.start, one.end) for one in episodes(runs[0])}
    assert found["n1", "down"] == (12.5, 16.5)
    noticed, restarted = 16.5, 16.5 + 2 + 1.1  # it is back before the detection timeout of 5 s
    for node in ("n0", "n1", "n2", "n3"):
        assert found[node, "all go back"] == pytest.approx((noticed, restarted))
    assert len(found) == 5


def test_what_is_planned_for_links_and_stragglers_is_shown(tmp_path):
    planned = {
        "links": [
            {"kind": "down", "link": "n0", "at": "5 s", "for": "10 s"},
            {"kind": "degraded", "link": "n1", "bandwidth": 0.5},
        ],
        "stragglers": [
            {"kind": "scheduled", "nodes": ["n2"], "factor": 2, "at": "2 s", "for": "3 s"},
            {"kind": "scheduled", "nodes": ["n3"], "factor": 2, "at": "1000 s"},
        ],
    }
    (one,) = run(
        Scenario.model_validate({**SCENARIO, "faults": planned, "algorithms": ["allreduce"]}), tmp_path
    )
    found = {(one.where, one.what): (one.start, one.end) for one in episodes(one)}
    assert found == {
        ("n0-hub", "link down"): (5.0, 15.0),
        ("n1-hub", "link degraded"): (0.0, one.manifest.virtual_seconds),
        ("n2", "slow"): (2.0, 5.0),
    }
    chart = fault_timeline_figure(one).axes[1]
    assert [label.get_text() for label in chart.get_yticklabels()] == ["n0-hub", "n1-hub", "n2"]


def test_shares_add_up_and_are_those_of_the_run(runs, calm):
    assert tuple(SHARES) == tuple(field.name for field in fields(Shares))
    for one in runs:
        found, end = shares(one), one.manifest.virtual_seconds
        assert sum(astuple(found)) == pytest.approx(1)
        assert found.useful * end == pytest.approx(20)
        assert found.down * end == pytest.approx(4 / 4)
        assert found.restoring * end == pytest.approx(3.1)
        assert (found.wasted + found.undone) * 4 * end == pytest.approx(one.wasted_seconds)
        stalls = one.spans[one.spans["kind"] == "checkpoint"]
        assert found.stalled * 4 * end == pytest.approx((stalls["end"] - stalls["start"]).sum())
    found = shares(calm[0])
    assert (found.useful, found.idle) == (
        pytest.approx(calm[0].manifest.utilization),
        pytest.approx(1 - found.useful),
    )


def test_numbers_of_runs(runs, calm):
    for one in runs:
        assert one.goodput == pytest.approx(80 / one.manifest.virtual_seconds)
        assert one.mean_availability == pytest.approx(1 - 1 / one.manifest.virtual_seconds)
        assert one.wasted_seconds > 0
        assert one.summary()["goodput"] == one.goodput
    assert (calm[0].wasted_seconds, calm[0].mean_availability) == (0, 1)


def test_figures_are_drawn(runs, calm):
    for figure in (fault_timeline_figure(runs[0]), goodput_figure([*runs, *calm]), availability_figure(runs)):
        assert isinstance(figure, Figure)
        figure.canvas.draw()
    curve, chart = fault_timeline_figure(runs[0]).axes
    assert [label.get_text() for label in chart.get_yticklabels()] == ["n0", "n1", "n2", "n3"]
    assert curve.get_ylabel() == "steps that count"
    legend = fault_timeline_figure(runs[0]).legends[0]
    assert [text.get_text() for text in legend.get_texts()] == [
        what for what in LOOKS if what in ("up", "all go back", "checkpoint stall", "down")
    ]


def test_without_faults_there_is_nothing_to_see(calm):
    with pytest.raises(ResultsError, match="nothing went wrong"):
        fault_timeline_figure(calm[0])
    with pytest.raises(ResultsError, match="nobody goes or comes"):
        availability_figure(calm)


@pytest.mark.parametrize("kind", ["faults", "goodput", "availability"])
def test_simnet_plot_offers_them(runs, tmp_path, kind):
    folders = [str(one.folder) for one in runs]
    result = CliRunner().invoke(app, ["plot", kind, *folders, "-o", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert len(list(tmp_path.glob("*.png"))) == (2 if kind == "faults" else 1)


def test_an_unknown_figure_is_named(runs, tmp_path):
    result = CliRunner().invoke(app, ["plot", "fault", str(runs[0].folder), "-o", str(tmp_path)])
    assert result.exit_code == 2
    assert "did you mean faults" in " ".join(result.output.replace("│", " ").split())
