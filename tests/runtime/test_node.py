"""`Node` under the simulated clock: messages, computation, tasks. What every runtime must offer."""

import pytest
import torch

from simnet.runtime.node import Encoded, Timeout
from simnet.runtime.simulated import DeadlockError

LATENCY = 2 * 0.005
BANDWIDTH = 100e6 / 8


def test_send_returns_when_the_last_byte_left_and_arrives_a_latency_later(simulate):
    seen = {}

    async def worker(node):
        if node.rank == 0:
            await node.send("n1", Encoded("hello", 1e6), "greeting")
            seen["left"] = node.now
        elif node.rank == 1:
            message = await node.recv("n0", "greeting")
            seen["arrived"] = node.now
            assert (message.sender, message.sent_at, message.bytes) == ("n0", 0.0, 1e6)
            assert message.payload.content == "hello"

    simulate(worker)
    assert seen["left"] == pytest.approx(1e6 / BANDWIDTH, abs=1e-12)
    assert seen["arrived"] == pytest.approx(1e6 / BANDWIDTH + LATENCY, abs=1e-12)


def test_pair_exchange_uses_both_directions_at_once(simulate):
    async def worker(node):
        if node.rank < 2:
            peer = node.members("worker")[1 - node.rank]
            theirs = await node.exchange(peer, Encoded(node.rank, 1e6))
            assert theirs.content == 1 - node.rank
            assert node.now == pytest.approx(1e6 / BANDWIDTH + LATENCY, abs=1e-12)

    simulate(worker)


def test_incast_shares_the_receivers_downlink(simulate):
    async def worker(node):
        if node.rank:
            await node.send("n0", Encoded(None, 1e6))
        else:
            for _ in range(3):
                await node.recv()
            assert node.now == pytest.approx(3 * 1e6 / BANDWIDTH + LATENCY, abs=1e-12)

    simulate(worker)


def test_recv_keeps_tags_and_senders_apart(simulate):
    async def worker(node):
        if node.rank in (1, 2):
            await node.sleep(node.rank)
            await node.send("n0", node.rank, "b")
            await node.send("n0", 10 * node.rank, "a")
        elif node.rank == 0:
            assert (await node.recv("n2", "a")).payload == 20
            assert (await node.recv(None, "b")).payload == 1
            assert (await node.recv(None, "b")).payload == 2
            assert (await node.recv("n1", "a")).payload == 10

    simulate(worker)


def test_recv_times_out_and_the_message_is_still_there_for_the_next(simulate):
    async def worker(node):
        if node.rank == 1:
            await node.sleep(5)
            await node.send("n0", 1.0)
        elif node.rank == 0:
            with pytest.raises(Timeout, match="n0 waited 2 s"):
                await node.recv("n1", timeout=2)
            assert node.now == 2.0
            assert (await node.recv("n1", timeout=10)).payload == 1.0
            assert node.now == pytest.approx(5 + 8 / BANDWIDTH + LATENCY)

    simulate(worker)


def test_one_computation_at_a_time_per_device(simulate):
    async def worker(node):
        tasks = [node.spawn(node.compute(lambda: None, seconds=2.0)) for _ in range(3)]
        for turn, task in enumerate(tasks, start=1):
            await task
            assert node.now == 2.0 * turn

    done = simulate(worker)
    assert done.outcome.utilization == pytest.approx(1.0)


def test_there_is_no_work_without_a_cost(simulate):
    async def worker(node):
        for cost in ({}, {"flops": 1.0, "seconds": 1.0}, {"seconds": 0.0}, {"flops": -1.0}):
            with pytest.raises(ValueError, match="cost"):
                await node.compute(lambda: 1, **cost)
        assert await node.compute(lambda a, b: a + b, 1, 2, flops=1e9) == 3

    simulate(worker)


def test_train_until_takes_as_many_steps_as_fit(simulate):
    async def worker(node):
        started = node.now
        await node.train(1)
        one = node.now - started
        before = node.params
        taken = await node.train(until=node.spawn(node.sleep(3.5 * one)))
        assert taken == 3
        assert node.now == pytest.approx(4.5 * one)
        assert not torch.equal(before, node.params)
        assert await node.train(until=node.spawn(node.sleep(one))) == 1  # an exact fit counts

    done = simulate(worker, {"stop.steps": 100})
    assert done.outcome.worker_steps == 5 * 4


def test_train_never_takes_more_than_the_budget(simulate):
    async def worker(node):
        assert await node.train(4) == 4
        assert node.running
        assert await node.train(4) == 2
        assert not node.running
        assert await node.train(4) == 0

    assert simulate(worker).outcome.steps == 6


def test_gradient_and_step_are_one_train_step(simulate):
    seen = {}

    async def worker(node):
        if node.rank % 2:
            await node.train(1)
        else:
            gradient = await node.gradient()
            await node.step(gradient.vector)
        seen[node.id] = (node.params, node.now)

    simulate(worker, {"task.optimizer": {"name": "adamw", "lr": 0.01}})
    again = dict(seen)

    async def other_way_round(node):
        if node.rank % 2 == 0:
            await node.train(1)
        else:
            gradient = await node.gradient()
            await node.step(gradient.vector)
        seen[node.id] = (node.params, node.now)

    simulate(other_way_round, {"task.optimizer": {"name": "adamw", "lr": 0.01}})
    for name, (params, moment) in again.items():
        assert torch.allclose(params, seen[name][0], atol=1e-7)
        assert moment == pytest.approx(seen[name][1], abs=1e-15)


def test_assigning_params_while_training_is_an_error(simulate):
    async def worker(node):
        training = node.spawn(node.train(2))
        await node.sleep(1e-9)
        node.params = node.params + 1
        await training

    with pytest.raises(RuntimeError, match="would be lost"):
        simulate(worker)


def test_params_keep_their_shape(simulate):
    async def worker(node):
        with pytest.raises(ValueError, match="shape"):
            node.params = node.params[1:]

    simulate(worker)


def test_cancelling_a_send_loses_what_was_under_way(simulate):
    async def worker(node):
        if node.rank == 0:
            sending = node.spawn(node.send("n1", Encoded(None, 1e6)))
            await node.sleep(0.5e6 / BANDWIDTH)
            sending.cancel()
            assert await sending is None

    invariants = simulate(worker).outcome.invariants
    assert invariants["bytes_lost"] == pytest.approx(0.5e6)
    assert invariants["bytes_received"] == 0
    assert invariants["bytes_sent"] == pytest.approx(0.5e6)


def test_cancelled_work_is_charged_as_far_as_it_came_and_not_counted(simulate):
    async def worker(node):
        training = node.spawn(node.train(5))
        await node.sleep(1e-9)
        training.cancel()
        await training
        await node.train(1)

    assert simulate(worker).outcome.worker_steps == 4


def test_a_deadlock_is_explained(simulate):
    async def worker(node):
        if node.rank == 2:
            await node.recv("n3", "never sent")

    with pytest.raises(DeadlockError, match="n2 waits for a message 'never sent' from n3 since 0 s"):
        simulate(worker)


def test_a_missing_member_of_a_collective_is_named(simulate):
    async def worker(node):
        if node.rank != 1:
            await node.all_reduce(node.params)

    with pytest.raises(DeadlockError, match="all_reduce"):
        simulate(worker)


def test_unknown_receivers_and_unsized_payloads_are_errors(simulate):
    async def worker(node):
        with pytest.raises(ValueError, match="not a node"):
            await node.send("nobody", 1.0)
        with pytest.raises(TypeError, match="bytes of a object"):
            await node.send("n0", object())

    simulate(worker)


def test_shared_randomness_agrees_and_own_randomness_does_not(simulate):
    shared, own = set(), set()

    async def worker(node):
        shared.add(float(node.shared_rng("pairs", 3).random()))
        own.add(float(node.rng.random()))

    simulate(worker)
    assert len(shared) == 1
    assert len(own) == 4


def test_neighbors_follow_the_topology(simulate):
    seen = {}

    async def worker(node):
        seen[node.id] = node.neighbors

    simulate(worker, {"network.topology": {"kind": "ring", "nodes": 4}})
    assert seen == {"n0": ("n1", "n3"), "n1": ("n0", "n2"), "n2": ("n1", "n3"), "n3": ("n0", "n2")}
    simulate(worker)
    assert seen["n0"] == ("n1", "n2", "n3")


def test_a_server_is_its_own_node(simulate):
    async def worker(node):
        assert node.members("server") == ("server",)
        assert node.samples > 0
        await node.send("server", node.rank)

    async def server(node):
        ranks = [(await node.recv()).payload for _ in node.members("worker")]
        assert sorted(ranks) == [0, 1, 2, 3]
        assert node.samples == 0

    simulate(worker, server=server)
