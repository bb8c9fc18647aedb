"""Equal steps at one instant are computed once, and only those; a worker keeps one optimizer state."""

import gc
import weakref

import torch

from simnet.optim import SGD, Nesterov
from simnet.runtime.shared_steps import SharedSteps


def arguments(scale=1.0):
    params = torch.arange(4.0) * scale
    return params, torch.ones(4), Nesterov(lr=0.1).init(params)


def test_equal_steps_share_their_result():
    shared, outer = SharedSteps(), Nesterov(lr=0.1)
    first = shared.call(1.0, outer.step, arguments())
    assert shared.call(1.0, Nesterov(lr=0.1).step, arguments()) is first
    expected, state = outer.step(*arguments())
    assert torch.equal(first[0], expected)
    assert torch.equal(first[1]["momentum"], state["momentum"])


def test_other_steps_do_not():
    shared, outer = SharedSteps(), Nesterov(lr=0.1)
    first = shared.call(1.0, outer.step, arguments())
    assert shared.call(2.0, outer.step, arguments()) is not first  # later
    first = shared.call(2.0, outer.step, arguments())
    assert shared.call(2.0, outer.step, arguments(1 + 1e-7)) is not first
    first = shared.call(2.0, outer.step, arguments())
    assert shared.call(2.0, Nesterov(lr=0.2).step, arguments()) is not first
    first = shared.call(2.0, outer.step, arguments())
    shared.forget()
    assert shared.call(2.0, outer.step, arguments()) is not first


def test_what_is_no_optimizer_s_step_is_called_each_time():
    shared, calls = SharedSteps(), []
    for _ in range(2):
        shared.call(0.0, calls.append, (1,))
        shared.call(0.0, SGD(lr=1).init, (torch.ones(2),))
    assert calls == [1, 1]


def test_diloco_s_workers_hold_one_outer_state(simulate):
    states = []

    async def worker(node):
        outer, anchor = Nesterov(lr=0.7), node.params
        state = outer.init(anchor)
        for _ in range(2):
            await node.train(1)
            drift = await node.all_reduce(anchor - node.params)
            anchor, state = await node.compute(outer.step, anchor, drift, state, flops=100.0)
            node.params = anchor
        states.append(state)

    done = simulate(worker, {"stop": {"steps": 2}})
    assert len({id(state["momentum"]) for state in states}) == 1
    assert done.outcome.invariants["computations"] == 8


def test_an_old_optimizer_state_is_gone_when_the_new_one_is_there(simulate):
    old = []

    async def worker(node):
        await node.train(1)
        await node.barrier()
        old.extend(weakref.ref(value) for value in node._optimizer_state.values())
        await node.train(1)
        gc.collect()
        assert not any(reference() is value for reference in old for value in node._optimizer_state.values())

    changes = {"task.optimizer": {"name": "adamw", "lr": 0.01}, "stop": {"steps": 2}}
    simulate(worker, changes)
    assert len(old) == 12
    assert all(reference() is None for reference in old)
