"""Nodes that go down: who is told when, what arrives all the same, and that every byte is accounted for."""

import pytest
import torch
from collective_runs import ALL_REDUCES, BANDWIDTH, BROADCASTS, LATENCY, name_of, star

from simnet.runtime.node import Encoded, PeerLost, Timeout

DETECTION = 5.0
SIZE = 500_000  # 2 MB: 0.16 s over one link
FAILS_AT = 0.15  # in the middle of every collective below


@pytest.fixture
def scripted(simulate):
    """Runs `worker(node)` on every node and lets `victim` go down at a moment.

    Gives `{node: (moment, PeerLost or result)}` for the nodes that came through, and the finished run.
    """

    def run(worker, changes, victim="n2", at=FAILS_AT):
        ends = {}

        async def main(node):
            if node.id == victim:
                node.spawn(going_down(node))
            try:
                result = await worker(node)
            except PeerLost as lost:
                result = lost
            ends[node.id] = (node.now, result)

        async def going_down(node):
            await node.sleep(at)
            node._run.fail(node.id)
            await node.sleep(1)
            raise AssertionError("a node that is down does nothing")

        done = simulate(main, {**changes, "stop": {"time": "1 h"}})
        counts = done.outcome.invariants
        assert counts["bytes_sent"] == pytest.approx(
            counts["bytes_received"] + counts["bytes_lost"], abs=1e-5
        )
        done.run.network.check()
        assert victim not in ends
        return ends, done

    return run


def assert_all_lost(ends, survivors, moment=FAILS_AT + DETECTION):
    assert sorted(ends) == sorted(survivors)
    for when, lost in ends.values():
        assert isinstance(lost, PeerLost)
        assert lost.peer == "n2"
        assert when == pytest.approx(moment, abs=1e-9)


@pytest.mark.parametrize("collectives", ["fluid", "stepwise"])
@pytest.mark.parametrize("algorithm", ALL_REDUCES, ids=name_of)
def test_a_member_lost_in_an_all_reduce(scripted, algorithm, collectives):
    async def worker(node):
        return await node.all_reduce(torch.ones(SIZE))

    ends, done = scripted(worker, star(6, all_reduce=algorithm, collectives=collectives))
    assert_all_lost(ends, ["n0", "n1", "n3", "n4", "n5"])
    assert done.outcome.invariants["bytes_lost"] > 0
    statuses = set(done.recorder.tables()["transfers"]["status"].to_pylist())
    assert "cancelled" in statuses


@pytest.mark.parametrize("collectives", ["fluid", "stepwise"])
@pytest.mark.parametrize("kind", ["reduce_scatter", "all_gather"])
def test_a_member_lost_in_a_ring(scripted, kind, collectives):
    async def worker(node):
        return await getattr(node, kind)(torch.ones(2 * SIZE))

    ends, _ = scripted(worker, star(5, collectives=collectives))
    if kind == "reduce_scatter" and collectives == "stepwise":
        # Pieces that have passed it get round without it: their owners have what they need.
        for name in [name for name, (_, result) in ends.items() if isinstance(result, torch.Tensor)]:
            assert name in ("n0", "n4"), "its neighbours wait for it in every round"
            assert torch.equal(ends.pop(name)[1], torch.ones(2 * SIZE // 5))
        assert_all_lost(ends, {"n1", "n3"} | ends.keys())
    else:
        assert_all_lost(ends, ["n0", "n1", "n3", "n4"])


@pytest.mark.parametrize("kind", ["at-once", "pairwise"])
def test_a_member_lost_in_an_all_to_all(scripted, kind):
    async def worker(node):
        return await node.all_to_all([torch.ones(SIZE)] * 5)

    ends, _ = scripted(worker, star(5, all_to_all=kind))
    assert_all_lost(ends, ["n0", "n1", "n3", "n4"])


@pytest.mark.parametrize("algorithm", BROADCASTS, ids=name_of)
@pytest.mark.parametrize("root", ["n2", "n5"])
def test_a_member_lost_in_a_broadcast(scripted, algorithm, root):
    """Whoever had all of it by then keeps it; the others are told, also those that wait for a survivor."""
    tensor = torch.arange(float(4 * SIZE))

    async def worker(node):
        return await node.broadcast(tensor if node.id == root else None, root)

    ends, _ = scripted(worker, star(7, broadcast=algorithm), at=0.6)
    assert sorted(ends) == ["n0", "n1", "n3", "n4", "n5", "n6"]
    told = [result for _, result in ends.values() if isinstance(result, PeerLost)]
    assert told
    for when, result in ends.values():
        if isinstance(result, PeerLost):
            assert when == pytest.approx(0.6 + DETECTION)
        else:
            assert torch.equal(result, tensor)


def test_a_member_lost_before_a_barrier(scripted):
    async def worker(node):
        await node.sleep(1.0 if node.rank == 2 else 0.1)
        await node.barrier()

    assert_all_lost(scripted(worker, star(4))[0], ["n0", "n1", "n3"])


@pytest.mark.parametrize("collectives", ["fluid", "stepwise"])
def test_collectives_that_begin_later_fail_too(scripted, collectives):
    """Before it is noticed: when it is. After that: at once. Groups without it go on."""
    ends = {}

    async def worker(node):
        await node.sleep(1.0)
        with pytest.raises(PeerLost):
            await node.all_reduce(torch.ones(10))
        assert node.now == pytest.approx(FAILS_AT + DETECTION)
        with pytest.raises(PeerLost):
            await node.all_reduce(torch.ones(10))
        assert node.now == pytest.approx(FAILS_AT + DETECTION)
        rest = ("n0", "n1", "n3")
        ends[node.id] = await node.all_reduce(torch.full((10,), float(node.rank)), "sum", group=rest)

    scripted(worker, star(4, collectives=collectives))
    assert len(ends) == 3
    assert all(torch.equal(total, torch.full((10,), 4.0)) for total in ends.values())


def test_other_groups_do_not_notice(scripted):
    async def worker(node):
        pair = ("n0", "n1") if node.rank < 2 else ("n2", "n3")
        for _ in range(10):
            total = await node.all_reduce(torch.ones(SIZE), "sum", group=pair)
        return float(total[0])

    ends, _ = scripted(worker, star(4))
    assert isinstance(ends["n3"][1], PeerLost)
    assert ends["n0"][1] == ends["n1"][1] == 2.0


def test_a_send_that_is_cut(scripted):
    """The bytes that had left are lost; the sender is told when it is noticed."""

    async def worker(node):
        if node.rank == 0:
            await node.send("n2", Encoded("large", 1e7))
        if node.rank == 2:
            await node.recv("n0")

    ends, done = scripted(worker, star(4))
    assert ends["n0"][1].peer == "n2"
    assert ends["n0"][0] == pytest.approx(FAILS_AT + DETECTION)
    assert done.outcome.invariants["bytes_lost"] == pytest.approx(FAILS_AT * BANDWIDTH, abs=1e-5)
    assert ends["n1"] == (0.0, None)


def test_later_sends_carry_nothing(scripted):
    async def worker(node):
        if node.rank == 0:
            for wait, told in ((1.0, FAILS_AT + DETECTION), (1.0, FAILS_AT + DETECTION + 1.0)):
                await node.sleep(wait)
                with pytest.raises(PeerLost, match="n2 went down"):
                    await node.send("n2", Encoded(None, 1e6))
                assert node.now == pytest.approx(told)
            return
        await node.sleep(20)

    assert scripted(worker, star(4))[1].outcome.bytes_sent == 0


def test_receiving_from_a_lost_node(scripted):
    """What left it in time still arrives; then `recv` from it fails, and `recv` from anybody does not."""
    bytes_ = 0.5 * FAILS_AT * BANDWIDTH  # has left when the node goes down, but is on its way

    async def worker(node):
        if node.rank == 2:
            await node.send("n0", Encoded("last words", bytes_), "a")
            await node.send("n0", Encoded("cut", 1e7), "b")
        if node.rank == 0:
            waiting = node.spawn(node.recv("n2", "b"))
            assert (await node.recv("n2", "a")).payload.content == "last words"
            with pytest.raises(PeerLost):
                await waiting
            assert node.now == pytest.approx(FAILS_AT + DETECTION)
            with pytest.raises(PeerLost):
                await node.recv("n2", "b")
            with pytest.raises(Timeout):
                await node.recv(None, "b", timeout=1.0)

    late = star(4, link={"bandwidth": "100 Mbps", "latency": "60 ms"})
    ends, done = scripted(worker, late)
    assert ends["n0"] == (pytest.approx(FAILS_AT + DETECTION + 1.0), None)
    assert done.outcome.invariants["bytes_received"] == pytest.approx(bytes_)


def test_a_message_kept_from_a_lost_node_is_still_there(scripted):
    async def worker(node):
        if node.rank == 2:
            await node.send("n0", "early")
            await node.sleep(10)
        if node.rank == 0:
            await node.sleep(8)
            assert (await node.recv("n2")).payload == "early"

    assert scripted(worker, star(4))[0]["n0"] == (8.0, None)


def test_an_exchange_with_a_lost_node(scripted):
    async def worker(node):
        if node.rank in (2, 3):
            return await node.exchange("n3" if node.rank == 2 else "n2", Encoded(None, 1e7))
        return None

    ends, _ = scripted(worker, star(4))
    assert ends["n3"][1].peer == "n2"


def test_the_detection_timeout_is_the_scenarios(scripted):
    async def worker(node):
        return await node.all_reduce(torch.ones(SIZE))

    ends, _ = scripted(worker, star(4, detection_timeout="250 ms"))
    assert_all_lost(ends, ["n0", "n1", "n3"], moment=FAILS_AT + 0.25)


def test_spawned_tasks_keep_the_error_until_they_are_awaited(scripted):
    async def worker(node):
        if node.rank == 2:
            await node.sleep(10)
        background = node.spawn(node.all_reduce(torch.ones(SIZE)))
        node.spawn(node.send("n2", 1.0))  # never awaited: its error is nobody's
        await node.sleep(7)
        assert background.done
        with pytest.raises(PeerLost):
            await background
        return "survived"

    assert {result for _, result in scripted(worker, star(4))[0].values()} == {"survived"}


def test_the_work_of_a_lost_node_ends_with_it(scripted):
    async def worker(node):
        await node.train(1000 if node.rank == 2 else 3)

    done = scripted(worker, star(4), at=1e-7)[1]
    assert done.run.nodes["n2"].steps == 0
    assert done.outcome.worker_steps == 9


def test_a_method_that_does_not_expect_it_ends_with_the_error(simulate):
    async def worker(node):
        if node.rank == 2:
            await node.sleep(0.1)
            node._run.fail("n2")
            await node.sleep(1)
        await node.all_reduce(torch.ones(SIZE))

    with pytest.raises(PeerLost, match="n2 went down"):
        simulate(worker, star(4))


def test_two_losses(scripted):
    """The first that is noticed is the one that is named; nobody hangs."""

    async def worker(node):
        if node.rank == 4:
            node.spawn(second(node))
        return await node.all_reduce(torch.ones(SIZE))

    async def second(node):
        await node.sleep(FAILS_AT + 0.01)
        node._run.fail("n4")
        await node.sleep(1)

    for collectives in ("fluid", "stepwise"):
        assert_all_lost(scripted(worker, star(6, collectives=collectives))[0], ["n0", "n1", "n3", "n5"])


def test_who_cannot_go_down(simulate):
    async def worker(node):
        if node.rank == 0:
            with pytest.raises(ValueError, match="'n9' cannot go down: it is not a node"):
                node._run.fail("n9")
            node._run.fail("n1")
            with pytest.raises(ValueError, match="n1 is down already"):
                node._run.fail("n1")
        await node.sleep(LATENCY)

    simulate(worker, star(4))


def test_going_down_at_the_instant_in_which_work_is_done(simulate):
    """The step that ends just then is neither charged nor counted."""

    async def worker(node):
        await node.train(1)

    one = simulate(worker, star(4)).outcome.virtual_seconds

    async def watched(node):
        if node.rank == 0:
            node.spawn(striking(node))
        await worker(node)

    async def striking(node):
        await node.sleep(one)
        node._run.fail("n2")

    done = simulate(watched, star(4))
    assert done.outcome.worker_steps == 3
    assert done.outcome.virtual_seconds == one


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("collectives", ["fluid", "stepwise"])
@pytest.mark.parametrize("algorithm", ALL_REDUCES, ids=name_of)
def test_a_run_may_stop_in_the_middle(simulate, algorithm, collectives):
    async def worker(node):
        await node.all_reduce(torch.ones(SIZE))
        raise AssertionError("the run is over before that")

    changes = star(6, all_reduce=algorithm, collectives=collectives)
    done = simulate(worker, {**changes, "stop": {"time": "50 ms"}})
    assert done.outcome.virtual_seconds == pytest.approx(0.05)
    assert done.outcome.bytes_sent > 0
