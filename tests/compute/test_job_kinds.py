"""Any kind of job can be entered in the table; what is withdrawn is never computed."""

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from engine_tasks import mlp_task

from simnet.compute import Engine, Job, Shard
from simnet.compute.runners import RUNNERS
from simnet.optim import SGD


@dataclass(slots=True, eq=False)
class Doubling(Job[int]):
    value: int


def test_a_new_kind_runs_in_one_call_and_withdrawn_jobs_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def run(shard: Shard, jobs: Sequence[Doubling]) -> None:
        calls.append([job.value for job in jobs])
        for job in jobs:
            job.result = 2 * job.value

    monkeypatch.setitem(RUNNERS, Doubling, run)
    engine = Engine(mlp_task(), SGD(lr=0.1))
    jobs = [engine.submit(Doubling(value)) for value in (3, 4, 5)]
    gradient = engine.submit_gradient(0, engine.initial_params, 0)
    engine.withdraw(jobs[1])
    engine.flush()
    engine.flush()
    assert calls == [[3, 5]]
    assert [job.result for job in jobs] == [6, None, 10]
    assert [job.computed() for job in (*jobs, gradient)] == [(0, 0)] * 3 + [(1, 0)]


def test_an_unknown_kind_is_refused_when_it_is_submitted() -> None:
    with pytest.raises(TypeError, match="kind Doubling; known: TrainJob"):
        Engine(mlp_task(), SGD(lr=0.1)).submit(Doubling(1))
