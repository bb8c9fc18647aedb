"""Sending layer by layer during the backward pass: the same training, and the time of the closed form."""

from typing import Any

import pytest
import torch

from simnet.algorithms.allreduce import AllReduce
from simnet.algorithms.diloco import DiLoCo

WORK = {"task.charge_as": {"parameters": "10M", "step_seconds": "1 s"}}
DEEP = {"task.model": {"name": "mlp", "hidden": [16, 16, 16]}}


@pytest.mark.parametrize("collectives", ["fluid", "stepwise"])
@pytest.mark.parametrize("make", [AllReduce, lambda **options: DiLoCo(local_steps=3, **options)])
@pytest.mark.parametrize("layers", [None, 7])
def test_overlap_trains_the_same_model(simulate, make: Any, collectives: str, layers: int | None) -> None:
    changes = DEEP | {
        "network.collectives": collectives,
        "task.charge_as": {"parameters": "10M", "step_seconds": "1 s"}
        | ({"layers": layers} if layers else {}),
        "task.optimizer": {"name": "adamw", "lr": 0.01},
    }
    plain, overlapped = simulate(make(), changes), simulate(make(overlap="backward"), changes)
    assert overlapped.outcome.steps == plain.outcome.steps == 6
    for name, node in plain.run.nodes.items():
        torch.testing.assert_close(overlapped.run.nodes[name].params, node.params, rtol=1e-6, atol=1e-6)
    assert overlapped.outcome.bytes_sent == pytest.approx(plain.outcome.bytes_sent, rel=1e-9)
    assert overlapped.outcome.virtual_seconds < plain.outcome.virtual_seconds
    assert overlapped.outcome.invariants["steps_computed"] == 24


def stall(layers: int, send_seconds: float, backward: float) -> float:
    """What is left of a queue of equal transfers when the backward pass ends, one ready every 1/n of it."""
    done = 0.0
    for layer in range(1, layers + 1):
        done = max(done, backward * layer / layers) + send_seconds / layers
    return done - backward


@pytest.mark.parametrize("bandwidth", [0.1, 0.5, 1.0, 2.0, 20.0])
def test_the_time_that_is_waited_for_is_that_of_a_queue(simulate, bandwidth: float) -> None:
    layers, steps = 6, 4
    changes = {
        "network.topology": {"kind": "star", "nodes": 2},
        "network.link": {"bandwidth": f"{bandwidth} Gbps", "latency": 0},
        "task.charge_as": {"parameters": "10M", "layers": layers, "step_seconds": "1 s"},
        "stop": {"steps": steps},
    }
    expected = stall(layers, 10e6 * 4 * 8 / (bandwidth * 1e9), 2 / 3)
    parallel = simulate(AllReduce(overlap="backward"), changes).outcome
    # 1,000-odd parameters do not divide into layers exactly, so transfers are not quite alike.
    assert parallel.virtual_seconds == pytest.approx(steps * (1 + expected), rel=2e-3)
    assert parallel.utilization == pytest.approx(1 / (1 + expected), rel=2e-3)


def test_a_layer_comes_when_the_backward_pass_has_left_it(simulate) -> None:
    seen: list[tuple[float, int, int]] = []

    async def watch(node) -> None:
        if node.rank:
            return
        gradient = await node.gradient(on_layer=lambda at, part: seen.append((node.now, at.start, len(part))))
        assert node.now == pytest.approx(1.0)
        assert sum(size for _, _, size in seen) == len(gradient.vector)

    changes = {"task.charge_as": {"parameters": "10M", "layers": 4, "step_seconds": "1 s"}}
    simulated = simulate(watch, changes)
    total = simulated.run.engine.parameters
    assert [start for _, start, _ in seen] == sorted((start for _, start, _ in seen), reverse=True)
    for now, start, _ in seen:
        assert now == pytest.approx(1 / 3 + 2 / 3 * (total - start) / total)


def test_training_hands_over_the_new_parameters_of_each_layer(simulate) -> None:
    async def check(node) -> None:
        parts: dict[int, torch.Tensor] = {}
        await node.train(3, on_layer=lambda at, part: parts.update({at.start: part}))
        assert len(parts) == len(node.layers) == 2  # one hidden layer and the output
        assert torch.equal(torch.cat([parts[start] for start in sorted(parts)]), node.params)
        assert node.now == pytest.approx(3.0)

    assert simulate(check, WORK).outcome.worker_steps == 12


def test_an_optimizer_that_needs_the_whole_gradient_first_is_refused(simulate) -> None:
    changes = WORK | {"task.optimizer": {"name": "sgd", "lr": 0.1, "clip_norm": 1.0}}
    with pytest.raises(ValueError, match="clip_norm"):
        simulate(DiLoCo(local_steps=2, overlap="backward"), changes)
    simulate(AllReduce(overlap="backward"), changes)  # it steps on the whole mean


def test_a_lost_worker_ends_the_queue(simulate) -> None:
    async def worker(node) -> None:
        if node.rank == 3:
            await node.sleep(0.7)
            node._run.fail(node.id)
            await node.sleep(100)
        await AllReduce(overlap="backward", on_failure="abort").worker(node)

    outcome = simulate(worker, WORK | {"network.detection_timeout": "1 s"}).outcome
    assert "n3" in outcome.aborted
