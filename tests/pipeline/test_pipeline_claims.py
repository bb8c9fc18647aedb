"""Claims about pipelines, at a small scale and with three seeds: `make claims` (some 20 minutes on one core).

Margins lie well inside of what was measured (docs/pipelines.md). Gaps under 0.02 nats are ties.
"""

from pathlib import Path
from statistics import mean

import pytest

import simnet

SCENARIOS = Path(__file__).parents[2] / "scenarios" / "pipeline"
TIE = 0.02

pytestmark = pytest.mark.claims


def final_losses(name, folder):
    """The mean final loss of each arm over the seeds."""
    losses = {}
    for run in simnet.run(SCENARIOS / f"{name}.yaml", folder):
        losses.setdefault(run.label, []).append(run.final("loss"))
    assert {len(values) for values in losses.values()} == {3}
    return {label: mean(values) for label, values in losses.items()}


@pytest.fixture(scope="module")
def staleness(tmp_path_factory):
    return final_losses("staleness", tmp_path_factory.mktemp("staleness"))


@pytest.fixture(scope="module")
def compression(tmp_path_factory):
    return final_losses("compression", tmp_path_factory.mktemp("compression"))


def test_staleness_costs_and_looking_ahead_brings_a_part_back(staleness):
    """Per update: synchronous < nesterov-async < pipedream; a fifth of the gap or more is closed."""
    gap = staleness["pipedream"] - staleness["synchronous"]
    assert gap > 0.4
    assert staleness["nesterov-async"] > staleness["synchronous"] + 0.2
    assert staleness["nesterov-async"] < staleness["pipedream"] - 0.05
    assert staleness["nesterov-async-no-stash"] < staleness["pipedream"] - 0.2 * gap


def test_high_momentum_alone_does_not_help(staleness):
    assert staleness["pipedream-high-momentum"] > staleness["pipedream"] - TIE


def test_subspace_networks_cost_next_to_nothing(compression):
    """At an eighth of the bytes of bfloat16, after 400 updates."""
    assert compression["subspace"] < compression["dense"] * 1.02
    assert compression["subspace"] > compression["dense"] - TIE


def test_other_codecs_cost_more(compression):
    """int4 sends twice as many bytes as the subspace, and still loses more."""
    assert compression["subspace"] < compression["int4"] - TIE
    assert compression["subspace"] < compression["projection"] - 0.08
    worst_of_others = max(compression["int4"], compression["int4-stochastic"], compression["projection"])
    assert compression["top-k"] > worst_of_others + 0.5
