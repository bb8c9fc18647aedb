"""Every method but pipelines runs on slow machines and over broken links, and sends what it always sends."""

from typing import Any

import pytest

from simnet.algorithms import SHIPPED, algorithm_class
from simnet.pipeline.method import PipelineMethod

TIMED: dict[str, Any] = {
    "task": {"name": "synthetic", "parameters": "2M", "layers": 3, "step_seconds": "0.5 s"},
    "workers": {},
    "evaluate": None,
    "network.model": {"loss": "cubic"},
}
FAULTS: dict[str, Any] = {
    "faults": {
        "stragglers": [
            {"kind": "pareto", "alpha": 1.5},
            {"kind": "episodes", "factor": 5, "mean_slow": "2 s", "mean_fast": "4 s"},
            {"kind": "lognormal", "sigma": 0.3, "per": "run"},
        ],
        "links": [
            {"kind": "flapping", "mean_up": "2 s", "mean_down": "0.5 s"},
            {"kind": "down", "node": "n2", "at": "3 s", "for": "2 s"},
            {"kind": "degraded", "bandwidth": 0.3, "latency": 5, "at": "1 s"},
            {"kind": "lossy", "link": "n1", "loss": 0.01},
        ],
    }
}
OPTIONS: dict[str, dict[str, Any]] = {
    "d-psgd": {"graph": "ring"},
    "ad-psgd": {"graph": "ring"},
    "fedbuff": {"buffer": 2},
    "diloco": {"local_steps": 2},
}
WORKERS = [
    name
    for name in SHIPPED
    if not issubclass(algorithm_class(name), PipelineMethod) and not algorithm_class(name).needs_values
]


@pytest.mark.parametrize("collectives", ["fluid", "stepwise"])
@pytest.mark.parametrize("name", WORKERS)
def test_it_ends_and_its_books_are_balanced(simulate, name: str, collectives: str) -> None:
    method = algorithm_class(name).model_validate(OPTIONS.get(name, {}))
    changes = TIMED | {"network.collectives": collectives}
    plain, faulty = simulate(method, changes).outcome, simulate(method, changes | FAULTS).outcome
    assert faulty.virtual_seconds > plain.virtual_seconds
    assert faulty.worker_steps >= plain.worker_steps
    assert faulty.invariants["steps_counted"] == faulty.invariants["steps_charged"]
    books = faulty.invariants
    assert books["bytes_sent"] == pytest.approx(books["bytes_received"] + books["bytes_lost"], rel=1e-9)
    if method.step_budget == "each":  # else who is ready first spends the steps that all have together
        assert faulty.worker_steps == plain.worker_steps
        assert faulty.bytes_sent == pytest.approx(plain.bytes_sent, rel=1e-12)
        assert faulty.invariants["messages"] == plain.invariants["messages"]


@pytest.mark.parametrize("name", WORKERS)
def test_faults_come_to_the_same_each_time(simulate, name: str) -> None:
    method = algorithm_class(name).model_validate(OPTIONS.get(name, {}))
    first, second = (simulate(method, {**FAULTS, "network.model": "tcp"}).recorder.tables() for _ in range(2))
    assert all(second[table].equals(first[table]) for table in first)
