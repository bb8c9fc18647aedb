"""Asynchronous methods do what their equations say: held against plain loops over delayed gradients."""

from functools import partial

import pytest
import torch
from pipeline_runs import EVEN, NO_NETWORK, flat, plain_training

from simnet.algorithms.pipemare import Corrected, PipeMare
from simnet.optim import SGD
from simnet.pipeline.weights import WeightStore

ONE = {"pipeline.replicas": 1}
IDEAL = {**NO_NETWORK, **EVEN, **ONE}
PLAIN = {"task.optimizer": {"name": "sgd", "lr": 0.1}}


def gradient_at(task, vector, batch):
    """The gradient of one microbatch at flat parameters."""
    model = task.make_model()
    torch.nn.utils.vector_to_parameters(vector, model.parameters())
    inputs, targets = task.batches(0, batch, 1)
    task.loss(model(inputs[0]), targets[0]).mean().backward()
    return torch.cat([value.grad.flatten() for value in model.parameters()])


def slices(run):
    """Where each stage's part of the flat vector lies."""
    return [
        slice(node.pieces[0].start, node.pieces[0].start + node.pieces[0].parameters) for node in run.stages
    ]


def test_pipedream_is_sgd_on_gradients_of_mixed_ages(pipe):
    """`w_i <- w_i - lr g_i(w_1^{t-P+1}, ..., w_P^t)`: each stage's weights as old as its place says."""
    run = pipe("pipedream", {}, {**IDEAL, **PLAIN, "pipeline.stages": 3, "stop.steps": 8})
    task = run.plan.world.task
    history = [flat(task.make_model())]
    for step in range(8):
        seen = history[-1].clone()
        for stage, part in enumerate(slices(run)):
            seen[part] = history[max(0, step - (2 - stage))][part]
        history.append(history[-1] - 0.1 * gradient_at(task, seen, step))
    assert torch.allclose(run.model(), history[-1], atol=1e-5)


def test_pipedream_2bw_is_one_update_late_everywhere(pipe):
    """`w^{t+1} = w^t - lr g(w^{t-1})`, with the mean gradient of K microbatches."""
    run = pipe(
        "pipedream-2bw", {"microbatches": 4}, {**IDEAL, **PLAIN, "pipeline.stages": 3, "stop.steps": 6}
    )
    task = run.plan.world.task
    history = [flat(task.make_model())]
    for step in range(6):
        seen = history[max(0, step - 1)]
        mean = sum(gradient_at(task, seen, 4 * step + m) for m in range(4)) / 4
        history.append(history[-1] - 0.1 * mean)
    assert torch.allclose(run.model(), history[-1], atol=1e-5)
    assert run.metrics("staleness").groupby("node")["value"].max().to_dict() == {
        f"replica0.stage{stage}": 1.0 for stage in range(3)
    }


@pytest.mark.parametrize("name", ["pipedream", "pipemare", "nesterov-async"])
def test_one_stage_is_never_stale(pipe, name):
    """Then all of them are plain training, with the optimizer that they take."""
    adamw = partial(torch.optim.AdamW, lr=0.003, weight_decay=0.01)
    nadam = partial(
        torch.optim.NAdam, lr=0.003, betas=(0.99, 0.999), weight_decay=0.01, decoupled_weight_decay=True
    )
    changes = {"pipeline.stages": 1, **ONE, "stop.steps": 5}
    run = pipe(name, {"update_every": 2}, changes)
    expected = plain_training(run.plan, 5, 2, nadam if name == "nesterov-async" else adamw)
    assert torch.allclose(run.model(), expected, atol=1e-5)


def test_pipemare_with_only_synchronous_updates_is_synchronous(pipe):
    changes = {**IDEAL, "stop.steps": 4}
    mare = pipe("pipemare", {"synchronous_updates": 4, "update_every": 3}, changes)
    assert torch.allclose(mare.model(), pipe("pipeline", {"microbatches": 3}, changes).model(), atol=1e-6)
    assert set(mare.metrics("staleness")["value"]) == {0.0}


def test_pipemare_discount(pipe):
    """The first stage of two is one update late; with tau of 1 and 0 nothing is discounted, with 2 it is."""
    method = PipeMare(anneal_updates=10)
    assert method.discounted(SGD(lr=1.0), 1.0, 0).lr == 1.0
    assert method.discounted(SGD(lr=1.0), 4.0, 0).lr == 0.25
    assert method.discounted(SGD(lr=1.0), 4.0, 5).lr == 0.5
    assert method.discounted(SGD(lr=1.0), 4.0, 10).lr == 1.0


def test_pipemare_correction_undoes_steady_motion(pipe):
    """Where every update is the same, moving back by tau of them is the forward pass's weights."""
    store, policy = WeightStore(torch.zeros(2), smoothing=0.0), Corrected()
    version, seen = policy.forward(store, 0)
    for _ in range(3):
        store.advance(store.latest + 1)
    assert torch.equal(policy.backward(store, version), seen)


def test_no_stash_differs_from_stash_only_where_weights_moved(pipe):
    changes = {**IDEAL, "pipeline.stages": 3, "stop.steps": 6}
    stashed = pipe("nesterov-async", {}, changes)
    latest = pipe("nesterov-async", {"stash": False, "last_beta1": 0.99, "discount": 0.0}, changes)
    assert not torch.allclose(stashed.model(), latest.model(), atol=1e-6)
    held = latest.metrics("weight_versions")
    assert len(held) == 0
    short = {**changes, "stop.steps": 1}
    one = pipe("nesterov-async", {}, short).model()
    other = pipe("nesterov-async", {"stash": False, "last_beta1": 0.99, "discount": 0.0}, short).model()
    assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("name", ["pipeline", "pipedream", "pipedream-2bw", "pipemare", "nesterov-async"])
def test_replicas_agree(pipe, name):
    """With an all-reduce of every gradient, replicas stay the same to the bit."""
    run = pipe(name, {}, {"pipeline.stages": 2, "stop.steps": 4})
    assert torch.equal(run.model(0), run.model(1))


@pytest.mark.parametrize("name", ["pipeline", "pipedream"])
def test_outer_steps_with_a_plain_optimizer_are_averages(pipe, name):
    """Every update an outer step of size 1 from the anchor: with SGD that is an all-reduce of gradients."""
    changes = {"pipeline.stages": 2, "stop.steps": 4, **PLAIN}
    outer = {"replicas": "diloco", "local_updates": 1, "outer": {"name": "sgd", "lr": 1.0}}
    local, every = pipe(name, outer, changes), pipe(name, {}, changes)
    assert torch.allclose(local.model(), every.model(), atol=1e-6)
    assert torch.allclose(local.model(0), local.model(1), atol=1e-6)


def test_local_updates_let_replicas_drift(pipe):
    options = {"replicas": "diloco", "local_updates": 3}
    run = pipe("pipeline", options, {"pipeline.stages": 2, "stop.steps": 4})
    assert not torch.allclose(run.model(0), run.model(1), atol=1e-6)
    run = pipe("pipeline", options, {"pipeline.stages": 2, "stop.steps": 6})
    assert torch.equal(run.model(0), run.model(1))
