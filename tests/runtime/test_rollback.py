"""Going back to a checkpoint: the course is that of a run without failures, only later."""

from math import inf

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simnet.algorithms import SHIPPED, algorithm_class
from simnet.pipeline.method import PipelineMethod
from simnet.plan import make_engine, plans
from simnet.results import Recorder
from simnet.runtime.simulated import DeadlockError, SimulatedRun
from simnet.scenario import Scenario, ScenarioError

CHECKPOINT = {
    "interval": "2 steps",
    "size": "1 MB",
    "storage_bandwidth": "10 MB/s",
    "device_to_host": "100 MB/s",
    "restart_time": "0.5 s",
    "on_failure": "restart",
}
DETECTION = 1.0


@pytest.fixture
def run_with(small):
    """`run_with(algorithm, downs, changes)`: downs are (node, when, back), with back possibly infinite."""

    def run(algorithm, downs=(), **changes):
        mapping = small(
            {
                "algorithms": [algorithm],
                "network.detection_timeout": f"{DETECTION} s",
                "task.charge_as": {"parameters": "1M", "step_seconds": "1 s"},
                "faults.checkpoint": dict(CHECKPOINT),
                "stop": {"steps": 12},
                **changes,
            }
        )
        (plan,) = plans(Scenario.model_validate(mapping))
        recorder = Recorder()
        simulated = SimulatedRun(plan.world, plan.method, make_engine(plan), recorder)

        def weather(node, when, back):
            yield simulated.env.timeout(when)
            simulated.fail(node)
            if back < inf:
                yield simulated.env.timeout(back - when)
                simulated.lifecycle.up(node)

        for down in downs:
            simulated.env.process(weather(*down))
        return simulated, simulated.run(), recorder

    return run


def final_models(simulated):
    return {name: node.params for name, node in simulated.nodes.items()}


METHODS = [
    "allreduce",
    {"name": "allreduce", "overlap": "backward"},
    {"name": "local-sgd", "local_steps": 2},
    {"name": "diloco", "local_steps": 2},
    {"name": "diloco", "local_steps": 2, "overlap": "backward"},
    {"name": "d-psgd", "graph": "ring"},
    {"name": "gossip", "local_steps": 1},
]


@pytest.mark.parametrize("mode", ["synchronous", "snapshot", "lazy"])
@pytest.mark.parametrize("algorithm", METHODS, ids=str)
def test_the_course_is_that_of_a_run_without_failures(run_with, algorithm, mode):
    changes = {
        "task.optimizer": {"name": "adamw", "lr": 0.01},
        "faults.checkpoint.mode": mode,
        "faults.checkpoint.interval": "4 steps",
    }
    calm, calm_outcome, _ = run_with(algorithm, **changes)
    stormy, outcome, _ = run_with(algorithm, [("n1", 7.9, 9.0), ("n3", 16.9, 17.2)], **changes)
    for name, params in final_models(calm).items():
        assert torch.equal(final_models(stormy)[name], params), name
    counts = outcome.invariants
    assert counts["rollbacks"] == 2
    assert counts["steps_undone"] > 0
    assert counts["steps_charged"] == outcome.worker_steps + counts["steps_undone"]
    assert outcome.worker_steps == calm_outcome.worker_steps
    assert outcome.virtual_seconds > calm_outcome.virtual_seconds + 1.1 + 0.5
    assert counts["bytes_sent"] == pytest.approx(counts["bytes_received"] + counts["bytes_lost"])
    for node in stormy.nodes.values():
        calm_node = calm.nodes[node.id]
        assert node.computing.useful_seconds == pytest.approx(calm_node.computing.busy_seconds)
        assert node.computing.undone_seconds > 0


PIPELINES = [
    {"name": "pipeline", "microbatches": 2},
    {"name": "pipeline", "schedule": "gpipe", "microbatches": 3, "optimizer": {"name": "adamw", "lr": 0.01}},
    {"name": "pipeline", "microbatches": 2, "replicas": "diloco", "local_updates": 3},
]


@pytest.mark.parametrize("algorithm", PIPELINES, ids=str)
def test_a_pipeline_goes_back_as_well(run_with, algorithm):
    changes = {
        "pipeline": {"stages": 2},
        "task.model": {"name": "mlp", "hidden": [8, 8]},
        "pipeline.charge_as": {"samples": 16, "width": 8, "forward": "10 ms", "backward": "20 ms"},
        "faults.checkpoint.interval": "4 steps",
    }
    calm, calm_outcome, _ = run_with(algorithm, **changes)
    at = 0.6 * calm_outcome.virtual_seconds
    stormy, outcome, _ = run_with(algorithm, [("replica0.stage1", at, at + 2)], **changes)
    assert outcome.invariants["rollbacks"] == 1
    assert outcome.invariants["steps_undone"] > 0
    for name, params in final_models(calm).items():
        assert torch.equal(final_models(stormy)[name], params), name


def test_who_goes_down_while_all_start_again_is_waited_for(run_with):
    calm, _, _ = run_with("allreduce")
    downs = [("n1", 6.3, 9.0), ("n2", 8.0, 12.0), ("n3", 12.2, 12.3)]
    stormy, outcome, _ = run_with("allreduce", downs)
    assert outcome.invariants["rollbacks"] == 1
    for name, params in final_models(calm).items():
        assert torch.equal(final_models(stormy)[name], params)


def test_before_the_first_checkpoint_all_begin_from_the_start(run_with):
    calm, _, _ = run_with("allreduce")
    stormy, outcome, _ = run_with("allreduce", [("n0", 0.5, 0.7)])
    assert outcome.invariants["rollbacks"] == 1
    for name, params in final_models(calm).items():
        assert torch.equal(final_models(stormy)[name], params)


def test_what_storage_does_not_have_is_no_way_back(run_with):
    slow = {"faults.checkpoint.mode": "lazy", "faults.checkpoint.storage_bandwidth": "1 kB/s"}
    _, outcome, _ = run_with("allreduce", [("n1", 6.3, 9.0)], **slow)
    assert outcome.invariants["checkpoints_lost"] == 4 * 2, "one being written, and one that waits for room"
    assert outcome.invariants["steps_undone"] == 4 * 4, "all the way to the start"


def test_a_node_that_never_returns_is_named(run_with):
    with pytest.raises(DeadlockError, match=r"n0 waits for n1 to come back since 7\.3 s"):
        run_with("allreduce", [("n1", 6.3, inf)])


def test_the_way_back_takes_its_time(run_with):
    """Down at 6.3 s, noticed at 7.3 s, up at 9 s; 0.5 s to start, 0.1 s to read, 0.01 s to the device."""
    free = {"network.link": {"bandwidth": "1 Tbps", "latency": "0 s"}}
    _, calm, _ = run_with("allreduce", **free)
    _, stormy, _ = run_with("allreduce", [("n1", 6.3, 9.0)], **free)
    # Steps take 1 s and each checkpoint stalls 0.11 s: those of 2 and 4 steps are there, and 6.3 s is 0.08 s
    # into the seventh step after the one of 6 steps, which has 0.03 s left to be written: back to 4 steps.
    stalls = 5 * 0.11 + 12 * 48e-6
    assert calm.virtual_seconds == pytest.approx(12 + stalls, abs=1e-6)
    assert stormy.virtual_seconds == pytest.approx(9.0 + 0.5 + 0.11 + 8 + 3 * 0.11, abs=1e-3)
    assert stormy.invariants["steps_undone"] == 2 * 4


@given(
    st.lists(st.tuples(st.integers(0, 3), st.floats(0.1, 40), st.floats(0.1, 8)), min_size=1, max_size=5),
    st.sampled_from(["synchronous", "snapshot", "lazy"]),
    st.integers(1, 5),
)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_the_course_is_the_same(run_with, crashes, mode, every):
    algorithm = {"name": "diloco", "local_steps": 2}
    changes = {"faults.checkpoint.mode": mode, "faults.checkpoint.interval": f"{every} steps"}
    calm, _, _ = run_with(algorithm, **changes)
    # Nobody goes down who is down: a node's crashes come one after the other.
    churn, free = [], [0.0] * 4
    for number, at, lasts in sorted(crashes, key=lambda crash: crash[1]):
        if at > free[number]:
            free[number] = at + lasts
            churn.append({"kind": "crash", "node": f"n{number}", "at": f"{at} s", "down": f"{lasts} s"})
    stormy, outcome, _ = run_with(algorithm, **changes, **{"faults.churn": churn})
    for name, params in final_models(calm).items():
        assert torch.equal(final_models(stormy)[name], params)
    counts = outcome.invariants
    assert counts["bytes_sent"] == pytest.approx(counts["bytes_received"] + counts["bytes_lost"])
    assert counts["steps_charged"] == outcome.worker_steps + counts.get("steps_undone", 0)
    assert outcome.worker_steps == 4 * 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithms": [{"name": "allreduce", "checkpoint": "lazy"}]}, "there are no checkpoints"),
        (
            {
                "faults.checkpoint": CHECKPOINT,
                "faults.partitions": [{"at": "1 s", "until": "2 s", "groups": [["n0"]]}],
            },
            "nobody is lost in a partition",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(small, changes, message):
    with pytest.raises(ScenarioError, match=message):
        plans(Scenario.model_validate(small(changes)))


def test_an_entry_has_its_own_mode(run_with):
    lazy, _, _ = run_with({"name": "allreduce", "checkpoint": "lazy"})
    assert lazy.checkpoints.config.mode == "lazy"


@pytest.mark.parametrize("name", SHIPPED)
def test_only_methods_with_common_points_go_back_together(small, name):
    pipelined = issubclass(algorithm_class(name), PipelineMethod)
    changes = {"algorithms": [name], "faults.checkpoint": dict(CHECKPOINT)}
    scenario = small(changes | ({"pipeline": {"stages": 2}} if pipelined else {}))
    if algorithm_class(name).safe_points == "common":
        assert len(plans(Scenario.model_validate(scenario))) == 1
        return
    with pytest.raises(ScenarioError, match=r"no points in common|never asks whether it is running"):
        plans(Scenario.model_validate(scenario))
