"""Groups of workers with batch sizes of their own."""

import pytest
import torch

from simnet.compute import Engine
from simnet.optim import SGD
from simnet.plan import plans
from simnet.scenario import Scenario, ScenarioError
from simnet.tasks import build_task

CHANGES = {"workers": [{"count": 1, "device": "cpu", "batch_size": 5}, {"device": "cpu"}]}


def test_a_group_reads_the_same_samples_in_batches_of_its_own_size(small):
    alike = build_task(Scenario.model_validate(small()), torch.device("cpu"), 4)
    task = build_task(Scenario.model_validate(small(CHANGES)), torch.device("cpu"), 4)
    assert task.batch_sizes == (5, 16, 16, 16)
    own, given = task.batches(0, 0, 16)[0], alike.batches(0, 0, 5)[0]
    assert torch.equal(own.flatten(0, 1), given.flatten(0, 1))
    assert torch.equal(task.batches(1, 3, 2)[0], alike.batches(1, 3, 2)[0])


def test_steps_of_all_sizes_are_those_of_each_alone(small):
    task = build_task(Scenario.model_validate(small(CHANGES)), torch.device("cpu"), 4)
    together, alone = Engine(task, SGD(lr=0.1)), Engine(task, SGD(lr=0.1), mode="loop")
    params, state = together.initial_params, together.init_state(together.initial_params)
    jobs = [
        (one.submit_train(worker, params, state, 3, 0)) for worker in range(4) for one in (together, alone)
    ]
    together.flush()
    alone.flush()
    for joint, single in zip(jobs[::2], jobs[1::2], strict=True):
        torch.testing.assert_close(joint.result.params, single.result.params, rtol=1e-5, atol=1e-6)


def test_the_clock_charges_each_its_own(small):
    (plan,) = plans(Scenario.model_validate(small(CHANGES)))
    slow, *rest = [machine.gradient_flops for machine in plan.world.cost.machines[:4]]
    assert slow == pytest.approx(rest[0] * 5 / 16)


def test_where_sizes_are_given_already_they_are_refused(small):
    with pytest.raises(ScenarioError, match="all its samples"):
        plans(Scenario.model_validate(small(CHANGES | {"task.batch_size": "full"})))
