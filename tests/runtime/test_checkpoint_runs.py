"""Checkpoints in simulated runs: what they stall, how often they pay, and what a lone node goes back to."""

from math import sqrt
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch

from simnet.faults.checkpoint import CheckpointCost
from simnet.runtime.node import Algorithm, Node
from simnet.scenario import Scenario, ScenarioError

MODES = ("lazy", "snapshot", "synchronous")


class Steps(Algorithm):
    """Steps, and nothing else."""

    safe_points: ClassVar[Literal["common", "own", "none"]] = "common"

    async def worker(self, node: Node) -> None:
        while node.running:
            await node.train(1)


def timed(nodes, step_seconds, steps, checkpoint, **more):
    """Changes for a run in which only time passes."""
    return {
        "network.topology": {"kind": "star", "nodes": nodes},
        "task": {"name": "synthetic", "parameters": 1000, "step_seconds": f"{step_seconds} s"},
        "workers": {},
        "stop": {"steps": steps},
        "evaluate": None,
        "faults.checkpoint": checkpoint,
        **more,
    }


@pytest.mark.parametrize("size", [1e8, 1e9, 4e9, 2e10])
@pytest.mark.parametrize("every", [1, 3])
def test_every_mode_stalls_as_the_closed_form_says(simulate, size, every):
    """Runs of 60 steps at every size, some so large that storage sets the pace."""
    copy, write, step, steps = 1e10, 2e9, 1.0, 60
    times = {}
    for mode in MODES:
        checkpoint = {"interval": f"{every} steps", "mode": mode, "size": f"{size} B"}
        rates = {"device_to_host": f"{copy} B/s", "storage_bandwidth": f"{write} B/s"}
        done = simulate(Steps(), timed(3, step, steps, {**checkpoint, **rates}))
        cost = CheckpointCost(size, copy, write, mode, hidden_seconds=step)
        checkpoints = steps // every - 1
        times[mode] = done.outcome.virtual_seconds
        # The first has nothing to wait for, and after the last there is no other.
        expected = steps * step + (checkpoints - 1) * cost.overhead_seconds(every * step)
        assert times[mode] == pytest.approx(expected + cost.stall_seconds(), rel=1e-9), mode
        stalled = [node.computing.stalled_seconds for node in done.run.nodes.values()]
        assert stalled == pytest.approx([times[mode] - steps * step] * 3, rel=1e-9, abs=1e-9)
        busy = [node.computing.busy_seconds for node in done.run.nodes.values()]
        assert busy == pytest.approx([steps * step] * 3)
    assert times["lazy"] < times["snapshot"] < times["synchronous"]


def test_storage_that_is_shared_is_slower(simulate):
    checkpoint = {"interval": "1 steps", "size": "1 GB", "device_to_host": "1000 GB/s"}
    alone = checkpoint | {"storage_bandwidth": "1 GB/s"}
    shared = alone | {"shared_bandwidth": "2 GB/s"}
    times = [simulate(Steps(), timed(4, 1.0, 3, one)).outcome.virtual_seconds for one in (alone, shared)]
    assert times == pytest.approx([3 + 2 * 1.001, 3 + 2 * 2.001])


def test_room_for_more_checkpoints_puts_the_wait_off(simulate):
    """A checkpoint every second takes three seconds to store: with room for two, every second one waits."""
    checkpoint = {
        "interval": "1 steps",
        "mode": "snapshot",
        "size": "3 GB",
        "device_to_host": "3000 GB/s",
        "storage_bandwidth": "1 GB/s",
    }
    for room, stalls in ((3, 3.002), (6, 0.002)):
        changes = timed(1, 1.0, 3, checkpoint | {"host_buffer": f"{room} GB"})
        node = simulate(Steps(), changes).run.nodes["n0"]
        assert node.computing.stalled_seconds == pytest.approx(stalls - (1.0 if room == 3 else 0.0), abs=1e-2)


def test_a_buffer_without_room_for_one_is_refused(simulate):
    checkpoint = {"interval": "1 steps", "storage_bandwidth": "1 GB/s", "host_buffer": "1 kB", "mode": "lazy"}
    with pytest.raises(ScenarioError, match="too small for one checkpoint"):
        simulate(Steps(), timed(1, 1.0, 3, checkpoint))
    with pytest.raises(ValueError, match="too small for one checkpoint"):
        simulate(Steps(), timed(1, 1.0, 3, checkpoint | {"size": "2 kB"}))


def test_its_size_is_what_is_held(simulate, small):
    """Parameters, and both moments of AdamW with its step; charged as a larger model, in proportion."""
    checkpoint = {"interval": "1 steps", "storage_bandwidth": "1 GB/s"}
    adam = {"task.optimizer": {"name": "adamw", "lr": 0.01}, "faults.checkpoint": checkpoint}
    run = simulate(Steps(), adam).run
    node = run.nodes["n0"]
    held = 4 * node.params.numel() * 3
    assert run.checkpoints.bytes_of(node.state()) == pytest.approx(held, rel=1e-2)
    run = simulate(Steps(), adam | {"task.charge_as": {"parameters": "1B"}}).run
    assert run.checkpoints.bytes_of(run.nodes["n0"].state()) == pytest.approx(12e9, rel=1e-2)


def test_the_best_interval_is_youngs(simulate):
    """The same failures for every interval; the least of `a / T + b T + c`, fitted to what they cost."""
    stall, between, step, steps = 2.0, 100.0, 4.0, 6000
    rates = {"device_to_host": "2 GB/s", "storage_bandwidth": "1 GB/s"}
    base = {"size": "1333333333 B", "on_failure": "restart", **rates}
    churn = {"kind": "exponential", "mean_up": f"{between} s", "mean_down": "1 s", "nodes": ["n0"]}
    more = {"faults.churn": churn, "network.detection_timeout": "0.1 s"}
    lost = {}
    for every in (1, 2, 3, 5, 8, 12, 20):
        checkpoint = base | {"interval": f"{every} steps"}
        done = simulate(Steps(), timed(1, step, steps, checkpoint, **more))
        lost[every * step] = done.outcome.virtual_seconds - steps * step
        assert done.outcome.invariants["rollbacks"] > 200
    intervals = np.array(list(lost))
    columns = np.stack([1 / intervals, intervals, np.ones_like(intervals)], axis=1)
    weights = 1 / np.array(list(lost.values()))
    a, b, _ = np.linalg.lstsq(columns * weights[:, None], np.ones(len(lost)), rcond=None)[0]
    young = sqrt(2 * stall * between)
    assert sqrt(a / b) == pytest.approx(young, rel=0.2)
    optimal = simulate(Steps(), timed(1, step, steps, base | {"interval": "optimal"}, **more))
    assert optimal.outcome.virtual_seconds - steps * step < 1.05 * min(lost.values())


@pytest.mark.parametrize("churn", [None, {"kind": "crash", "node": "n0", "at": "5 s", "down": "1 s"}])
def test_there_is_no_best_interval_without_exponential_churn(simulate, churn):
    checkpoint = {"interval": "optimal", "storage_bandwidth": "1 GB/s"}
    more = {} if churn is None else {"faults.churn": churn}
    with pytest.raises(ScenarioError, match="no mean time between failures"):
        simulate(Steps(), timed(1, 1.0, 3, checkpoint, **more))


def test_who_comes_back_alone_has_its_last_checkpoint(simulate):
    seen = {}

    class Counting(Algorithm):
        async def worker(self, node: Node) -> None:
            if node.incarnation:
                seen[node.id] = node.now, node.kept.get("count", 0), node.params
            while node.running:
                node.kept["count"] = node.kept.get("count", 0) + 1
                before[node.id, node.kept["count"]] = node.params
                await node.train(1)

    before = {}
    checkpoint = {
        "interval": "2 steps",
        "size": "1 GB",
        "storage_bandwidth": "10 GB/s",
        "device_to_host": "10 GB/s",
        "restart_time": "2 s",
    }
    done = simulate(
        Counting(),
        {
            "task.charge_as": {"parameters": "1M", "step_seconds": "1 s"},
            "stop": {"steps": 12},
            "faults.checkpoint": checkpoint,
            "faults.churn": {"kind": "crash", "node": "n1", "at": "5.7 s", "down": "3 s"},
        },
    )
    # Two checkpoints of 0.2 s by then, before the third and the fifth step: the second has 2 + 2 counted.
    moment, count, params = seen.pop("n1")
    assert moment == pytest.approx(8.7 + 2 + 0.2)
    assert count == 4
    assert torch.equal(params, before["n1", 5])
    assert not seen, "the others go on"
    assert done.outcome.invariants.get("steps_undone", 0) == 0
    assert done.run.nodes["n1"].steps == 12


def test_checkpoints_are_spans(simulate):
    checkpoint = {"interval": "2 steps", "size": "1 GB", "storage_bandwidth": "1 GB/s"}
    done = simulate(Steps(), timed(1, 1.0, 6, checkpoint))
    spans = [row for row in done.recorder.tables()["spans"].to_pylist() if row["kind"] == "checkpoint"]
    assert [(row["name"], row["start"]) for row in spans] == [
        ("synchronous", 2.0),
        ("synchronous", pytest.approx(4 + 1.0625)),
    ]


def test_an_interval_that_is_neither_a_time_nor_optimal(small):
    checkpoint = {"interval": "sometimes", "storage_bandwidth": "1 GB/s"}
    with pytest.raises(ValueError, match="or optimal"):
        Scenario.model_validate(small({"faults.checkpoint": checkpoint}))
