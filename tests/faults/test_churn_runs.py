"""Runs in which nodes go and come: the same luck for everybody, and deadlocks are told."""

import pytest
from churn_runs import GO_AND_COME, STEP, Simulated, timed

import simnet
from simnet.plan import plans
from simnet.results.parquet import encode
from simnet.runtime.node import Encoded, PeerLost
from simnet.runtime.simulated import DeadlockError
from simnet.scenario import Scenario


def test_the_same_failures_for_every_algorithm():
    """Common random numbers: who goes and comes when does not depend on the method, or on what it sends."""
    faults = {"churn": GO_AND_COME}
    seen = {}
    for name in ("allreduce", "local-sgd", "fedavg", "gossip"):
        done = Simulated(timed(name, faults))
        assert done.outcome.virtual_seconds == pytest.approx(100.0)
        seen[name] = [
            row for row in done.faults if row[2] in ("present", "down", "up") and row[1] != "server"
        ]
        done.assert_balanced()
    assert len(seen["allreduce"]) > 40
    assert all(rows == seen["allreduce"] for rows in seen.values())
    other = Simulated(timed("allreduce", faults, seed=1))
    assert [row for row in other.faults if row[2] != "noticed"] != seen["allreduce"]


@pytest.mark.parametrize("algorithm", ["allreduce", "fedavg", "gossip"])
def test_an_empty_section_changes_no_byte(algorithm):
    plain = Simulated(timed(algorithm, stop={"steps": 20}))
    empty = Simulated(timed(algorithm, {"churn": [], "partitions": []}, stop={"steps": 20}))
    assert plain.recorder.files() == empty.recorder.files()
    assert plain.outcome == empty.outcome
    assert "faults.parquet" not in plain.recorder.files()
    (one,), (two,) = (
        plans(Scenario.model_validate(timed(algorithm, faults))) for faults in (None, {"churn": []})
    )
    assert one.digest == two.digest


def test_churn_that_begins_after_the_end_changes_no_byte(without_accounts):
    """But for what says so: what is pending neither prolongs a run nor moves an event of it."""
    late = {"churn": {"kind": "crash", "node": "n1", "at": "1 h", "down": "1 h"}}
    calm = Simulated(timed("allreduce", stop={"steps": 20}))
    stormy = Simulated(timed("allreduce", late, stop={"steps": 20}))
    tables, expected = stormy.recorder.tables(), calm.recorder.tables()
    assert set(tables) - {"faults"} == set(expected)
    for name, table in expected.items():
        assert encode(without_accounts(tables[name])) == encode(table)
    assert stormy.outcome == calm.outcome
    assert {row[2] for row in stormy.faults} == {"present"}


def test_a_run_ends_with_its_steps_though_nodes_go_and_come_for_ever():
    async def worker(node):
        while node.running:
            await node.train(1)

    done = Simulated(timed("allreduce", {"churn": GO_AND_COME}, stop={"steps": 30}), worker)
    assert all(node.steps == 30 for node in done.run.nodes.values())
    assert done.outcome.virtual_seconds < 60
    work = done.assert_balanced()
    assert work["used"] == pytest.approx(6 * 30 * STEP)  # what was cut off was not counted as a step
    assert work["wasted"] > 0
    assert work["unfinished"] == 0


def test_a_step_is_counted_by_the_node_itself():
    async def worker(node):
        while node.running:
            await node.train(1)

    faults = {"churn": [{"kind": "crash", "node": "n3", "step": 10, "down": "2 s", "memory": "disk"}]}
    done = Simulated(timed("allreduce", faults, stop={"steps": 20}), worker)
    down, up = (row for row in done.faults if row[2] in ("down", "up"))
    assert down == (pytest.approx(10 * STEP), "n3", "down", "crash")
    assert up == (pytest.approx(10 * STEP + 2), "n3", "up", "crash")
    assert done.run.nodes["n3"].steps == 20
    assert done.outcome.virtual_seconds == pytest.approx(20 * STEP + 2)


def test_joining_leaving_and_rejoining():
    seen = []

    async def worker(node):
        seen.append((node.now, node.id, node.incarnation, node.up()))
        while node.running:
            await node.sleep(1.0)
            if node.id == "n0" and node.now in (4.0, 6.0, 20.0):
                seen.append((node.now, "sees", 0, node.up()))

    faults = {
        "churn": [
            {"kind": "join", "node": "n2", "at": "3 s"},
            {"kind": "leave", "node": "n1", "at": "5.5 s"},
            {"kind": "rejoin", "node": "n1", "at": "10 s"},
        ]
    }
    done = Simulated(timed("allreduce", faults, nodes=3, stop={"time": "25 s"}), worker)
    assert seen == [
        (0.0, "n0", 0, ("n0", "n1")),  # everybody knows who is not there yet
        (0.0, "n1", 0, ("n0", "n1")),
        (3.0, "n2", 1, ("n0", "n1", "n2")),
        (4.0, "sees", 0, ("n0", "n1", "n2")),
        (6.0, "sees", 0, ("n0", "n2")),  # told, long before a timeout of 1 s
        (10.0, "n1", 1, ("n0", "n1", "n2")),
        (20.0, "sees", 0, ("n0", "n1", "n2")),
    ]
    noticed = [row for row in done.faults if row[2] == "noticed"]
    assert [row[1] for row in noticed] == ["n1"]
    assert noticed[0][0] == pytest.approx(5.5 + 64 / 12.5e6 * 2 + 0.01, abs=1e-4)  # a flow of 64 bytes each
    assert done.counts["bytes_received"] == 2 * 64


def test_what_a_leaver_is_sending_still_leaves():
    """A node that leaves finishes its message; one that crashes does not."""
    got = {}

    async def worker(node):
        if node.id == "n1":
            await node.send("n0", Encoded("all of it", 12.5e6))  # a second
        if node.id == "n0":
            try:
                got[kind] = (await node.recv("n1")).payload.content
            except PeerLost:
                got[kind] = node.now
        await node.sleep(5.0)

    for kind in ("leave", "crash"):
        faults = {"churn": {"kind": kind, "node": "n1", "at": "500 ms"}}
        Simulated(timed("allreduce", faults, nodes=2, stop={"time": "20 s"}), worker).assert_balanced()
    assert got["crash"] == pytest.approx(1.5)
    assert got["leave"] == pytest.approx(0.5, abs=0.1)  # told that it is gone before the message was whole


def test_two_reasons_to_be_down():
    """A node is up when no entry wants it down."""
    faults = {
        "churn": [
            {"kind": "crash", "node": "n1", "at": "2 s", "down": "4 s"},
            {"kind": "crash", "nodes": ["n1", "n2"], "at": "4 s", "down": "4 s", "together": "all"},
        ]
    }

    async def worker(node):
        await node.sleep(12.0 - node.now)

    rows = [row for row in Simulated(timed("allreduce", faults), worker).faults if row[2] in ("down", "up")]
    assert [row[:3] for row in rows] == [
        (2.0, "n1", "down"),
        (4.0, "n2", "down"),
        (8.0, "n1", "up"),
        (8.0, "n2", "up"),
    ]


def test_all_nodes_of_a_host_go_with_it():
    faults = {"churn": {"kind": "crash", "node": "n0", "at": "2 s", "down": "1 s"}}
    mapping = timed("fedavg", faults, nodes=3, stop={"time": "4 s"})
    mapping["server"] = {"node": "n0"}
    rows = [row for row in Simulated(mapping).faults if row[2] == "down"]
    assert {row[1] for row in rows} >= {"server"}


# -- who waits for what -------------------------------------------------------------------------------


def test_waiting_for_somebody_who_is_down_for_good_is_diagnosed():
    async def worker(node):
        if node.id == "n0":
            await node.recv()  # from anybody: nobody is left who would send
        await node.sleep(20.0)

    faults = {"churn": {"kind": "crash", "node": "n1", "at": "2 s"}}
    with pytest.raises(
        DeadlockError, match=r"(?s)n0 waits for a message '' from anyone.*n1 is down since 2 s"
    ):
        Simulated(timed("allreduce", faults, nodes=2), worker)


def test_waiting_while_others_go_and_come_for_ever_is_diagnosed():
    """Nobody takes a step any more, and nothing but churn is to come."""

    async def worker(node):
        await node.train(1)
        await node.recv()

    faults = {"churn": {**GO_AND_COME, "nodes": ["n1"]}}
    with pytest.raises(DeadlockError, match=r"(?s)without anybody taking a step.*n0 waits for a message"):
        Simulated(timed("allreduce", faults, nodes=2, stop={"steps": 10}), worker)


@pytest.mark.parametrize("stop", [{"time": "60 s"}, {"steps": 10}])
def test_heartbeats_neither_hide_a_deadlock_nor_prolong_a_run(stop):
    async def waits(node):
        await node.recv()

    async def ends(node):
        await node.train(2)

    faults = {"detection": {"kind": "heartbeats", "period": "100 ms"}}
    with pytest.raises(DeadlockError, match="n0 waits for a message"):
        Simulated(timed("allreduce", faults, nodes=3, stop=stop), waits)
    assert Simulated(timed("allreduce", faults, nodes=3, stop=stop), ends).outcome.virtual_seconds == 1.0


def test_availability_is_read_back(tmp_path):
    """The mean over many nodes is up / (up + down), and each is what its rows add up to."""
    nodes, end = 30, 5000.0
    faults = {"churn": {"kind": "exponential", "mean_up": "60 s", "mean_down": "10 s", "start": "random"}}
    mapping = timed({"name": "fedavg", "local_steps": 50}, faults, nodes=nodes, stop={"time": f"{end} s"})
    (run,) = simnet.run(Scenario.model_validate(mapping), tmp_path)
    shares = {name: share for name, share in run.availability().items() if name != "server"}
    p = 6 / 7
    deviation = (p * (1 - p) * ((1 - p) * 60 + p * 10) / end / nodes) ** 0.5
    assert sum(shares.values()) / nodes == pytest.approx(p, abs=4 * deviation)
    assert run.availability()["server"] == 1.0
    rows = run.faults[(run.faults["node"] == "n7") & (run.faults["event"] != "noticed")]
    edges = [*rows["time"], end]
    states = rows["event"].isin(["present", "up"])
    up = sum(b - a for a, b, is_up in zip(edges, edges[1:], states, strict=False) if is_up)
    assert shares["n7"] == pytest.approx(up / end)


def test_a_run_without_faults_has_no_such_rows(tmp_path):
    (run,) = simnet.run(Scenario.model_validate(timed("allreduce", nodes=2, stop={"steps": 2})), tmp_path)
    assert len(run.faults) == 0
    assert list(run.faults.columns) == ["time", "node", "event", "cause"]
    assert run.availability() == {}
    assert not (run.folder / "faults.parquet").exists()
