"""What staleness costs, with three seeds, at the scale of 8 stages of width 64 and 600 updates."""

from pathlib import Path
from statistics import mean

import pytest

from simnet.experiment import run
from simnet.scenario import load_file

SCENARIO = Path(__file__).parents[2] / "scenarios" / "pipeline" / "staleness.yaml"


@pytest.mark.claims
def test_synchronous_then_nesterov_then_pipedream(tmp_path):
    """Means over seeds: the look-ahead closes a fifth of the gap at least, high momentum alone nothing."""
    losses: dict[str, list[float]] = {}
    for seed in range(3):
        for one in run(load_file(SCENARIO, [f"seed={seed}"]), tmp_path):
            losses.setdefault(one.label, []).append(one.final("loss"))
    found = {label: mean(values) for label, values in losses.items()}
    assert found["synchronous"] < found["nesterov-async"] < found["pipedream"]
    gap = found["pipedream"] - found["synchronous"]
    assert found["pipedream"] - found["nesterov-async"] >= 0.2 * gap
    assert found["pipedream-high-momentum"] > found["pipedream"] - 0.02
