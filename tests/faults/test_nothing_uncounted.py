"""Whatever goes wrong in a run, nothing gets lost uncounted."""

from contextlib import suppress
from math import inf

import pytest
from churn_runs import STEP, Simulated, schedules, timed
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.runtime.node import PeerLost
from simnet.runtime.simulated import DeadlockError


@settings(max_examples=40, deadline=None)
@given(schedules(), st.sampled_from(["chatter", "train", "ring"]), st.integers(0, 3))
def test_whatever_happens_everything_is_accounted_for(faults, what, seed):
    """Runs end within their time, with every byte and second counted, or say who waits for what."""

    async def worker(node):
        while node.running:
            try:
                if what == "train":
                    await node.train(3)
                elif what == "chatter":
                    peers = [peer for peer in node.up() if peer != node.id]
                    node.spawn(listen(node))
                    await node.train(1)
                    if peers:
                        await node.send(peers[int(node.rng.integers(len(peers)))], node.params, "gossip")
                else:
                    gradient = await node.gradient()
                    group = node.up()
                    await node.all_gather(gradient.vector, group=group)
                    await node.step(gradient.vector)
            except PeerLost:
                await node.sleep(0.3)

    async def listen(node):
        await node.recv(tag="gossip")

    mapping = timed("allreduce", faults, nodes=5, stop={"steps": 25, "time": "40 s"}, seed=seed)
    if what == "ring":  # whose members may wait for each other in different groups: that must be said
        with suppress(DeadlockError):
            Simulated(mapping, worker).assert_balanced()
        return
    done = Simulated(mapping, worker)
    assert done.outcome.virtual_seconds <= 40
    work = done.assert_balanced()
    if what == "train":
        assert work["used"] == pytest.approx(done.outcome.worker_steps * STEP)
    up = {}
    for time, node, event, _ in done.faults:
        if event in ("present", "up"):
            assert up.get(node) is not True
            up[node] = True
        if event in ("down", "absent"):
            assert up.get(node) is not False or time == 0
            up[node] = False
    assert done.outcome.virtual_seconds < inf
