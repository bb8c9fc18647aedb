"""Synchronous pipelines compute what one process computes, whatever the schedule."""

from functools import partial

import pytest
import torch
from pipeline_runs import plain_training

SCHEDULES = [
    ({"schedule": "gpipe"}, 4),
    ({"schedule": "1f1b"}, 4),
    ({"schedule": "1f1b", "recompute": True}, 3),
    ({"schedule": "interleaved", "virtual_stages": 2}, 2),
]
ADAMW = partial(torch.optim.AdamW, lr=0.003, weight_decay=0.01)


@pytest.mark.parametrize(("options", "stages"), SCHEDULES)
def test_weights_after_20_steps(pipe, options, stages):
    changes = {"pipeline.stages": stages, "pipeline.replicas": 1, "stop.steps": 20}
    run = pipe("pipeline", {"microbatches": 4, **options}, changes)
    assert torch.allclose(run.model(), plain_training(run.plan, 20, 4, ADAMW), atol=1e-5)


@pytest.mark.parametrize("schedule", ["gpipe", "1f1b"])
def test_replicas_are_data_parallel(pipe, schedule):
    changes = {"pipeline.stages": 2, "stop.steps": 5}
    run = pipe("pipeline", {"microbatches": 3, "schedule": schedule}, changes)
    expected = plain_training(run.plan, 5, 3, ADAMW)
    assert torch.allclose(run.model(0), expected, atol=1e-5)
    assert torch.equal(run.model(0), run.model(1))


def test_clipping_is_by_the_norm_of_the_whole_gradient(pipe):
    changes = {"task.optimizer.clip_norm": 0.05, "pipeline.replicas": 1, "stop.steps": 5}
    run = pipe("pipeline", {"microbatches": 2}, changes)
    assert torch.allclose(run.model(), plain_training(run.plan, 5, 2, ADAMW, clip=0.05), atol=1e-5)


@pytest.mark.parametrize(
    ("task", "stages"),
    [
        ({"name": "classification", "model": {"name": "mlp", "hidden": [16, 16, 16]}}, 4),
        ({"name": "classification", "model": {"name": "cnn"}}, 2),
    ],
)
def test_other_models(pipe, task, stages):
    sgd = {"batch_size": 8, "optimizer": {"name": "sgd", "lr": 0.1}}
    run = pipe(
        "pipeline",
        {"microbatches": 4},
        {"task": {**task, **sgd}, "pipeline.stages": stages, "pipeline.replicas": 1},
    )
    expected = plain_training(run.plan, 3, 4, partial(torch.optim.SGD, lr=0.1))
    assert torch.allclose(run.model(), expected, atol=1e-5)


def test_asynchronous_methods_with_one_stage_are_plain_training(pipe):
    changes = {"pipeline.stages": 1, "pipeline.replicas": 1, "stop.steps": 5}
    run = pipe("pipedream", {"update_every": 2}, changes)
    assert torch.allclose(run.model(), plain_training(run.plan, 5, 2, ADAMW), atol=1e-5)


def test_weights_do_not_depend_on_who_computes_beside_whom(pipe):
    """Replicas of other speeds come back at other times, and their graphs are not there then."""
    options = {"replicas": "diloco", "local_updates": 2, "outer": {"name": "sgd", "lr": 1.0}}
    link = {"network.link.bandwidth": "1 Mbps"}
    changes = {"pipeline.stages": 2, "stop.steps": 6, **link}
    speeds = [{"count": 2, "device": "cpu"}, {"count": 2, "device": "cpu", "speed": 0.3}]
    for name in ("pipeline", "pipedream"):
        even = pipe(name, options, changes)
        uneven = pipe(name, options, {**changes, "workers": speeds})
        assert uneven.outcome.virtual_seconds > even.outcome.virtual_seconds
        assert torch.allclose(even.model(), uneven.model(), atol=1e-5)


@pytest.mark.parametrize("name", ["pipeline", "pipedream"])
def test_computing_again_changes_nothing(pipe, name):
    kept, again = pipe(name, {}, {"stop.steps": 5}), pipe(name, {"recompute": True}, {"stop.steps": 5})
    assert torch.allclose(kept.model(), again.model(), atol=1e-6)
