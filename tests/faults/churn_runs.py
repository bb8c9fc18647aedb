"""Timing-only runs in which nodes go and come, and what is asked of all of them."""

from collections.abc import Callable

import pytest
from hypothesis import strategies as st

from simnet.plan import make_engine, plans
from simnet.results import Recorder
from simnet.runtime.node import Algorithm, Node
from simnet.runtime.simulated import SimulatedRun
from simnet.scenario import Scenario

STEP = 0.5
GO_AND_COME = {"kind": "exponential", "mean_up": "20 s", "mean_down": "5 s"}


def timed(algorithm, faults=None, nodes=6, stop=None, seed=0, **network):
    """A timing-only scenario on a star."""
    return {
        "name": "churn",
        "seed": seed,
        "network": {
            "topology": {"kind": "star", "nodes": nodes},
            "link": {"bandwidth": "100 Mbps", "latency": "5 ms"},
            "detection_timeout": "1 s",
            **network,
        },
        "workers": {},
        "task": {"name": "synthetic", "parameters": "1M", "step_seconds": f"{STEP} s"},
        "algorithms": [algorithm],
        "stop": stop or {"time": "100 s"},
        **({} if faults is None else {"faults": faults}),
    }


class Simulated:
    """A run of a scenario, or of a coroutine in the place of its method."""

    def __init__(self, mapping, worker=None):
        (plan,) = plans(Scenario.model_validate(mapping))
        self.recorder = Recorder()
        method = plan.method if worker is None else Scripted(does=worker)
        self.run = SimulatedRun(plan.world, method, make_engine(plan), self.recorder)
        self.outcome = self.run.run()
        self.counts = self.outcome.invariants

    @property
    def faults(self):
        table = self.recorder.tables().get("faults")
        return [] if table is None else [tuple(row.values()) for row in table.to_pylist()]

    def assert_balanced(self):
        """Every byte and every second of work is somewhere."""
        counts = self.counts
        self.run.network.check()
        assert counts["bytes_sent"] == pytest.approx(
            counts["bytes_received"] + counts["bytes_lost"], abs=1e-5
        )
        assert 0 <= counts["bytes_in_flight_at_end"] <= counts["bytes_lost"] + 1e-5
        work = {key: counts[f"work_seconds_{key}"] for key in ("charged", "used", "wasted", "unfinished")}
        assert work["charged"] == pytest.approx(work["used"] + work["wasted"] + work["unfinished"])
        spans = self.recorder.tables()["spans"].to_pylist()
        computed = sum(span["end"] - span["start"] for span in spans if span["kind"] == "compute")
        assert work["charged"] == pytest.approx(computed)
        return work


class Scripted(Algorithm):
    """A method whose worker is a function of the test."""

    does: Callable[[Node], object]

    def roles(self):
        return {"worker": self.does}


NODES = tuple(f"n{i}" for i in range(5))


@st.composite
def schedules(draw):
    """Lists of churn entries and partitions."""
    churn = []
    for node in draw(st.lists(st.sampled_from(NODES), max_size=4, unique=True)):
        kind = draw(st.sampled_from(["crash", "leave", "exponential", "join"]))
        entry = {"kind": kind, "node": node, "memory": draw(st.sampled_from(["lost", "disk"]))}
        if kind == "exponential":
            entry["mean_up"], entry["mean_down"] = draw(st.sampled_from([("5 s", "2 s"), ("1 s", "1 s")]))
        elif kind == "join":
            entry["at"] = draw(st.floats(0.1, 20))
        else:
            if draw(st.booleans()):
                entry["step"] = draw(st.integers(1, 20))
            else:
                entry["at"] = draw(st.floats(0, 20))
            if draw(st.booleans()):
                entry["down"] = draw(st.floats(0.01, 10))
        churn.append({key: f"{value} s" if key in ("at", "down") else value for key, value in entry.items()})
    partitions = []
    if draw(st.booleans()):
        start, lasts = draw(st.floats(0, 15)), draw(st.floats(0.1, 10))
        size = draw(st.integers(1, 4))
        partitions = [{"at": f"{start} s", "until": f"{start + lasts} s", "groups": [list(NODES[:size])]}]
    detection = draw(
        st.sampled_from(
            [
                {"kind": "timeout", "timeout": "700 ms"},
                {"kind": "heartbeats", "period": "500 ms", "misses": 2},
            ]
        )
    )
    return {"churn": churn, "partitions": partitions, "detection": detection}
