"""Every shipped method, while nodes go and come: runs end within their time, or say who waits for what."""

import pytest
from churn_runs import Simulated, schedules, timed
from hypothesis import example, given, settings
from hypothesis import strategies as st

from simnet.algorithms import SHIPPED, algorithm_class
from simnet.runtime.simulated import DeadlockError

WEATHER = {"churn": {"kind": "exponential", "mean_up": "60 s", "mean_down": "10 s"}}
TIMED = [name for name in SHIPPED if not algorithm_class(name).needs_values]
"""The others run with values in tests/byzantine."""
PIPELINES = ("pipeline", "pipedream", "pipedream-2bw", "pipemare", "nesterov-async")
MANY = ("gossip", "d-psgd", "ad-psgd", "fedavg", "fedbuff")
"""Methods in which a step does not wait for everybody: these run with 200 nodes."""


def of(name, faults, nodes, stop, seed=0):
    method = {"name": name, "graph": "ring"} if name in ("d-psgd", "ad-psgd") else name
    link = {"bandwidth": "1 Gbps", "latency": "5 ms"}
    mapping = timed(method, faults, nodes=nodes, stop=stop, seed=seed, link=link)
    if name in PIPELINES:
        passes = {"samples": 8, "tokens": 64, "width": 64, "forward": "5 ms", "backward": "10 ms"}
        mapping["pipeline"] = {"stages": 4, "charge_as": passes}
    return mapping


@pytest.mark.parametrize("name", TIMED)
def test_it_ends(name):
    """Up for a minute, down for ten seconds, on average: a run ends when it should, and steps are taken."""
    nodes, seconds = (200, 30) if name in MANY else (8, 60) if name in PIPELINES else (24, 60)
    done = Simulated(of(name, WEATHER, nodes, {"time": f"{seconds} s"}))
    assert done.outcome.virtual_seconds <= seconds
    assert done.outcome.worker_steps > nodes or done.outcome.aborted
    done.assert_balanced()


@pytest.mark.parametrize("name", TIMED)
def test_it_ends_by_steps_too(name):
    """Without a last instant: who has taken all its steps is through, whatever goes and comes meanwhile."""
    done = Simulated(of(name, WEATHER, 8, {"steps": 40}))
    assert done.outcome.worker_steps > 0 or done.outcome.aborted
    done.assert_balanced()


ALL_BUT_ONE = {
    "churn": [{"kind": "crash", "node": f"n{rank}", "memory": "lost", "at": "0 s"} for rank in range(4)],
    "partitions": [],
    "detection": {"kind": "timeout", "timeout": "700 ms"},
}


@settings(max_examples=60, deadline=None)
@given(schedules(), st.sampled_from(sorted(TIMED)), st.integers(0, 3))
@example(ALL_BUT_ONE, "robust-allreduce", 0)
def test_any_weather(faults, name, seed):
    """Hypothesis draws the faults; what is never allowed is a run that hangs, or an unexplained end."""
    if name in PIPELINES:
        faults = {**faults, "partitions": [], "churn": [e for e in faults["churn"] if e["node"] != "n4"]}
    mapping = of(name, faults, 4 if name in PIPELINES else 5, {"steps": 20, "time": "60 s"}, seed)
    try:
        done = Simulated(mapping)
    except DeadlockError as deadlock:
        explained = str(deadlock)
    else:
        explained = ""
        assert done.outcome.virtual_seconds <= 60
        done.assert_balanced()
    assert not explained or "waits for" in explained
