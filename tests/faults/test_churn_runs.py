"""Runs in which nodes go and come: the same luck for everybody, and nothing gets lost uncounted."""

from collections.abc import Callable
from contextlib import suppress
from math import inf

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import simnet
from simnet.plan import make_engine, plans
from simnet.results import Recorder
from simnet.results.parquet import encode
from simnet.runtime.node import Algorithm, Encoded, Node, PeerLost
from simnet.runtime.simulated import DeadlockError, SimulatedRun
from simnet.scenario import Scenario

STEP = 0.5
GO_AND_COME = {"kind": "exponential", "mean_up": "20 s", "mean_down": "5 s"}


def timed(algorithm, faults=None, nodes=6, stop=None, seed=0, **network):
    """A timing-only scenario on a star."""
    return {
        "name": "churn",
        "seed": seed,
        "network": {
            "topology": {"kind": "star", "nodes": nodes},
            "link": {"bandwidth": "100 Mbps", "latency": "5 ms"},
            "detection_timeout": "1 s",
            **network,
        },
        "workers": {},
        "task": {"name": "synthetic", "parameters": "1M", "step_seconds": f"{STEP} s"},
        "algorithms": [algorithm],
        "stop": stop or {"time": "100 s"},
        **({} if faults is None else {"faults": faults}),
    }


class Simulated:
    """A run of a scenario, or of a coroutine in the place of its method."""

    def __init__(self, mapping, worker=None):
        (plan,) = plans(Scenario.model_validate(mapping))
        self.recorder = Recorder()
        method = plan.method if worker is None else Scripted(does=worker)
        self.run = SimulatedRun(plan.world, method, make_engine(plan), self.recorder)
        self.outcome = self.run.run()
        self.counts = self.outcome.invariants

    @property
    def faults(self):
        table = self.recorder.tables().get("faults")
        return [] if table is None else [tuple(row.values()) for row in table.to_pylist()]

    def assert_balanced(self):
        """Every byte and every second of work is somewhere."""
        counts = self.counts
        self.run.network.check()
        assert counts["bytes_sent"] == pytest.approx(
            counts["bytes_received"] + counts["bytes_lost"], abs=1e-5
        )
        assert 0 <= counts["bytes_in_flight_at_end"] <= counts["bytes_lost"] + 1e-5
        work = {key: counts[f"work_seconds_{key}"] for key in ("charged", "used", "wasted", "unfinished")}
        assert work["charged"] == pytest.approx(work["used"] + work["wasted"] + work["unfinished"])
        spans = self.recorder.tables()["spans"].to_pylist()
        computed = sum(span["end"] - span["start"] for span in spans if span["kind"] == "compute")
        assert work["charged"] == pytest.approx(computed)
        return work


class Scripted(Algorithm):
    """A method whose worker is a function of the test."""

    does: Callable[[Node], object]

    def roles(self):
        return {"worker": self.does}


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


# -- detection and partitions -------------------------------------------------------------------------


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


# -- whatever happens ---------------------------------------------------------------------------------

NODES = tuple(f"n{i}" for i in range(5))


@st.composite
def schedules(draw):
    """Lists of churn entries and partitions."""
    churn = []
    for node in draw(st.lists(st.sampled_from(NODES), max_size=4, unique=True)):
        kind = draw(st.sampled_from(["crash", "leave", "exponential", "join"]))
        entry = {"kind": kind, "node": node, "memory": draw(st.sampled_from(["lost", "disk"]))}
        if kind == "exponential":
            entry["mean_up"], entry["mean_down"] = draw(st.sampled_from([("5 s", "2 s"), ("1 s", "1 s")]))
        elif kind == "join":
            entry["at"] = draw(st.floats(0.1, 20))
        else:
            if draw(st.booleans()):
                entry["step"] = draw(st.integers(1, 20))
            else:
                entry["at"] = draw(st.floats(0, 20))
            if draw(st.booleans()):
                entry["down"] = draw(st.floats(0.01, 10))
        churn.append({key: f"{value} s" if key in ("at", "down") else value for key, value in entry.items()})
    partitions = []
    if draw(st.booleans()):
        start, lasts = draw(st.floats(0, 15)), draw(st.floats(0.1, 10))
        size = draw(st.integers(1, 4))
        partitions = [{"at": f"{start} s", "until": f"{start + lasts} s", "groups": [list(NODES[:size])]}]
    detection = draw(
        st.sampled_from(
            [
                {"kind": "timeout", "timeout": "700 ms"},
                {"kind": "heartbeats", "period": "500 ms", "misses": 2},
            ]
        )
    )
    return {"churn": churn, "partitions": partitions, "detection": detection}


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


# -- read back ----------------------------------------------------------------------------------------


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
