"""Work whose result nobody will have is not computed, and what nodes ask of the engine besides training."""

import pytest
import torch

from simnet.compute.jobs import Job


@pytest.fixture
def ran(monkeypatch):
    """The jobs that were really run, in order."""
    jobs: list[Job] = []

    def record(shard, mine):
        jobs.extend(mine)
        run(shard, mine)

    from simnet.compute import engine

    run = engine.run_jobs
    monkeypatch.setattr(engine, "run_jobs", record)
    return jobs


def test_the_training_of_a_node_that_went_down_is_not_computed(simulate, ran):
    async def worker(node):
        if node.rank == 2:
            node.spawn(going_down(node))
            await node.train(1000)
        else:
            await node.train(3)

    async def going_down(node):
        await node.sleep(1e-7)
        node._run.fail("n2")

    simulate(worker)
    assert sorted((job.worker, job.steps) for job in ran) == [(0, 3), (1, 3), (3, 3)]


def test_a_gradient_whose_task_was_cancelled_is_not_computed(simulate, ran):
    async def worker(node):
        task = node.spawn(node.gradient())
        await node.sleep(1e-9)
        if node.rank < 2:
            task.cancel()
        else:
            await task

    done = simulate(worker)
    assert sorted(job.worker for job in ran) == [2, 3]
    assert done.outcome.invariants["gradients_computed"] == 2


def test_work_that_would_end_after_the_run_is_not_computed(simulate, ran):
    async def worker(node):
        await node.train(2)
        await node.train(10**9)

    simulate(worker, {"stop": {"time": "1 s"}})
    assert [job.steps for job in ran] == [2] * 4


def test_losses_are_compared_on_the_batch_that_comes_next(simulate):
    seen = {}

    async def worker(node):
        started = node.now
        first, again, other = await node.loss(), await node.loss(), await node.loss(2 * node.params)
        seconds = (node.now - started) / 3
        started = node.now
        gradient = await node.gradient()
        # Of two layers, backward has products with both weights and inputs, but none with the first inputs.
        assert 0.33 < seconds / (node.now - started) < 0.5
        assert first == again == pytest.approx(gradient.loss, rel=1e-5)
        assert other != first
        seen[node.id] = first

    done = simulate(worker)
    assert len(set(seen.values())) == 4
    assert done.outcome.invariants["gradients_computed"] == 4


def test_training_a_part_at_another_rate(simulate):
    async def worker(node):
        before, half = node.params, node.params.numel() // 2
        await node.train(2, only=slice(0, half), lr_scale=0.5)
        assert torch.equal(node.params[half:], before[half:])
        assert not torch.equal(node.params[:half], before[:half])

    simulate(worker)


def test_the_engine_forgets_what_is_withdrawn(simulate):
    pending = []

    async def worker(node):
        task = node.spawn(node.train(5))
        await node.sleep(1e-9)
        task.cancel()
        await node.sleep(1e-9)
        pending.append(len(node._run.engine._pending))

    simulate(worker)
    assert pending[-1] == 0
