"""Nodes that go down and come back: what they still have, what others are told, and what it cost."""

import pytest
import torch
from collective_runs import star

from simnet.runtime.node import Encoded, NodeDown, PeerLost, Timeout

DETECTION = 5.0


def crashing(worker, *, at=0.2, back=None, disk=False, victim="n1"):
    """`worker`, and on n0 a task that takes `victim` down at a time, and up again."""

    async def weather(node):
        await node.sleep(at)
        node._run.fail(victim)
        if back is not None:
            await node.sleep(back - at)
            node._run.lifecycle.up(victim, disk=disk)

    async def main(node):
        if node.rank == 0 and not node.incarnation:
            node.spawn(weather(node))
        await worker(node)

    return main


def test_its_code_gets_node_down_and_its_role_starts_anew(simulate):
    seen = []

    async def worker(node):
        if node.id != "n1":
            await node.sleep(3.0)
            return
        seen.append(("starts", node.now, node.incarnation))
        child = node.spawn(sleeper(node))
        try:
            await node.sleep(1.0)
            seen.append(("ends", node.now, node.incarnation))
        except NodeDown:
            seen.append(("down", node.now, node.incarnation))
            raise
        finally:
            seen.append(("child", child.done, node.now))

    async def sleeper(node):
        try:
            await node.sleep(0.5)
        except NodeDown:
            seen.append(("child down", node.now))
            raise

    simulate(crashing(worker, back=1.2), star(3))
    assert seen[0] == ("starts", 0.0, 0)
    assert ("down", 0.2, 0) in seen
    assert ("child down", 0.2) in seen
    assert ("starts", 1.2, 1) in seen
    assert seen[-2:] == [("ends", 2.2, 1), ("child", True, 2.2)]


@pytest.mark.parametrize("disk", [False, True])
def test_what_it_still_has(simulate, disk):
    """Memory lost: the model of the start. Disk: what it had when it last asked whether to go on."""
    seen = {}

    async def worker(node):
        if node.id != "n1":
            await node.sleep(3.0)
            return
        first = node._run.engine.initial_params
        if node.incarnation:
            seen["after"], seen["version"] = node.params, node.version
            seen["steps"], seen["drawn"] = node.steps, node.batches_drawn
            return
        assert torch.equal(node.params, first)
        node.keeps_disk = True
        await node.train(2)
        node.version = 7
        assert node.running
        seen["safe"] = node.params
        await node.train(1)
        node.version = 8
        await node.sleep(10)

    done = simulate(crashing(worker, at=1.0, back=1.5, disk=disk), star(3))
    first = done.run.engine.initial_params
    assert torch.equal(seen["after"], seen["safe"] if disk else first)
    assert seen["version"] == (7 if disk else 0)
    assert (seen["steps"], seen["drawn"]) == (3, 3)  # work that was really done


def test_its_mailbox_is_empty_and_messages_to_its_former_life_are_lost(simulate):
    got = []

    async def worker(node):
        if node.rank == 2:
            await node.send("n1", "early", "a")  # which arrives before, and is not read
            with pytest.raises(PeerLost):
                await node.send("n1", Encoded("cut", 1e7), "b")
            assert node.now == 1.0  # told when it comes back, long before the timeout
            await node.send("n1", "late", "c")
        if node.rank == 1 and not node.incarnation:
            await node.sleep(10)
        if node.rank == 1 and node.incarnation:
            for tag in ("a", "b"):
                with pytest.raises(Timeout):
                    await node.recv(None, tag, timeout=1.0)
            got.append((await node.recv(None, "c")).payload)

    done = simulate(crashing(worker, at=0.2, back=1.0), star(3))
    assert got == ["late"]
    counts = done.outcome.invariants
    assert 0 < counts["bytes_lost"] < 1e7
    assert counts["bytes_sent"] == pytest.approx(counts["bytes_received"] + counts["bytes_lost"], abs=1e-5)


@pytest.mark.parametrize("back", [1.0, 8.0])
def test_who_waits_for_it_is_told_when_it_is_back_or_noticed(simulate, back):
    """Also where it is back sooner: the new one knows nothing of what was begun with the old one."""
    told = {}

    async def worker(node):
        if node.rank == 1:
            await node.sleep(20)
            return
        waiting = node.recv("n1") if node.rank == 0 else node.all_reduce(torch.ones(4))
        with pytest.raises(PeerLost) as lost:
            await waiting
        told[node.id] = (node.now, lost.value.peer, node.up())

    simulate(crashing(worker, at=0.5, back=back), star(4))
    now = min(back, 0.5 + DETECTION)
    left = ("n0", "n2", "n3") if back > now else ("n0", "n1", "n2", "n3")
    assert told == dict.fromkeys(("n0", "n2", "n3"), (now, "n1", left))


def test_who_is_up_as_far_as_one_knows(simulate):
    seen = {}

    async def worker(node):
        if node.rank == 1:
            await node.sleep(1.0)
            return
        for moment in (0.1, 4.0, 7.0, 9.0):
            await node.sleep(moment - node.now)
            seen[moment] = node.up()

    simulate(crashing(worker, at=0.5, back=8.0), star(3))
    assert seen[4.0] == ("n0", "n1", "n2")  # not noticed yet
    assert seen[7.0] == ("n0", "n2")
    assert seen[9.0] == ("n0", "n1", "n2")


def test_a_crash_wastes_what_was_being_computed(simulate):
    async def one(node):
        await node.train(1)

    step = simulate(one, star(1)).outcome.virtual_seconds

    async def worker(node):
        await node.train(4)

    done = simulate(crashing(worker, at=2.5 * step, back=10 * step), star(2))
    node = done.run.nodes["n1"]
    assert node.computing.wasted_seconds == pytest.approx(2.5 * step)
    assert node.computing.busy_seconds == pytest.approx(6.5 * step)
    assert node.steps == 4
    assert done.outcome.virtual_seconds == pytest.approx(14 * step)


def test_a_node_that_stays_down_is_not_waited_for(simulate):
    async def worker(node):
        await node.train(3)

    done = simulate(crashing(worker, at=1e-7), star(3))
    assert done.outcome.worker_steps == 6


def test_who_cannot_come_up(simulate):
    async def worker(node):
        if node.rank == 0:
            with pytest.raises(ValueError, match="it is not down"):
                node._run.lifecycle.up("n1")
        await node.sleep(0.1)

    simulate(worker, star(2))


@pytest.mark.parametrize("back", [2.0, None])
def test_who_has_finished_keeps_its_result(simulate, back):
    """Its model was handed over: that its machine loses its memory afterwards is no loss."""
    result = {}

    async def worker(node):
        if node.id == "n1":
            if not node.incarnation:
                await node.train(2)
                result["params"], result["state"] = node.params, node.optimizer_state
                node.version, node.kept["rounds"] = 2, 5
            return
        await node.sleep(5.0)

    changes = {"stop.steps": None, "stop.time": "10 s", "evaluate": {"every": "1 s", "samples": 8}}
    done = simulate(crashing(worker, at=1.0, back=back), star(3) | changes)
    node = done.run.nodes["n1"]
    assert node.incarnation == (0 if back is None else 1)
    assert torch.equal(node.params, result["params"])
    assert not torch.equal(node.params, done.run.engine.initial_params)
    assert (node.version, node.kept) == (2, {"rounds": 5})
    rows = done.recorder.tables()["metrics"].to_pylist()
    times = {row["time"] for row in rows if row["node"] == "n1" and row["name"] == "loss"}
    assert 1.0 in times or 2.0 in times  # while it is down as well
    assert max(times) == done.outcome.virtual_seconds


def test_who_had_not_finished_has_not(simulate):
    async def worker(node):
        if node.id == "n1":
            if not node.incarnation:
                await node.train(2)
                await node.sleep(3.0)
            return
        await node.sleep(5.0)

    done = simulate(crashing(worker, at=1.0, back=2.0), star(3))
    assert torch.equal(done.run.nodes["n1"].params, done.run.engine.initial_params)
