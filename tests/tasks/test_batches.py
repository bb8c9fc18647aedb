"""A worker's batches are a pure function of (seed, worker, index of the batch)."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from task_scenarios import scenario, task

from simnet.tasks import Task
from simnet.tasks.batches import KEPT_BLOCKS, KeyedBatches

GPT = {"name": "gpt", "width": 16, "heads": 2, "layers": 1, "context": 16}
SECTIONS: dict[str, dict[str, Any]] = {
    "classification": {"name": "classification"},
    "skewed": {"name": "classification", "partition": {"name": "dirichlet", "alpha": 0.1}},
    "language-model": {"name": "language-model", "model": GPT},
    "quadratic": {"name": "quadratic", "dimensions": 3},
    "full": {"name": "classification", "batch_size": "full"},
}


def equal(a: tuple[torch.Tensor, ...], b: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


TASKS = {name: task(section) for name, section in SECTIONS.items()}


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(SECTIONS)),
    asked=st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 600), st.integers(1, 7)), min_size=1, max_size=6
    ),
)
def test_any_order_of_asking_gives_the_same(name: str, asked: list[tuple[int, int, int]]) -> None:
    used = TASKS[name]  # asked for many other batches before
    for worker, start, steps in asked:
        inputs, targets = used.batches(worker, start, steps)
        assert inputs.shape[:2] == targets.shape[:2] == (steps, used.batch_sizes[worker])
        for step in range(steps):
            assert equal(used.batches(worker, start + step, 1), (inputs[step, None], targets[step, None]))


@pytest.mark.parametrize("name", SECTIONS)
def test_a_new_task_and_another_algorithm_give_the_same(name: str) -> None:
    fresh, other = task(SECTIONS[name]), task(SECTIONS[name], algorithm="diloco")
    for worker, start in [(2, 300), (0, 0), (2, 3), (1, 77)]:
        wanted = TASKS[name].batches(worker, start, 4)
        assert equal(fresh.batches(worker, start, 4), wanted)
        assert equal(other.batches(worker, start, 4), wanted)


@pytest.mark.parametrize("name", ["classification", "language-model", "quadratic"])
def test_gather_is_batches_side_by_side(name: str) -> None:
    made = TASKS[name]
    requests = [(3, 5), (0, 140), (3, 0), (1, 5)]
    inputs, targets = made.gather(requests, 3)
    assert inputs.shape[:3] == (3, 4, 8)
    for place, (worker, start) in enumerate(requests):
        assert equal((inputs[:, place], targets[:, place]), made.batches(worker, start, 3))


@pytest.mark.parametrize("name", ["classification", "language-model", "quadratic"])
def test_workers_and_seeds_differ(name: str) -> None:
    made, other = TASKS[name], task(SECTIONS[name], seed=1)
    assert not torch.equal(made.batches(0, 0, 2)[0], made.batches(1, 0, 2)[0])
    assert not torch.equal(made.batches(0, 0, 2)[0], other.batches(0, 0, 2)[0])
    assert not torch.equal(made.batches(0, 0, 2)[0], made.batches(0, 2, 2)[0])


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 4), (7, 32), (50, 32), (3, 2)])
def test_every_sample_exactly_once_per_epoch(batch_size: int, workers: int) -> None:
    made = task({"name": "classification", "batch_size": batch_size}, workers=workers)
    size = made.samples[1]
    epochs = 5 if size < 100 else 2
    steps = -(-epochs * size // batch_size)
    inputs, _ = made.batches(1, 0, steps)
    stream = [one.numpy().tobytes() for one in inputs.flatten(0, 1)]
    orders = [stream[epoch * size : (epoch + 1) * size] for epoch in range(epochs)]
    assert all(sorted(order) == sorted(orders[0]) for order in orders)
    assert len(set(orders[0])) > 0.99 * size  # digits hold a few pairs of equal images
    assert len({tuple(order) for order in orders}) == epochs


def test_full_batches_are_all_the_workers_samples_each_time() -> None:
    made = TASKS["full"]
    assert made.batch_sizes == made.samples
    inputs, targets = made.batches(1, 17, 2)
    assert len(inputs[0]) == made.samples[1]
    assert torch.equal(inputs[0], inputs[1])
    assert torch.equal(targets[0], targets[1])


def test_uneven_full_batches_cannot_be_gathered_together() -> None:
    made = task({**SECTIONS["skewed"], "batch_size": "full"})
    assert sum(made.batch_sizes) == 1437
    with pytest.raises(ValueError, match="one batch size"):
        made.gather([(0, 0), (1, 0)], 1)
    with pytest.raises(ValueError, match="differ"):
        _ = made.batch_size


def test_unknown_workers_and_batches_are_errors() -> None:
    for worker, start in [(4, 0), (-1, 0), (0, -1)]:
        with pytest.raises(IndexError):
            TASKS["classification"].batches(worker, start, 1)


def test_global_generators_are_neither_used_nor_changed() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    made = task(SECTIONS["classification"])
    made.make_model()
    made.batches(0, 0, 3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", SECTIONS)
def test_the_same_weights_for_a_seed(name: str) -> None:
    def weights(made: Task) -> torch.Tensor:
        return torch.cat([value.detach().flatten() for value in made.make_model().parameters()])

    made = TASKS[name]
    torch.rand(3)
    assert torch.equal(weights(made), weights(made))
    assert torch.equal(weights(made), weights(task(SECTIONS[name], algorithm="fedavg")))
    if name != "quadratic":  # begins at the origin; its optimum is what the seed moves
        assert not torch.equal(weights(made), weights(task(SECTIONS[name], seed=1)))


def test_the_topology_counts_the_workers_where_nobody_does() -> None:
    from simnet.tasks import build_task

    made = build_task(scenario(SECTIONS["classification"], workers=6), torch.device("cpu"), 6)
    assert made.workers == 6


def test_what_is_drawn_is_not_kept_for_ever() -> None:
    made = task(SECTIONS["classification"])
    for start in range(0, 4000, 100):
        made.batches(0, start, 3)
    assert isinstance(made.source, KeyedBatches)
    assert len(made.source._blocks[0]) == KEPT_BLOCKS
