"""Two hundred nodes, up for 60 s and down for 10 s on average: somebody goes or comes every 0.2 s."""

import pytest
from churn_runs import Simulated
from test_methods_in_bad_weather import MANY, PIPELINES, WEATHER, of

from simnet.algorithms import SHIPPED, algorithm_class

OTHERS = [
    name for name in SHIPPED if name not in (*MANY, *PIPELINES) and not algorithm_class(name).needs_values
]
"""Those that `test_methods_in_bad_weather` runs with fewer nodes; pipelines have a few stages only."""


@pytest.mark.parametrize("name", OTHERS)
def test_it_ends(name):
    """Who needs everybody may take no step at all, but the run ends when it should."""
    seconds = 0.5 if name == "robust-gossip" else 30  # its rule looks at all pairs of neighbours
    done = Simulated(of(name, WEATHER, 200, {"time": f"{seconds} s"}))
    assert done.outcome.virtual_seconds <= seconds
    done.assert_balanced()


def test_gossip_takes_all_its_steps():
    """Without a last instant, and for longer than a node is up on average."""
    done = Simulated(of("gossip", WEATHER, 200, {"steps": 20}))
    assert done.outcome.worker_steps == 200 * 20
    assert done.outcome.virtual_seconds > 60
    done.assert_balanced()
