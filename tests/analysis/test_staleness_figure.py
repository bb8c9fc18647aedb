"""The staleness figure: shares of every stage, or of every node that recorded it, add up."""

from pathlib import Path

import pandas as pd
import pytest

from simnet.experiment import run
from simnet.results import ResultsError
from simnet.scenario import Scenario
from simnet_analysis import staleness_figure

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


def test_staleness_shares_add_up(runs):
    (panel,) = staleness_figure(runs).axes
    heights = sum(bar.get_height() for bar in panel.patches)
    assert heights == pytest.approx(3 * 0.9)
    with pytest.raises(ResultsError, match="no run recorded"):
        staleness_figure([runs[1]])


def test_nodes_that_are_no_stages_are_drawn_together(tmp_path):
    scenario = {key: value for key, value in SCENARIO.items() if key != "pipeline"}
    runs = run(Scenario.model_validate(scenario | {"algorithms": ["fedbuff"]}), tmp_path)
    (panel,) = staleness_figure(runs).axes
    heights = [bar.get_height() for bar in panel.patches]
    assert sum(heights) == pytest.approx(100)
    (one,) = runs
    rows = one.metrics[one.metrics["name"] == "staleness"]
    spread = pd.concat([rows.assign(node=f"n{number}") for number in range(9)])
    one.__dict__["metrics"] = spread
    (panel,) = staleness_figure([one]).axes
    assert [bar.get_height() for bar in panel.patches] == pytest.approx(heights)  # the same shares
