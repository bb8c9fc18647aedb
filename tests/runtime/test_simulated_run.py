"""A whole run: when it ends, what is evaluated when, invariants, and that luck repeats."""

import pytest
import torch

from simnet.network import InvariantError


def series(done, name, node=""):
    frame = done.recorder.tables()["metrics"].to_pandas()
    return frame[(frame.name == name) & (frame.node == node)]


async def train_forever(node):
    while node.running:
        await node.train(1)


async def synchronous(node):
    while node.running:
        await node.train(2)
        node.params = await node.all_reduce(node.params)


def test_a_run_ends_at_stop_time_and_the_work_under_way_is_cut(simulate):
    async def worker(node):
        while node.running:
            await node.compute(lambda: None, seconds=0.4)

    done = simulate(worker, {"stop": {"time": "1 s"}})
    assert done.outcome.virtual_seconds == 1.0
    assert done.outcome.utilization == pytest.approx(1.0)
    assert done.outcome.invariants["computations"] == 2 * 4


def test_a_message_under_way_at_the_end_is_lost_as_far_as_it_came(simulate):
    from simnet.runtime.node import Encoded

    async def worker(node):
        if node.rank == 0:
            await node.send("n1", Encoded(None, 100e6 / 8 * 10))

    counts = simulate(worker, {"stop": {"time": "1 s"}}).outcome.invariants
    assert counts["bytes_sent"] == pytest.approx(100e6 / 8)
    assert counts["bytes_lost"] == pytest.approx(100e6 / 8)


def test_a_run_ends_with_its_last_event_where_steps_are_the_limit(simulate):
    done = simulate(train_forever, {"stop": {"steps": 5, "time": "1 h"}})
    assert done.outcome.virtual_seconds == pytest.approx(5 * done.run.cost.machines[0].train_seconds(1))
    assert series(done, "loss").time.max() == done.outcome.virtual_seconds


def test_a_leftover_timer_does_not_prolong_the_run(simulate):
    async def worker(node):
        await node.train(1)
        if node.rank == 0:
            await node.send("n1", 1.0)
        elif node.rank == 1:
            await node.recv("n0", timeout=3600)

    done = simulate(worker, {"stop": {"time": "2 h"}, "evaluate": {"every": "1 s", "samples": 16}})
    assert done.outcome.virtual_seconds < 1
    assert series(done, "loss").time.max() == done.outcome.virtual_seconds


def test_a_run_ends_at_its_loss_or_bytes(simulate):
    loss = simulate(train_forever, {"stop": {"steps": 500, "loss": 2.0}})
    assert 0 < loss.outcome.steps < 500
    assert loss.outcome.final["loss"] <= 2.0
    budget = simulate(synchronous, {"stop": {"time": "1 h", "bytes": "1 MB"}})
    assert budget.outcome.bytes_sent == pytest.approx(1e6, abs=1)
    assert budget.outcome.virtual_seconds == series(budget, "loss").time.max()


def test_evaluation_by_time_is_on_the_grid(simulate):
    async def worker(node):
        while node.running:
            await node.compute(lambda: None, seconds=0.3)

    done = simulate(worker, {"stop": {"time": "1 s"}, "evaluate": {"every": "250 ms", "samples": 16}})
    assert series(done, "loss").time.tolist() == pytest.approx([0, 0.25, 0.5, 0.75, 1.0])


def test_evaluation_by_steps_sees_the_synchronised_model(simulate):
    done = simulate(synchronous, {"stop.steps": 6, "evaluate": {"every": "2 steps", "samples": 16}})
    assert series(done, "steps").value.tolist() == [0, 2, 4, 6]
    assert series(done, "consensus_distance").value.tolist() == pytest.approx([0, 0, 0, 0])
    assert series(done, "bytes").value.iloc[1] > 0


def test_evaluation_of_local_models(simulate):
    done = simulate(train_forever, {"stop.steps": 10, "evaluate": {"every": "5 steps", "samples": 64}})
    assert series(done, "consensus_distance").value.iloc[-1] > 0
    locals_ = [series(done, "loss", f"n{i}").value.iloc[-1] for i in range(4)]
    assert series(done, "local_loss").value.iloc[-1] == pytest.approx(sum(locals_) / 4)
    mean = sum(node.params for node in done.run.nodes.values()) / 4
    (expected,) = done.run.engine.evaluate([mean])
    assert series(done, "loss").value.iloc[-1] == pytest.approx(expected["loss"], rel=1e-6)


def test_evaluation_costs_no_virtual_time(simulate):
    often = simulate(synchronous, {"evaluate": {"every": "1 ms", "samples": 16}})
    seldom = simulate(synchronous, {"evaluate": {"every": "1 h", "samples": 16}})
    assert often.outcome.virtual_seconds == seldom.outcome.virtual_seconds
    assert all(
        torch.equal(often.run.nodes[name].params, seldom.run.nodes[name].params) for name in often.run.nodes
    )


def test_equal_seeds_give_equal_bytes_and_others_do_not(simulate):
    first, second, other = (simulate(synchronous, {"seed": seed}) for seed in (3, 3, 4))
    assert first.recorder.files() == second.recorder.files()
    assert first.recorder.files()["metrics.parquet"] != other.recorder.files()["metrics.parquet"]


def test_methods_meet_the_same_weights_and_batches(simulate):
    """The first gradient of each worker does not depend on the method."""
    first = {}

    async def one(node):
        first[node.id, "one"] = (node.params, (await node.gradient()).vector)

    async def other(node):
        await node.compute(lambda: None, seconds=1 + node.rank)
        await node.all_reduce(node.params)
        first[node.id, "other"] = (node.params, (await node.gradient()).vector)

    simulate(one)
    simulate(other)
    for name in ("n0", "n1", "n2", "n3"):
        assert torch.equal(first[name, "one"][0], first[name, "other"][0])
        assert torch.allclose(first[name, "one"][1], first[name, "other"][1], atol=1e-7)
    assert not torch.equal(first["n0", "one"][1], first["n1", "one"][1])


def test_a_loop_that_never_waits_is_found(simulate, monkeypatch):
    monkeypatch.setattr("simnet.runtime.simulated.STUCK_EVENTS", 1000)

    async def worker(node):
        while True:
            await node.sleep(0)

    with pytest.raises(InvariantError, match="without the clock moving"):
        simulate(worker)


def test_work_that_was_not_done_is_noticed(simulate, monkeypatch):
    """Should the engine do fewer steps than were charged, the run fails."""
    from simnet.compute import Engine

    honest = Engine.submit_train

    def lazy(self, worker, params, state, steps, first_batch):
        return honest(self, worker, params, state, max(1, steps - 1), first_batch)

    monkeypatch.setattr(Engine, "submit_train", lazy)
    with pytest.raises(InvariantError, match="charged"):
        simulate(synchronous)


def test_spans_of_a_device_never_overlap(simulate):
    done = simulate(
        synchronous, {"workers": [{"count": 2, "device": "cpu"}, {"device": "cpu", "speed": 0.3}]}
    )
    spans = done.recorder.tables()["spans"].to_pandas()
    for _, compute in spans[spans.kind == "compute"].groupby("node"):
        ordered = compute.sort_values("start")
        assert (ordered.start.iloc[1:].to_numpy() >= ordered.end.iloc[:-1].to_numpy() - 1e-12).all()
        assert set(compute.name) == {"train"}
