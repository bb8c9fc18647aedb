"""Figures of pipelines: a row per node, and shares that add up."""

from pathlib import Path

import pytest

from simnet.experiment import run
from simnet.results import ResultsError
from simnet.scenario import Scenario
from simnet_analysis import stage_timeline, staleness_figure

SCENARIO = {
    "name": "figures",
    "network": {"topology": {"kind": "star", "nodes": 3}, "link": {"bandwidth": "1 Gbps", "latency": "1 ms"}},
    "workers": {"device": "cpu"},
    "pipeline": {"stages": 3},
    "task": {
        "name": "classification",
        "model": {"name": "mlp", "hidden": [8, 8]},
        "batch_size": 8,
        "optimizer": {"name": "sgd", "lr": 0.1},
    },
    "algorithms": ["pipedream", "allreduce"],
    "stop": {"steps": 6},
    "evaluate": {"every": "3 steps", "samples": 8},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory):
    return run(Scenario.model_validate(SCENARIO), Path(tmp_path_factory.mktemp("results")))


def test_timeline_has_a_row_per_stage_and_all_its_work(runs):
    pipedream = runs[0]
    panel = stage_timeline(pipedream).axes[0]
    assert [text.get_text() for text in panel.get_yticklabels()] == [
        f"replica0.stage{stage}" for stage in range(3)
    ]
    drawn = sum(path.get_extents().width for bars in panel.collections for path in bars.get_paths())
    spans = pipedream.spans.query("kind == 'compute'")
    assert drawn == pytest.approx((spans["end"] - spans["start"]).sum())


def test_timeline_of_a_part_has_what_happened_in_it(runs):
    spans = runs[0].spans.query("kind == 'compute'")
    end = float(spans["end"].max())
    panel = stage_timeline(runs[0], end / 4, end / 2).axes[0]
    assert panel.get_xlim() == (end / 4, end / 2)
    with pytest.raises(ResultsError, match="nobody computed"):
        stage_timeline(runs[0], 10 * end, 11 * end)


def test_staleness_shares_add_up(runs):
    (panel,) = staleness_figure(runs).axes
    heights = sum(bar.get_height() for bar in panel.patches)
    assert heights == pytest.approx(3 * 0.9)
    with pytest.raises(ResultsError, match="no run recorded"):
        staleness_figure([runs[1]])
