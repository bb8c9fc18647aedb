"""Runs in which nodes watch each other, and are separated."""

import pytest
import torch
from churn_runs import Simulated, timed

from simnet.runtime.node import Encoded, PeerLost


def test_heartbeats_are_messages_and_notice_what_is_missing():
    told = {}

    async def worker(node):
        if node.id != "n3":
            with pytest.raises(PeerLost):
                await node.recv("n3")
            told[node.id] = node.now
        await node.sleep(30.0)

    faults = {
        "churn": {"kind": "crash", "node": "n3", "at": "10.4 s"},
        "detection": {"kind": "heartbeats", "period": "1 s", "misses": 3, "bytes": 125},
    }
    done = Simulated(timed("allreduce", faults, nodes=4, stop={"time": "20 s"}), worker)
    flow = 125 / 12.5e6 + 0.01  # over a link each way at full rate, and two latencies
    assert set(told) == {"n0", "n1", "n2"}
    for moment in told.values():
        # Its last beat was sent at 10 s; the one who listens tells the two others, at half the rate each.
        assert moment == pytest.approx(10 + flow + 3 + flow, abs=2e-5)
    rows = done.recorder.tables()["transfers"].to_pylist()
    beats = [row for row in rows if row["kind"] == "heartbeat"]
    assert len([row for row in beats if row["source"] == "n3"]) == 10
    assert len([row for row in beats if row["source"] == "n0"]) == 19
    assert len([row for row in rows if row["kind"] == "gone"]) == 2
    done.assert_balanced()
    assert done.counts["bytes_sent"] == pytest.approx(125 * (10 + 3 * 19 + 2))


@pytest.mark.parametrize("model", ["ideal", "tcp"])
def test_a_partition_that_heals_in_time_only_delays(model):
    """What is on its way stands still: the message takes as much longer as the partition lasts."""
    arrived = {}

    async def worker(node):
        if node.rank == 0:
            await node.send("n1", Encoded(None, 12.5e6))
            await node.send("n2", Encoded(None, 12.5e6))
        if node.rank in (1, 2):
            await node.recv("n0")
            arrived[node.id] = node.now
        if node.rank == 3:
            await node.sleep(1.5)
            await node.send("n0", Encoded(None, 0.0))
        if node.rank == 0:
            await node.recv("n3")
            arrived["n3"] = node.now

    times = []
    for faults in (None, {"partitions": {"at": "1.2 s", "until": "2 s", "groups": [["n0", "n1"]]}}):
        done = Simulated(timed("allreduce", faults, nodes=4, model=model), worker)
        done.assert_balanced()
        times.append(dict(arrived))
    calm, split = times
    assert split["n1"] == calm["n1"]  # on the same side, and before
    assert split["n2"] == pytest.approx(calm["n2"] + 0.8, rel=0.02 if model == "tcp" else 1e-9)
    assert calm["n3"] < split["n3"]
    held = [row for row in done.recorder.tables()["transfers"].to_pylist() if row["target"] == "n2"]
    assert dict(held[0]["bound"])["partition"] == pytest.approx(0.8)
    assert held[0]["status"] == "delivered"


def test_a_partition_that_is_noticed():
    """Each side loses the other: flows are cut, who waits is told, and both see each other when it heals."""
    seen = {}

    async def worker(node):
        other = {"n0": "n2", "n1": "n3", "n2": "n0", "n3": "n1"}[node.id]
        try:
            if node.rank < 2:
                await node.send(other, Encoded(None, 125e6))  # ten seconds
            else:
                await node.recv(other)
        except PeerLost as lost:
            seen[node.id] = (node.now, lost.peer, node.up())
        with pytest.raises(PeerLost):
            await node.all_reduce(torch.ones(3))
        side = ("n0", "n1") if node.rank < 2 else ("n2", "n3")
        total = await node.all_reduce(torch.ones(3), "sum", group=side)
        assert total.shape == (3,)
        await node.sleep(8.0 - node.now)
        seen[node.id, "after"] = node.up()
        everybody = ("n0", "n1", "n2", "n3")
        await node.all_reduce(torch.ones(3), "sum", group=everybody)

    faults = {"partitions": {"at": "2 s", "until": "6 s", "groups": [["n0", "n1"], ["n2", "n3"]]}}
    done = Simulated(timed("allreduce", faults, nodes=4), worker)
    for name, peer in (("n0", "n2"), ("n1", "n3"), ("n2", "n0"), ("n3", "n1")):
        side = ("n0", "n1") if name in ("n0", "n1") else ("n2", "n3")
        assert seen[name] == (pytest.approx(3.0), peer, side)
        assert seen[name, "after"] == ("n0", "n1", "n2", "n3")
    done.assert_balanced()
    assert done.counts["bytes_lost"] == pytest.approx(2 * 2 * 12.5e6, rel=0.01)  # two seconds of two flows
    assert [row[2] for row in done.faults if row[1] == "n0"] == ["present", "split", "healed"]
